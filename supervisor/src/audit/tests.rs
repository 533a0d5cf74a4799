//! The chain and its verification: what a writer may suffer, and what a forger may try.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use tempfile::TempDir;

use super::verify::{End, Verdict, verify};
use super::{Actor, AuditFault, Chain, Entry, HEAD_FILE, Head};

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("deep/audit.jsonl")
    }

    fn head(&self) -> PathBuf {
        self.0.path().join(HEAD_FILE)
    }

    fn open(&self) -> Chain {
        Chain::open(&self.log(), &self.head(), Some("v1".to_owned())).unwrap()
    }

    /// A run that writes so many records.
    fn run(&self, records: u64) {
        let mut chain = self.open();
        for number in 0..records {
            chain.append(&entry(number), 1_700_000_000_000 + number).unwrap();
        }
        chain.sync().unwrap();
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(self.log()).unwrap().lines().map(str::to_owned).collect()
    }

    fn put(&self, lines: &[String]) {
        fs::write(self.log(), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }

    fn verify(&self) -> Verdict {
        verify(&self.log(), Head::read(&self.head()).unwrap().as_ref()).unwrap()
    }

    fn kinds(&self) -> Vec<(&'static str, u64)> {
        self.verify().findings.iter().map(|finding| (finding.kind, finding.line)).collect()
    }
}

fn entry(number: u64) -> Entry {
    Entry::new("tenant.suspended", Actor::Peer { uid: 7, pid: Some(9) }, format!("t{number}"))
        .with("tenant", "ä\u{9b}x")
}

#[test]
fn a_record_has_openrtcs_fields_in_their_order_and_flat_extras() {
    let place = Place::new();
    place.run(1);
    let line = place.lines().remove(0);
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
    assert_eq!((fields["seq"].as_u64(), fields["timestamp"].as_f64()), (Some(1), Some(1_700_000_000.0)));
    assert_eq!((fields["actor"].as_str(), fields["actor_pid"].as_i64()), (Some("uid:7"), Some(9)));
    assert_eq!((fields["result"].as_str(), fields["version"].as_str()), (Some("ok"), Some("v1")));
    assert!(
        line.starts_with("{\"seq\": 1, \"timestamp\": 1700000000.0, \"event\": \"tenant.suspended\", \"actor\""),
        "{line}"
    );
    assert!(!line.contains('\u{9b}'), "a terminal could obey it");
    assert_eq!(fs::metadata(place.log()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_restart_goes_on_with_the_chain() {
    let place = Place::new();
    place.run(3);
    place.run(2);
    let verdict = place.verify();
    assert!(verdict.ok, "{verdict:?}");
    assert_eq!((verdict.records, verdict.first_seq, verdict.last_seq, verdict.end), (5, Some(1), Some(5), End::Head));
}

#[test]
fn every_single_flipped_bit_is_found() {
    let place = Place::new();
    place.run(3);
    let whole = fs::read(place.log()).unwrap();
    for at in 0..whole.len() {
        for bit in [0x01, 0x20, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= bit;
            fs::write(place.log(), &bytes).unwrap();
            let verdict = place.verify();
            assert!(!verdict.ok, "bit {bit:#x} of byte {at} of {}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn lines_that_are_missing_moved_or_doubled_are_named() {
    let place = Place::new();
    place.run(6);
    let lines = place.lines();
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut changed = lines.clone();
        change(&mut changed);
        place.put(&changed);
        place.kinds()
    };
    assert_eq!(with(&|_| {}), []);
    assert_eq!(with(&|lines| _ = lines.remove(2)), [("missing", 3)]);
    assert_eq!(with(&|lines| _ = lines.drain(..2)), [("missing", 1)]);
    assert_eq!(with(&|lines| lines.swap(2, 3)), [("reordered", 4)]);
    assert_eq!(with(&|lines| lines.insert(4, lines[1].clone())), [("repeated", 5)]);
    assert_eq!(with(&|lines| lines.insert(4, "{\"seq\": 5}".to_owned())), [("malformed", 5)]);
    assert_eq!(with(&|lines| lines.truncate(4)), [("truncated", 5)]);
    assert_eq!(with(&|lines| lines.clear()), [("truncated", 1)]);
    assert_eq!(with(&|lines| lines[2] = lines[2].replace("t2", "t9")), [("altered", 3)]);
}

#[test]
fn a_chain_forged_anew_is_not_the_one_that_the_head_knows() {
    let (place, forger) = (Place::new(), Place::new());
    place.run(4);
    let mut chain = forger.open();
    for number in 0..4 {
        chain.append(&entry(number + 10), 1).unwrap();
    }
    fs::copy(forger.log(), place.log()).unwrap();
    assert_eq!(place.kinds(), [("altered", 4)]);
    assert!(verify(&place.log(), None).unwrap().ok, "without a head it is a chain like any other");
}

#[test]
fn a_line_torn_by_death_is_closed_with_a_record_that_says_so() {
    let place = Place::new();
    place.run(3);
    let mut bytes = fs::read(place.log()).unwrap();
    bytes.extend_from_slice(b"{\"seq\": 4, \"timest");
    fs::write(place.log(), &bytes).unwrap();
    assert_eq!(place.kinds(), [("torn", 4)]);
    place.run(1);
    let verdict = place.verify();
    assert!(verdict.ok && verdict.torn == 1, "{verdict:?}");
    assert!(place.lines()[4].contains("\"audit.gap\"") && place.lines()[4].contains("\"torn_bytes\": 18"));
    // The closing record vouches for those very bytes.
    let mut lines = place.lines();
    lines[3].push('x');
    place.put(&lines);
    assert_eq!(place.kinds(), [("malformed", 4)]);
}

#[test]
fn what_was_cut_off_or_changed_between_two_runs_stays_found_for_ever() {
    for (why, change) in [
        ("truncated", (|lines: &mut Vec<String>| lines.truncate(2)) as fn(&mut Vec<String>)),
        ("file_missing", |lines| lines.clear()),
        ("altered", |lines| lines[3] = lines[3].replace("t3", "t8")),
    ] {
        let place = Place::new();
        place.run(4);
        let mut lines = place.lines();
        change(&mut lines);
        place.put(&lines);
        place.run(2);
        let text = place.lines().join("\n");
        assert!(text.contains(&format!("\"why\": \"{why}\"")), "{text}");
        let verdict = place.verify();
        assert_eq!((verdict.ok, verdict.continues), (why == "file_missing", why == "file_missing"), "{verdict:?}");
    }
}

#[test]
fn a_log_that_is_moved_away_goes_on_in_a_new_file() {
    let place = Place::new();
    let mut chain = place.open();
    chain.append(&entry(1), 1).unwrap();
    chain.sync().unwrap();
    fs::rename(place.log(), place.log().with_extension("1")).unwrap();
    chain.append(&entry(2), 1).unwrap();
    chain.sync().unwrap();
    let verdict = place.verify();
    assert!(verdict.ok && verdict.continues, "{verdict:?}");
    assert_eq!((verdict.first_seq, verdict.last_seq), (Some(2), Some(3)));
    assert!(verify(&place.log().with_extension("1"), None).unwrap().ok);
}

#[test]
fn a_full_device_uses_numbers_up_and_the_next_record_says_how_many() {
    let place = Place::new();
    fs::create_dir(place.log().parent().unwrap()).unwrap();
    let mut chain = Chain::open("/dev/full".as_ref(), &place.head(), None).unwrap();
    for number in 0..3 {
        assert!(matches!(chain.append(&entry(number), 1), Err(AuditFault::Write { .. })));
    }
    assert_eq!(chain.lost(), 3);
    // The numbers stay used up over a restart, and where there is room it is said.
    chain.sync().unwrap();
    let head = Head { path: place.log(), ..Head::read(&place.head()).unwrap().unwrap() };
    assert_eq!((head.seq, head.lost), (0, 3));
    head.write(&place.head()).unwrap();
    place.run(1);
    let verdict = place.verify();
    assert_eq!((verdict.lost, verdict.last_seq), (3, Some(5)), "{verdict:?}");
}

#[test]
fn what_is_no_log_of_ours_is_refused() {
    let place = Place::new();
    fs::create_dir(place.log().parent().unwrap()).unwrap();
    let refused = || Chain::open(&place.log(), &place.head(), None).unwrap_err();
    fs::write(place.log(), "somebody's notes\n").unwrap();
    assert!(matches!(refused(), AuditFault::Foreign { .. }));
    fs::remove_file(place.log()).unwrap();
    symlink(place.head(), place.log()).unwrap();
    assert!(matches!(refused(), AuditFault::Open { .. }), "a link could lead anywhere");
    fs::remove_file(place.log()).unwrap();
    nix::unistd::mkfifo(&place.log(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(refused(), AuditFault::NotAFile { .. }));
    fs::remove_file(place.log()).unwrap();
    let _first = place.open();
    assert!(matches!(refused(), AuditFault::Taken { .. }), "one file has one writer");
}
