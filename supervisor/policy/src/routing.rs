//! Which agent takes a dispatch (semantics G1–G4).
//!
//! Owns: the chain explicit → rule → job metadata → room metadata → room prefix → fallback. Never: picks an agent that
//! is not registered, or skips a rung because the name on it is wrong.

use openrtc_ipc::{AgentName, TenantId};

use crate::dispatch::Dispatch;
use crate::metadata::{Metadata, Source};
use crate::rejection::{RejectReason, Rejection};
use crate::rules::{AgentRules, Fallback, RoutingRule, Rules};
use crate::trace::{Rule, Witness, quoted};

/// The agent that was chosen, and by which rung.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    /// The agent.
    pub(crate) agent: &'a AgentName,
    /// Its rules.
    pub(crate) rules: &'a AgentRules,
    /// `explicit`, `rule`, `job_metadata`, `room_metadata`, `room_prefix` or `fallback`.
    pub(crate) by: &'static str,
}

/// Chooses the agent. `room` is the room's name without its tenant's namespace.
///
/// With `accept_only_registered_rooms` a dispatch must name one of our agents by metadata or room; all others are
/// somebody else's (`not_owned`), the unknown names among them.
pub(crate) fn route<'a>(
    rules: &'a Rules,
    dispatch: &Dispatch,
    tenant: &TenantId,
    metadata: &Metadata,
    room: &str,
    witness: &mut impl Witness,
) -> Result<Route<'a>, Rejection> {
    let chosen = |route: &Route<'_>| route.agent.to_string();
    let explicit = explicit(rules, dispatch);
    if let Some(route) =
        witness.rung(Rule::RouteExplicit, explicit, chosen, || "the dispatcher names none".to_owned())?
    {
        return Ok(route);
    }
    if let Some(route) = by_rule(rules, tenant, metadata, witness)? {
        return Ok(route);
    }
    for source in [Source::Job, Source::Room] {
        if let Some(route) = by_metadata(rules, metadata, source, witness)? {
            return Ok(route);
        }
    }
    let no_prefix = || match rules.routing.room_prefix {
        true => format!("no agent's name and a dash start {}", quoted(room)),
        false => "[routing] room_prefix is off".to_owned(),
    };
    let prefix = Ok(by_prefix(rules, room));
    if let Some(route) = witness.rung(Rule::RouteRoomPrefix, prefix, chosen, no_prefix)? {
        return Ok(route);
    }
    let owned = if rules.accept_only_registered_rooms { Err(not_owned()) } else { Ok(()) };
    witness.asked(Rule::RouteOwned, owned, |()| "accept_only_registered_rooms is off".to_owned())?;
    witness.last_rung(Rule::RouteFallback, fallback(rules), chosen)
}

fn explicit<'a>(rules: &'a Rules, dispatch: &Dispatch) -> Result<Option<Route<'a>>, Rejection> {
    let name = dispatch.agent.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let known = |name| registered(rules, name, "explicit").ok_or_else(|| unknown(rules, name, "by the dispatcher"));
    name.map(known).transpose()
}

fn by_rule<'a>(
    rules: &'a Rules,
    tenant: &TenantId,
    metadata: &Metadata,
    witness: &mut impl Witness,
) -> Result<Option<Route<'a>>, Rejection> {
    let all = &rules.routing.rules;
    let at = all.iter().position(|rule| matches(rule, tenant, metadata));
    let known = |at: usize| {
        let name = all[at].agent.as_str();
        registered(rules, name, "rule").ok_or_else(|| unknown(rules, name, "by a routing rule"))
    };
    let number = at.map_or(0, |at| at + 1);
    let named = |route: &Route<'_>| format!("{}, by rule {number} of {}", route.agent, all.len());
    let nothing = || match all.len() {
        0 => "there are no [[routing.rule]]".to_owned(),
        count => format!("none of {count} [[routing.rule]] matches"),
    };
    witness.rung(Rule::RouteRule, at.map(known).transpose(), named, nothing)
}

fn by_metadata<'a>(
    rules: &'a Rules,
    metadata: &Metadata,
    source: Source,
    witness: &mut impl Witness,
) -> Result<Option<Route<'a>>, Rejection> {
    let (rung, by, whence) = match source {
        Source::Job => (Rule::RouteJobMetadata, "job_metadata", "via job metadata"),
        Source::Room => (Rule::RouteRoomMetadata, "room_metadata", "via room metadata"),
    };
    let keys = &rules.routing.metadata_agent_keys;
    let found = metadata.agent(source, keys);
    let key = found.as_ref().map_or("", |(key, _)| key);
    let route = found.as_ref().map(|(_, name)| {
        registered(rules, name, by)
            .ok_or_else(|| if rules.accept_only_registered_rooms { not_owned() } else { unknown(rules, name, whence) })
    });
    let named = |route: &Route<'_>| format!("{}, by its {key:?}", route.agent);
    witness.rung(rung, route.transpose(), named, || format!("it has none of: {}", keys.join(", ")))
}

fn fallback(rules: &Rules) -> Result<Route<'_>, Rejection> {
    match &rules.routing.fallback {
        Fallback::Agent(name) => registered(rules, name.as_str(), "fallback")
            .ok_or_else(|| unknown(rules, name.as_str(), "as [routing] fallback")),
        Fallback::Reject => Err(Rejection::new(
            RejectReason::UnknownAgent,
            format!("the dispatch names no agent and [routing] fallback is \"reject\"; {}", known(rules)),
        )),
    }
}

fn matches(rule: &RoutingRule, tenant: &TenantId, metadata: &Metadata) -> bool {
    rule.tenant.as_ref().is_none_or(|wanted| wanted == tenant)
        && rule.metadata.iter().all(|(key, wanted)| metadata.value(key).as_ref() == Some(wanted))
}

/// `<agent>-` at the start of the room's name; of several agents the longest.
fn by_prefix<'a>(rules: &'a Rules, room: &str) -> Option<Route<'a>> {
    let starts = |name: &&AgentName| room.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('-'));
    let agents = rules.agents.keys().filter(|_| rules.routing.room_prefix);
    let longest = agents.filter(starts).max_by_key(|name| name.as_str().len())?;
    registered(rules, longest.as_str(), "room_prefix")
}

fn registered<'a>(rules: &'a Rules, name: &str, by: &'static str) -> Option<Route<'a>> {
    let name = AgentName::parse(name).ok()?;
    let (agent, rules) = rules.agents.get_key_value(&name)?;
    Some(Route { agent, rules, by })
}

fn unknown(rules: &Rules, name: &str, whence: &str) -> Rejection {
    let name: String = name.chars().take(80).collect();
    Rejection::new(RejectReason::UnknownAgent, format!("Unknown agent '{name}' requested {whence}; {}", known(rules)))
}

fn known(rules: &Rules) -> String {
    let names: Vec<&str> = rules.agents.keys().map(AgentName::as_str).collect();
    if names.is_empty() { "no agent is registered".to_owned() } else { format!("registered: {}", names.join(", ")) }
}

fn not_owned() -> Rejection {
    let detail = "neither metadata nor room name one of our agents, and accept_only_registered_rooms is on";
    Rejection::new(RejectReason::NotOwned, detail.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{agent, dispatch, rules, tenant};
    use crate::trace::Unwatched;

    /// Who gets it and by which rung, or why nobody.
    fn routed(rules: &Rules, dispatch: &Dispatch) -> Result<(String, &'static str), RejectReason> {
        let metadata = Metadata::read(dispatch).unwrap();
        route(rules, dispatch, &tenant("acme"), &metadata, &dispatch.room, &mut Unwatched)
            .map(|route| (route.agent.to_string(), route.by))
            .map_err(|rejection| rejection.reason)
    }

    fn asking(job: &str, room_metadata: &str, room: &str) -> Dispatch {
        Dispatch {
            job_metadata: job.to_owned(),
            room_metadata: room_metadata.to_owned(),
            room: room.to_owned(),
            ..dispatch(1, "acme")
        }
    }

    fn with_agents(names: &[&str]) -> Rules {
        let mut rules = rules();
        let any = rules.agents[&agent("support")].clone();
        rules.agents = names.iter().map(|name| (agent(name), any.clone())).collect();
        rules
    }

    #[test]
    fn each_rung_beats_those_below_it() {
        let mut rules = with_agents(&["e", "r", "j", "m", "p", "f"]);
        rules.routing.fallback = Fallback::Agent(agent("f"));
        rules.routing.rules = vec![RoutingRule {
            tenant: Some(tenant("acme")),
            metadata: [("vip".to_owned(), "true".to_owned())].into(),
            agent: agent("r"),
        }];
        let mut asked = asking(r#"{"agent":"j","vip":true}"#, r#"{"demo":"m"}"#, "p-1");
        asked.agent = Some(" e ".to_owned());
        assert_eq!(routed(&rules, &asked), Ok(("e".to_owned(), "explicit")));
        asked.agent = None;
        assert_eq!(routed(&rules, &asked), Ok(("r".to_owned(), "rule")));
        asked.job_metadata = r#"{"agent":"j"}"#.to_owned();
        assert_eq!(routed(&rules, &asked), Ok(("j".to_owned(), "job_metadata")));
        asked.job_metadata = String::new();
        assert_eq!(routed(&rules, &asked), Ok(("m".to_owned(), "room_metadata")));
        asked.room_metadata = String::new();
        assert_eq!(routed(&rules, &asked), Ok(("p".to_owned(), "room_prefix")));
        asked.room = "elsewhere".to_owned();
        assert_eq!(routed(&rules, &asked), Ok(("f".to_owned(), "fallback")));
        rules.routing.fallback = Fallback::Reject;
        assert_eq!(routed(&rules, &asked), Err(RejectReason::UnknownAgent));
    }

    #[test]
    fn the_longest_agent_that_starts_the_room_wins() {
        let rules = with_agents(&["a", "a-b", "support"]);
        assert_eq!(routed(&rules, &asking("", "", "a-b-1")), Ok(("a-b".to_owned(), "room_prefix")));
        assert_eq!(routed(&rules, &asking("", "", "a-c")), Ok(("a".to_owned(), "room_prefix")));
        assert_eq!(routed(&rules, &asking("", "", "ab-1")), Ok(("support".to_owned(), "fallback")));
    }

    #[test]
    fn an_unknown_name_is_refused_and_names_those_that_exist() {
        let rules = rules();
        let asked = asking(r#"{"agent":"nobody"}"#, "", "support-1");
        let metadata = Metadata::read(&asked).unwrap();
        let rejection = route(&rules, &asked, &tenant("acme"), &metadata, &asked.room, &mut Unwatched).unwrap_err();
        assert_eq!(rejection.detail, "Unknown agent 'nobody' requested via job metadata; registered: sales, support");
        for name in ["17", "true", r#"["support"]"#] {
            let asked = asking(&format!(r#"{{"agent":{name}}}"#), "", "support-1");
            assert_eq!(routed(&rules, &asked), Err(RejectReason::UnknownAgent));
        }
    }

    #[test]
    fn only_rooms_that_name_a_registered_agent_are_ours_when_the_rules_say_so() {
        let mut rules = rules();
        rules.accept_only_registered_rooms = true;
        assert_eq!(routed(&rules, &asking("", "", "room")), Err(RejectReason::NotOwned));
        assert_eq!(routed(&rules, &asking(r#"{"agent":"nobody"}"#, "", "room")), Err(RejectReason::NotOwned));
        assert_eq!(
            routed(&rules, &asking(r#"{"agent":"sales"}"#, "", "room")),
            Ok(("sales".to_owned(), "job_metadata"))
        );
        assert_eq!(routed(&rules, &asking("", "", "sales-1")), Ok(("sales".to_owned(), "room_prefix")));
        let explicit = Dispatch { agent: Some("nobody".to_owned()), ..asking("", "", "room") };
        assert_eq!(routed(&rules, &explicit), Err(RejectReason::UnknownAgent));
    }
}
