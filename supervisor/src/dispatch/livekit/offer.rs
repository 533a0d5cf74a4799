//! What an offered job asks for.
//!
//! Owns: the tenant, agent and metadata of a job by the rules of semantics A2–A8 and `trusted_metadata`. Never: admits;
//! never believes a tenant from a text that is not trusted.

use std::collections::BTreeSet;

use openrtc_livekit::proto;
use openrtc_policy::{Dispatch, RejectReason};
use serde_json::{Map, Value};

use crate::config::livekit::TrustedMetadata;
use crate::sources::unnumbered;

/// The key that names the tenant, in attributes and metadata.
const TENANT: &str = "tenant";
/// The attribute that names the agent.
const AGENT: &str = "agent";

/// A job as policy is asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// What is asked.
    pub(super) dispatch: Dispatch,
    /// Texts that name a tenant and are not believed.
    pub(super) ignored: Vec<&'static str>,
}

/// Reads a job.
pub(super) fn question(job: &proto::Job, trusted: &BTreeSet<TrustedMetadata>) -> Question {
    let trusts = |source| trusted.contains(&source);
    let attribute = |name: &str| job.attributes.get(name).filter(|value| !value.trim().is_empty()).cloned();
    let room = job.room.clone().unwrap_or_default();
    let mut ignored = Vec::new();
    let mut believed = |source: TrustedMetadata, what: &'static str, text: &str| {
        let without = if trusts(source) { None } else { without_tenant(text) };
        if without.is_some() {
            ignored.push(what);
        }
        without.unwrap_or_else(|| text.to_owned())
    };
    let job_metadata = believed(TrustedMetadata::Job, "the dispatch's metadata", &job.metadata);
    let room_metadata = believed(TrustedMetadata::Room, "the room's metadata", &room.metadata);
    let by_attribute = trusts(TrustedMetadata::Attributes);
    if !by_attribute && attribute(TENANT).is_some() {
        ignored.push("the dispatch's attributes");
    }
    let dispatch = Dispatch {
        id: unnumbered(),
        room: room.name,
        job_id: Some(job.id.clone()),
        tenant: attribute(TENANT).filter(|_| by_attribute),
        agent: attribute(AGENT).filter(|_| by_attribute),
        job_metadata,
        room_metadata,
        assigned_with_answer: false,
    };
    // Who was named by something that counts loses nothing by the rest.
    if dispatch.tenant.is_some() || (trusts(TrustedMetadata::Job) && without_tenant(&job.metadata).is_some()) {
        ignored.clear();
    }
    Question { dispatch, ignored }
}

/// The text without the tenant that it names; `None` if it names none.
fn without_tenant(text: &str) -> Option<String> {
    let mut fields: Map<String, Value> = serde_json::from_str(text).ok()?;
    match fields.remove(TENANT)? {
        Value::Null => None,
        Value::String(tenant) if tenant.trim().is_empty() => None,
        _ => serde_json::to_string(&fields).ok(),
    }
}

/// Whether nobody else may serve what was refused for this reason: then the server need not ask another worker.
pub(super) fn is_final(reason: RejectReason) -> bool {
    match reason {
        RejectReason::TenantInvalid
        | RejectReason::TenantMissing
        | RejectReason::TenantSuspended
        | RejectReason::RoomNamespace
        | RejectReason::AgentNotAllowed => true,
        // Another worker may have room, or another configuration.
        RejectReason::Draining
        | RejectReason::TenantUnknown
        | RejectReason::CircuitOpen
        | RejectReason::RateLimited
        | RejectReason::BudgetExceeded
        | RejectReason::TenantCap
        | RejectReason::AgentCap
        | RejectReason::GlobalCap
        | RejectReason::UnknownAgent
        | RejectReason::NotOwned
        | RejectReason::MembershipRejected
        | RejectReason::ConfigError
        | RejectReason::HostUnavailable => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(attributes: &[(&str, &str)], metadata: &str, room: &str) -> proto::Job {
        proto::Job {
            id: "AJ_1".into(),
            room: Some(proto::Room { name: "call-1".into(), metadata: room.into(), ..Default::default() }),
            metadata: metadata.into(),
            attributes: attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            ..Default::default()
        }
    }

    fn default() -> BTreeSet<TrustedMetadata> {
        [TrustedMetadata::Attributes, TrustedMetadata::Job].into()
    }

    const ACME: &str = r#"{"tenant":"acme","plan":"gold"}"#;

    #[test]
    fn attributes_name_tenant_and_agent() {
        let asked = question(&job(&[("tenant", "acme"), ("agent", "sales")], "", ACME), &default());
        assert_eq!((asked.dispatch.tenant.as_deref(), asked.dispatch.agent.as_deref()), (Some("acme"), Some("sales")));
        assert_eq!((asked.dispatch.room.as_str(), asked.dispatch.job_id.as_deref()), ("call-1", Some("AJ_1")));
        assert!(asked.ignored.is_empty() && !asked.dispatch.assigned_with_answer);
    }

    #[test]
    fn the_dispatchs_metadata_is_passed_on_as_it_is() {
        let asked = question(&job(&[], ACME, ""), &default());
        assert_eq!((asked.dispatch.job_metadata.as_str(), asked.dispatch.tenant), (ACME, None));
        assert!(asked.ignored.is_empty());
    }

    #[test]
    fn a_tenant_seen_only_in_the_rooms_metadata_is_ignored_and_told() {
        let asked = question(&job(&[], "{}", ACME), &default());
        assert_eq!(asked.dispatch.room_metadata, r#"{"plan":"gold"}"#);
        assert_eq!(asked.ignored, ["the room's metadata"]);
        let all = default().into_iter().chain([TrustedMetadata::Room]).collect();
        let asked = question(&job(&[], "{}", ACME), &all);
        assert_eq!((asked.dispatch.room_metadata.as_str(), asked.ignored.len()), (ACME, 0));
    }

    #[test]
    fn what_is_not_trusted_names_nobody() {
        let asked = question(&job(&[("tenant", "acme"), ("agent", "sales")], ACME, ACME), &BTreeSet::new());
        assert_eq!((asked.dispatch.tenant, asked.dispatch.agent), (None, None));
        assert!(!asked.dispatch.job_metadata.contains("acme") && !asked.dispatch.room_metadata.contains("acme"));
        assert_eq!(asked.ignored.len(), 3);
    }

    #[test]
    fn text_that_names_nobody_stays_as_it_is() {
        for text in ["", "hello", "[1]", r#"{"tenant":null}"#, r#"{"tenant":" "}"#, r#"{"a" : 1}"#] {
            let asked = question(&job(&[], "", text), &default());
            assert_eq!((asked.dispatch.room_metadata.as_str(), asked.ignored.len()), (text, 0));
        }
    }
}
