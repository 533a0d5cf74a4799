//! Which lines pass, and how a growing file is followed.

use std::fs;
use std::io::Write;

use super::follow::Tail;
use super::*;
use crate::cli::output::Color;

const ACME: &str = r#"{"timestamp": "2026-01-01T00:00:00Z", "level": "WARNING", "session_id": "s-1-1", "agent_name": "support", "tenant": "acme-corp", "logger": "openrtc", "message": "late \u001b[2J", "host": "h1.1", "ms": 12, "note": "two words"}"#;
const GLOBEX: &str = r#"{"timestamp": "2026-01-01T00:00:01Z", "level": "INFO", "session_id": null, "agent_name": null, "tenant": "globex", "logger": "openrtc", "message": "tenant=acme-corp"}"#;

fn sieve(tenant: Option<&str>, level: Option<Level>) -> Sieve {
    let tenant = tenant.map(str::to_owned);
    Sieve::new(&Options { file: None, follow: false, tenant, session: None, agent: None, level })
}

/// What is shown of these bytes, and how many lines were left out as foreign.
fn strained(sieve: &Sieve, json: bool, bytes: &[u8]) -> (String, u64) {
    let output = Output::new(json, false, Color::Never);
    let (mut shown, mut foreign, mut cutter) = (Vec::new(), 0, LineCutter::default());
    cutter.push(bytes, LINE_BYTES_MAX, |line| strain(sieve, &output, line, &mut shown, &mut foreign));
    cutter.finish(|line| strain(sieve, &output, line, &mut shown, &mut foreign));
    (String::from_utf8(shown).unwrap(), foreign)
}

#[test]
fn a_line_reads_as_the_supervisor_writes_it_on_a_terminal() {
    let (shown, foreign) = strained(&sieve(None, None), false, ACME.as_bytes());
    let stamp = "tenant=acme-corp session_id=s-1-1 agent_name=support host=h1.1";
    assert_eq!(shown, format!("2026-01-01T00:00:00Z  WARN {stamp} late \\x1b[2J ms=12 note=\"two words\"\n"));
    assert_eq!(foreign, 0);
}

#[test]
fn a_tenant_s_lines_are_told_by_its_stamp_and_come_out_byte_for_byte() {
    let both = format!("{ACME}\n{GLOBEX}\r\n");
    assert_eq!(strained(&sieve(Some("acme-corp"), None), true, both.as_bytes()).0, format!("{ACME}\n"));
    assert_eq!(strained(&sieve(Some("globex"), None), true, both.as_bytes()).0, format!("{GLOBEX}\n"));
    assert_eq!(strained(&sieve(Some("initech"), None), true, both.as_bytes()).0, "");
}

#[test]
fn a_level_lets_through_what_is_as_grave_and_what_nobody_knows() {
    let odd = r#"{"level": "NOTICE", "message": "odd"}"#;
    let all = format!("{ACME}\n{GLOBEX}\n{odd}\n");
    let shown = |level| strained(&sieve(None, Some(level)), true, all.as_bytes()).0.lines().count();
    assert_eq!([Level::Trace, Level::Info, Level::Warning, Level::Error].map(shown), [3, 3, 2, 1]);
    let critical = r#"{"level": "CRITICAL", "message": "x"}"#;
    assert_eq!(strained(&sieve(None, Some(Level::Error)), true, critical.as_bytes()).0.lines().count(), 1);
}

#[test]
fn what_is_no_json_is_shown_harmless_without_a_filter_and_counted_with_one() {
    let text = b"plain \x1b[2J \xff\n[1]\n";
    assert_eq!(strained(&sieve(None, None), false, text), ("plain \\x1b[2J \u{fffd}\n[1]\n".to_owned(), 0));
    assert_eq!(strained(&sieve(Some("a"), None), false, text), (String::new(), 2));
    assert_eq!(strained(&sieve(None, None), true, text), (String::new(), 2));
}

#[test]
fn a_line_without_end_costs_its_bound_and_the_next_is_read() {
    let long = format!("{}\n{GLOBEX}\n", "x".repeat(3 * LINE_BYTES_MAX));
    let (shown, foreign) = strained(&sieve(Some("globex"), None), true, long.as_bytes());
    assert_eq!((shown, foreign), (format!("{GLOBEX}\n"), 1));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_reach_the_terminal_raw(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), json: bool, filter: bool,
    ) {
        let text = [ACME.as_bytes(), b"\n", &bytes[..], b"\n{\"message\": 3, \"tenant\": {}}\n"].concat();
        let (shown, _) = strained(&sieve(filter.then_some("acme-corp"), None), json, &text);
        proptest::prop_assert!(!shown.contains('\x1b'));
    }
}

#[test]
fn a_file_is_followed_through_growth_emptying_and_replacement() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let output = Output::new(true, true, Color::Never);
    // Nothing passes: what came is told by the count of foreign lines.
    let mut strainer = Strainer::new(sieve(Some("nobody"), None), &output);
    let mut tail = Tail::new(&path);
    let mut look = |strainer: &mut Strainer<'_>| {
        while tail.look(strainer).map_err(|_| "look").unwrap() {}
        strainer.foreign
    };
    assert_eq!(look(&mut strainer), 0, "there is no file yet");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(b"one\ntw").unwrap();
    assert_eq!(look(&mut strainer), 1, "a half line waits");
    file.write_all(b"o\n").unwrap();
    assert_eq!(look(&mut strainer), 2);
    fs::rename(&path, dir.path().join("log.1")).unwrap();
    file.write_all(b"after the move\n").unwrap();
    assert_eq!(look(&mut strainer), 3, "the old one is still written to");
    file.write_all(b"last words\n").unwrap();
    fs::write(&path, "new\nnewer\n").unwrap();
    assert_eq!(look(&mut strainer), 6, "the rest of the old one, and the new one");
    fs::write(&path, "").unwrap();
    look(&mut strainer);
    fs::write(&path, "anew\n").unwrap();
    assert_eq!(look(&mut strainer), 7, "from its beginning");
}
