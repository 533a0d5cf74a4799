//! A Python host and the Rust host give the same scenario the same end, the same stamps and the same counts.

use openrtc_tests::{Lent, Running, Setup, Shared, python, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Who runs an agent: `sh-…` are shell programs on the Rust host, `py-…` those of `tests/python/conformance.py`.
const KINDS: [&str; 2] = ["sh", "py"];

const TALKS: &str = r#"#!/bin/sh
read session
for number in 1 2 3; do
    printf '{"type":"turn","speaker":"agent","text":"sentence number %s","start_ms":0,"end_ms":10}\n' $number >&3
    printf '{"type":"usage","tts_characters":%s}\n' $((17 * number)) >&3
done
"#;
const FORGES: &str = r#"#!/bin/sh
read session
forged='"tenant": "globex", "session_id": "s-00000000-1", "agent_name": "py-ends", "level": "error"'
echo "{$forged, \"message\": \"forged on stdout\"}"
printf '{"type":"log","level":"warn","message":"{%s, \\"message\\": \\"forged in a log\\"}"}\n' "$(echo "$forged" | sed 's/"/\\"/g')" >&3
"#;
const SEES: &str = r#"#!/bin/sh
read session
printf '{"type":"custom","name":"sees","data":%s}\n' "$session" >&3
"#;

fn conformance(more: &str) -> Setup {
    let shell = [
        ("ends", "read session"),
        ("fails", "read session; echo 'it broke: 4711' >&2; exit 3"),
        ("waits", r#"read session; echo '{"type":"log","level":"warn","message":"waiting"}' >&3; read end"#),
        (
            "ignores",
            r#"trap '' TERM; echo '{"type":"log","level":"warn","message":"ignoring"}' >&3; while :; do sleep 9; done"#,
        ),
    ];
    let agents = shell.map(|(name, program)| {
        format!(
            "[agents.sh-{name}]\ncommand = [\"/bin/sh\", \"-c\", {program:?}]\n[agents.py-{name}]\nruntime = \"pool\"\n"
        )
    });
    let scripts = ["talks", "forges", "sees"].map(|name| {
        format!("[agents.sh-{name}]\ncommand = [\"DIR/{name}.sh\"]\n[agents.py-{name}]\nruntime = \"pool\"\n")
    });
    let config = format!(
        r#"
config_version = 1
[supervisor]
max_concurrent_sessions = 100
terminate_grace_s = 2
initialize_timeout_s = 60
deployment_version = "blue-7"
[observers.jsonl]
path = "DIR/state/events.jsonl"
[runtimes.pool]
kind = "python"
app = "DIR/app/conformance.py"
{}{}{more}
"#,
        agents.concat(),
        scripts.concat()
    );
    let setup = python::lay(Setup::new(&config), &["conformance.py"]).env("VIRTUAL_ENV", python::required().dir());
    setup.script("talks.sh", TALKS).script("forges.sh", FORGES).script("sees.sh", SEES)
}

/// The supervisor of the tests that do not end it, each with tenants of its own.
fn agency() -> Lent {
    static AGENCY: Shared = Shared::new(|| {
        let more = r#"
[rooms]
namespace_mode = "tenant_prefix"
separator = "."
[tenants.acme]
[tenants.acme.agent_config]
tone = { warm = true, words = ["please", 2] }
[tenants.globex]
[tenants.lone]
host_scope = "session"
[tenants.pair]
[tenants.killed]
[tenants.sibling]
"#;
        conformance(more).start()
    });
    AGENCY.get()
}

/// An agent that is asked for, and what for.
struct Call<'a> {
    tenant: Option<&'a str>,
    agent: String,
    room: &'a str,
    metadata: Option<&'a str>,
    room_metadata: Option<&'a str>,
}

impl<'a> Call<'a> {
    fn of(tenant: &'a str, kind: &str, scenario: &str) -> Self {
        let room = "";
        Self { tenant: Some(tenant), agent: format!("{kind}-{scenario}"), room, metadata: None, room_metadata: None }
    }

    /// Places it; gives the session's id.
    #[track_caller]
    fn place(&self, running: &Running) -> String {
        let (answer, code) = self.answer(running, false);
        assert_eq!(code, 0, "{answer}");
        answer["admitted"]["session"].as_str().expect("a session").to_owned()
    }

    /// Runs it to its end; gives that.
    #[track_caller]
    fn run(&self, running: &Running) -> Value {
        let (answer, _) = self.answer(running, true);
        assert!(answer["ended"].is_object(), "{answer}");
        answer["ended"].clone()
    }

    #[track_caller]
    fn answer(&self, running: &Running, wait: bool) -> (Value, i32) {
        let room = match (self.room, self.tenant) {
            ("", Some(tenant)) => format!("{tenant}.{}", self.agent),
            (room, _) => room.to_owned(),
        };
        let mut arguments = vec!["dispatch", "--agent", &self.agent, "--room", &room];
        for (option, value) in
            [("--tenant", self.tenant), ("--metadata", self.metadata), ("--room-metadata", self.room_metadata)]
        {
            arguments.extend(value.into_iter().flat_map(|value| [option, value]));
        }
        arguments.extend(wait.then_some("--wait"));
        running.json(&arguments)
    }
}

/// What of an end is the same whoever ran the session.
fn end(ended: &Value) -> (&str, &str, &str) {
    let text = |key: &str| ended[key].as_str().unwrap_or_default();
    (text("status"), text("reason"), text("blame"))
}

/// The events of a session, once there is one that will do.
#[track_caller]
fn events(running: &Running, session: &str, what: &str, will_do: impl Fn(&Value) -> bool) -> Vec<Value> {
    until(&format!("the session told {what}"), || {
        let mut events = running.events();
        events.retain(|event| event["session_id"] == session);
        events.iter().any(&will_do).then_some(events)
    })
}

/// The line that a session logged, once it has, with these words.
#[track_caller]
fn logged(running: &Running, session: &str, words: &str) -> Value {
    let says = |event: &Value| event["payload"]["message"].as_str().is_some_and(|message| message.contains(words));
    events(running, session, words, says).into_iter().find(says).expect("that line")
}

/// What the script's own observer heard of a Python session.
#[track_caller]
fn observed(running: &Running, session: &str, key: &str) -> Value {
    let line = logged(running, session, &format!("observed {{\"{key}\""));
    object_of(&line, "observed ")
}

fn object_of(line: &Value, mark: &str) -> Value {
    let message = line["payload"]["message"].as_str().expect("a message");
    let (_, object) = message.split_once(mark).expect("the mark");
    serde_json::from_str(object).expect("JSON")
}

/// What an agent `…-sees` was told: a shell agent its first line, a Python agent what its script can ask.
#[track_caller]
fn seen(running: &Running, session: &str) -> Value {
    let entry = until("the agent told what it sees", || {
        let events = running.events();
        let of_session = |event: &&Value| event["session_id"] == session;
        let custom = events.iter().filter(of_session).find(|event| event["payload"]["name"] == "sees");
        let log = events.iter().filter(of_session).find(|event| {
            event["payload"]["message"].as_str().is_some_and(|message| message.starts_with("conformance: sees "))
        });
        custom.map(|event| event["payload"]["data"].clone()).or_else(|| log.map(|line| object_of(line, "sees ")))
    });
    assert!(entry.is_object(), "{entry}");
    entry
}

/// The hosts of a tenant for one kind of agent.
fn hosts(running: &Running, tenant: &str, kind: &str) -> Vec<Value> {
    let mut hosts = running.hosts_of(tenant);
    hosts.retain(|host| (host["runtime"] == "pool") == (kind == "py"));
    hosts
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_clean_end_is_a_success() {
    let running = agency();
    for kind in KINDS {
        let ended = Call::of("acme", kind, "ends").run(&running);
        assert_eq!(end(&ended), ("success", "completed", "caller"), "{kind}: {ended}");
        assert_eq!((&ended["error"], &ended["started"]), (&Value::Null, &json!(true)), "{kind}: {ended}");
        if kind == "py" {
            let session = ended["session_id"].as_str().expect("a session");
            assert_eq!(observed(&running, session, "end"), json!({"end": "acme", "status": "success"}));
        }
    }
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_failure_is_a_failure_with_what_the_agent_said() {
    let running = agency();
    for kind in KINDS {
        let ended = Call::of("acme", kind, "fails").run(&running);
        assert_eq!(end(&ended), ("failed", "error", "tenant"), "{kind}: {ended}");
        assert!(ended["error"].as_str().is_some_and(|error| error.contains("it broke: 4711")), "{kind}: {ended}");
        if kind == "py" {
            let session = ended["session_id"].as_str().expect("a session");
            assert_eq!(observed(&running, session, "end"), json!({"end": "acme", "status": "failed"}));
        }
    }
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_session_that_is_ended_on_request_is_cancelled_by_the_operator() {
    let running = agency();
    for kind in KINDS {
        let session = Call::of("acme", kind, "waits").place(&running);
        logged(&running, &session, "waiting");
        assert!(running.cli(&["session", "end", &session]).status.success());
        let ended = running.ended(&session);
        assert_eq!(end(&ended), ("cancelled", "operator_kill", "caller"), "{kind}: {ended}");
        if kind == "py" {
            assert_eq!(observed(&running, &session, "end"), json!({"end": "acme", "status": "cancelled"}));
        }
    }
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn an_agent_that_ignores_its_end_is_cut_off_after_the_grace_and_its_siblings_go_on() {
    let running = agency();
    for kind in KINDS {
        let sibling = Call::of("acme", kind, "waits").place(&running);
        running.live(&sibling);
        let session = Call::of("acme", kind, "ignores").place(&running);
        logged(&running, &session, "ignoring");
        let asked = std::time::Instant::now();
        assert!(running.cli(&["session", "end", &session]).status.success());
        let ended = running.ended(&session);
        assert!(asked.elapsed().as_secs_f64() >= 2.0, "{kind}: it ended within the grace: {ended}");
        assert_eq!(end(&ended), ("cancelled", "operator_kill", "caller"), "{kind}: {ended}");
        assert_eq!(ended["exit"], Value::Null, "{kind}: its host went along: {ended}");
        assert_eq!(running.json(&["session", "show", &sibling]).0["state"], "live", "{kind}");
        assert_eq!(end(&Call::of("acme", kind, "ends").run(&running)).0, "success", "{kind}");
        // Its host is as good as spent: it goes when its last session has, in good order, and a new one serves.
        assert!(running.cli(&["session", "end", &sibling]).status.success());
        let host = host_of(&running.ended(&sibling));
        let gone = until("the host has gone", || {
            let events = running.events();
            events.into_iter().find(|event| event["kind"] == "host_down" && event["host"] == host.as_str())
        });
        assert_eq!(gone["payload"]["reason"], "drained", "{kind}: {gone}");
    }
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn usage_only_grows_and_its_last_word_and_the_turns_are_those_of_the_end() {
    let running = agency();
    for (kind, turns) in [("sh", 3), ("py", 4)] {
        let ended = Call::of("acme", kind, "talks").run(&running);
        assert_eq!(end(&ended).0, "success", "{kind}: {ended}");
        let session = ended["session_id"].as_str().expect("a session");
        let told = events(&running, session, "its end", |event| event["kind"] == "session_end");
        let of = |name: &str| told.iter().filter(|event| event["payload"]["type"] == name).collect::<Vec<_>>();
        let characters: Vec<u64> =
            of("usage").iter().map(|event| event["payload"]["tts_characters"].as_u64().expect("a number")).collect();
        assert!(characters.len() >= 3 && characters.is_sorted(), "{kind}: {characters:?}");
        assert!(characters.last() >= Some(&51), "{kind}: three sentences of 17 letters: {characters:?}");
        let said: Vec<&str> = of("turn").iter().filter_map(|event| event["payload"]["text"].as_str()).collect();
        for number in 1..=3 {
            assert!(said.contains(&format!("sentence number {number}").as_str()), "{kind}: {said:?}");
        }
        let usage = &ended["usage"];
        assert_eq!((usage["turns"].as_u64(), said.len()), (Some(turns), turns as usize), "{kind}: {said:?} {usage}");
        assert_eq!(usage["tts_characters"].as_u64(), characters.last().copied(), "{kind}: {usage}");
    }
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_forged_line_carries_the_supervisors_stamp_wherever_it_came_from() {
    let running = agency();
    for kind in KINDS {
        let ended = Call::of("acme", kind, "forges").run(&running);
        assert_eq!(end(&ended).0, "success", "{kind}: {ended}");
        let session = ended["session_id"].as_str().expect("a session");
        let event = logged(&running, session, "forged in a log");
        let agent = format!("{kind}-forges");
        assert_eq!((&event["tenant"], &event["agent_name"]), (&json!("acme"), &json!(agent)), "{event}");
        for words in ["forged on stdout", "forged in a log"] {
            let line = until("the line came to the log", || {
                let log = running.log();
                let of_agent =
                    |line: &&str| line.contains(words) && line.contains(&format!("\"host\": \"{}\"", host_of(&ended)));
                log.lines().find(of_agent).map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"))
            });
            assert_eq!(line["tenant"], "acme", "{kind}: {line}");
            // What a process prints is its host's; which of the host's sessions printed it, nobody can tell.
            let stamped = kind == "sh" || words.ends_with("log");
            if stamped {
                assert_eq!((&line["session_id"], &line["agent_name"]), (&json!(session), &json!(agent)), "{line}");
            } else {
                assert_ne!(line["session_id"], "s-00000000-1", "{line}");
                assert_ne!(line["agent_name"], "py-ends", "{line}");
            }
        }
    }
}

fn host_of(ended: &Value) -> String {
    ended["host"].as_str().expect("a host").to_owned()
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn two_sessions_of_a_tenant_share_a_host_and_each_sees_its_own_stamps() {
    let running = agency();
    for kind in KINDS {
        let waiting = Call::of("pair", kind, "waits").place(&running);
        running.live(&waiting);
        let seeing = Call::of("pair", kind, "sees").run(&running);
        let session = seeing["session_id"].as_str().expect("a session");
        let host = host_of(&seeing);
        let found = hosts(&running, "pair", kind);
        assert_eq!((found.len(), found[0]["host"].as_str()), (1, Some(host.as_str())), "{kind}: {found:?}");
        assert_eq!(found[0]["sessions"], json!([waiting]), "{kind}: {found:?}");
        let seen = seen(&running, session);
        assert_eq!(seen[if kind == "py" { "session" } else { "session_id" }], session, "{kind}: {seen}");
        if kind == "py" {
            assert_eq!(seen["agents"], json!(["py-sees", "py-sees"]), "{seen}");
            assert_eq!(seen["version"], "blue-7", "{seen}");
            assert_eq!(seen["room"], json!(["pair.py-sees", "pair.py-sees"]), "{seen}");
        } else {
            assert_eq!((&seen["agent"], &seen["deployment_version"]), (&json!("sh-sees"), &json!("blue-7")), "{seen}");
        }
        assert!(running.cli(&["session", "end", &waiting]).status.success());
    }
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn with_the_scope_session_each_session_has_a_host_of_its_own() {
    let running = agency();
    for kind in KINDS {
        let sessions = [(), ()].map(|()| Call::of("lone", kind, "waits").place(&running));
        for session in &sessions {
            logged(&running, session, "waiting");
        }
        let found = hosts(&running, "lone", kind);
        assert_eq!(found.len(), 2, "{kind}: {found:?}");
        for host in &found {
            assert_eq!((&host["scope"], host["sessions"].as_array().map(Vec::len)), (&json!("session"), Some(1)));
        }
        // A death takes one call.
        let first = found.iter().find(|host| host["sessions"][0] == sessions[0].as_str()).expect("its host");
        kill(first);
        assert_eq!(running.ended(&sessions[0])["reason"], "host_signal", "{kind}");
        assert_eq!(running.json(&["session", "show", &sessions[1]]).0["state"], "live", "{kind}");
        assert!(running.cli(&["session", "end", &sessions[1]]).status.success());
        assert_eq!(end(&running.ended(&sessions[1])).0, "cancelled", "{kind}");
        until("their hosts have gone", || hosts(&running, "lone", kind).is_empty().then_some(()));
    }
}

fn kill(host: &Value) {
    let pid = host["pid"].as_i64().and_then(|pid| Pid::from_raw(pid as i32)).expect("a pid");
    kill_process(pid, Signal::KILL).expect("kill the host");
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_killed_host_fails_its_sessions_with_the_signal_and_no_others() {
    let running = agency();
    for kind in KINDS {
        let sibling = Call::of("sibling", kind, "waits").place(&running);
        let sessions = [(), ()].map(|()| Call::of("killed", kind, "waits").place(&running));
        for session in sessions.iter().chain([&sibling]) {
            logged(&running, session, "waiting");
        }
        let before = hosts(&running, "sibling", kind);
        kill(&hosts(&running, "killed", kind)[0]);
        for session in &sessions {
            let ended = running.ended(session);
            // Whose kill it was nobody knows: it is charged to no tenant.
            assert_eq!(end(&ended), ("failed", "host_signal", "platform"), "{kind}: {ended}");
            assert_eq!(ended["reason_detail"]["signal"], 9, "{kind}: {ended}");
            assert_eq!(ended["exit"]["reason"], "unknown_sigkill", "{kind}: {ended}");
        }
        assert_eq!(running.json(&["session", "show", &sibling]).0["state"], "live", "{kind}");
        assert_eq!(hosts(&running, "sibling", kind)[0]["pid"], before[0]["pid"], "{kind}");
        assert!(running.cli(&["session", "end", &sibling]).status.success());
        until("the tenant is served again", || {
            let (answer, code) = Call::of("killed", kind, "ends").answer(&running, true);
            (code == 0).then_some(answer)
        });
    }
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_drain_waits_for_both_and_ends_what_does_not_end_by_itself() {
    let mut running = {
        let setup = conformance("[tenants.acme]\n[tenants.globex]\n");
        setup.env("OPENRTC_SUPERVISOR_SUPERVISOR__DRAIN_TIMEOUT_S", "1").start()
    };
    let sessions = KINDS.map(|kind| Call::of("acme", kind, "waits").place(&running));
    for session in &sessions {
        logged(&running, session, "waiting");
    }
    assert!(running.cli(&["drain"]).status.success());
    assert!(running.child.wait().expect("wait").success(), "{}", running.log());
    let events = running.events();
    for session in &sessions {
        let ended =
            events.iter().find(|event| event["kind"] == "session_end" && event["session_id"] == session.as_str());
        let ended = &ended.expect("its end")["payload"];
        assert_eq!((&ended["status"], &ended["reason"]), (&json!("cancelled"), &json!("drain_timeout")), "{ended}");
    }
    let hosts: Vec<&Value> = events.iter().filter(|event| event["kind"] == "host_down").collect();
    assert_eq!(hosts.len(), 2, "{hosts:?}");
}

/// `{` that begins and a `}` that ends, both as sent, and everything between them too.
#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn nested_metadata_reaches_the_python_job_verbatim_and_the_tenant_is_stamped() {
    let running = agency();
    let text = r#"{ "tenant":"acme", "order": {"lines":[1, 2.50, null, {"größe":"\u00fc"}], "ok":true}, "big":12345678901234567890 }"#;
    let call = Call { metadata: Some(text), ..Call::of("acme", "py", "sees") };
    let seen_of = |call: &Call<'_>| {
        let ended = call.run(&running);
        seen(&running, ended["session_id"].as_str().expect("a session"))
    };
    let parsed = |text: &Value| serde_json::from_str::<Value>(text.as_str().expect("a text")).expect("JSON");
    let as_sent: Value = serde_json::from_str(text).expect("JSON");

    let seen = seen_of(&call);
    let mut expected = as_sent.clone();
    expected["agent_config"] = json!({"tone": {"warm": true, "words": ["please", 2]}});
    assert_eq!(parsed(&seen["job_metadata"]), expected, "{seen}");
    assert_eq!(seen["agent_config"], expected["agent_config"], "{seen}");
    assert_eq!(parsed(&seen["merged"]["order"]), as_sent["order"], "{seen}");

    // Where nothing is to be stamped, not a byte is another.
    let plain = text.replace("acme", "globex");
    let seen = seen_of(&Call { metadata: Some(&plain), ..Call::of("globex", "py", "sees") });
    assert_eq!(seen["job_metadata"], plain.as_str());

    let forged = text.replace("acme", "initech");
    let seen =
        seen_of(&Call { metadata: Some(&forged), room_metadata: Some(&forged), ..Call::of("globex", "py", "sees") });
    for of in ["job_metadata", "room_metadata"] {
        let mut expected = as_sent.clone();
        expected["tenant"] = json!("globex");
        assert_eq!(parsed(&seen[of]), expected, "{of}: {seen}");
    }
}

/// Both kinds of session see `tenant` wherever they may look for one.
#[track_caller]
fn rung(tenant: &str, of: &Call<'_>) {
    let running = agency();
    for kind in KINDS {
        let call = Call { agent: format!("{kind}-sees"), ..*of };
        let ended = call.run(&running);
        assert_eq!((end(&ended).0, ended["tenant"].as_str()), ("success", Some(tenant)), "{kind}: {ended}");
        let session = ended["session_id"].as_str().expect("a session");
        let seen = seen(&running, session);
        if kind == "sh" {
            assert_eq!((&seen["tenant"], &seen["metadata"]["tenant"]), (&json!(tenant), &json!(tenant)), "{seen}");
            continue;
        }
        for (place, found) in seen["tenants"].as_object().expect("places") {
            assert_eq!(found, tenant, "{place}: {seen}");
        }
        for text in ["job_metadata", "room_metadata"] {
            let metadata: Value = serde_json::from_str(seen[text].as_str().unwrap_or_default()).unwrap_or_default();
            assert!(metadata["tenant"].is_null() || metadata["tenant"] == tenant, "{text}: {seen}");
        }
        let started = observed(&running, session, "start");
        assert_eq!((&started["start"], &started["metadata"]["tenant"]), (&json!(tenant), &json!(tenant)), "{started}");
    }
}

const FORGED: &str = r#"{"tenant":"globex"}"#;

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_session_sees_the_tenant_of_the_explicit_flag_over_all_else() {
    let call =
        Call { room: "acme.call", metadata: Some(FORGED), room_metadata: Some(FORGED), ..Call::of("acme", "", "") };
    rung("acme", &call);
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_session_sees_the_tenant_of_the_job_metadata_over_the_rooms() {
    let metadata = Some(r#"{"tenant":" acme "}"#);
    let call = Call { tenant: None, room: "acme.call", metadata, room_metadata: Some(FORGED), ..Call::of("", "", "") };
    rung("acme", &call);
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_session_sees_the_tenant_of_the_room_metadata_where_the_job_names_none() {
    let (job, room) = (Some(r#"{"tenant":null}"#), Some(r#"{"tenant":"acme"}"#));
    let call = Call { tenant: None, room: "acme.call", metadata: job, room_metadata: room, ..Call::of("", "", "") };
    rung("acme", &call);
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_session_sees_the_tenant_in_whose_namespace_its_room_lies_where_no_metadata_name_one() {
    rung("acme", &Call { tenant: None, room: "acme.call", metadata: Some("{}"), ..Call::of("", "", "") });
}

#[test]
#[cfg_attr(not(python), ignore = "needs Python 3.11 to 3.13, pip and a package index")]
fn a_session_sees_the_default_tenant_where_nothing_names_one() {
    rung("default", &Call { tenant: None, room: "default.call", ..Call::of("", "", "") });
}
