//! The grammar of ids (semantics A1): what is one, what is none, and that none leads out of a directory.

use std::path::{Component, Path};

use openrtc_ipc::{AgentName, HostId, RuntimeName, SessionId, TenantId};
use proptest::prelude::*;

#[test]
fn tenant_ids_follow_openrtc_s_grammar() {
    let long = |count| "a".repeat(count);
    for good in ["a", "acme-corp", "A_1-", "-", "_", "0", &long(128)] {
        assert_eq!(TenantId::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", " ", "a.b", "a/b", "..", ".", "a b", "ünï", "a\0b", "a\nb", "\u{ff41}", "a\\b", "%2e", &long(129)]
    {
        let error = TenantId::parse(bad).unwrap_err().to_string();
        assert!(error.starts_with("Tenant id must be 1-128 characters of ASCII letters"), "{bad:?}: {error}");
    }
}

#[test]
fn white_space_around_an_id_is_dropped() {
    assert_eq!(TenantId::parse(" acme\t\n").unwrap().as_str(), "acme");
    assert_eq!(TenantId::parse(&format!("  {}  ", "a".repeat(128))).unwrap().as_str().len(), 128);
}

#[test]
fn names_of_agents_and_runtimes_are_shorter() {
    assert!(AgentName::parse(&"a".repeat(64)).is_ok() && RuntimeName::parse(&"a".repeat(64)).is_ok());
    let error = AgentName::parse(&"a".repeat(65)).unwrap_err().to_string();
    assert!(error.starts_with("agent name must be 1-64 characters"), "{error}");
    let error = RuntimeName::parse("../x").unwrap_err().to_string();
    assert!(error.starts_with("runtime name must be") && error.contains("\"../x\""), "{error}");
}

#[test]
fn an_error_shows_the_beginning_only() {
    assert!(TenantId::parse(&"/".repeat(100_000)).unwrap_err().to_string().len() < 300);
    assert!("s-".repeat(100_000).parse::<SessionId>().unwrap_err().to_string().len() < 300);
}

#[test]
fn session_and_host_ids_that_we_did_not_make_are_refused() {
    for bad in ["", "s-", "s-1", "1a2b-3", "s-1a2b3c4d5-1", "s-1a2b3c4d--1", "s-xyz-1", "s-1-99999999999999999999"] {
        assert!(bad.parse::<SessionId>().is_err(), "{bad:?}");
    }
    for bad in ["", "h", "h1", "3.1", "h1.", "h.1", "h-1.1", "h1.4294967296"] {
        assert!(bad.parse::<HostId>().is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn no_id_that_is_accepted_can_escape_a_path_join(text in "\\PC{0,140}|[./\\\\a-z \\x00]{0,20}") {
        if let Ok(id) = TenantId::parse(&text) {
            let joined = Path::new("/run/tenants").join(id.as_str());
            prop_assert_eq!(joined.parent(), Some(Path::new("/run/tenants")));
            prop_assert!(joined.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))));
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written(run in any::<u32>(), seq in any::<u64>(), index in any::<u32>()) {
        let (session, host) = (SessionId { run, seq }, HostId { index, generation: run });
        prop_assert_eq!(session.to_string().parse(), Ok(session));
        prop_assert_eq!(host.to_string().parse(), Ok(host));
    }
}
