//! The style guide as a test.
//!
//! Owns: sizes, layers, openings, banned words, and that documents name what exists. Never: parses Rust; it reads lines.

mod licences;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file without its tests, in lines.
const FILE_LINES_MAX: usize = 400;
/// Longest function, in lines.
const FN_LINES_MAX: usize = 70;

/// Inside `supervisor/src`, a file imports only from rows below its own.
const ROWS: &[(usize, &[&str])] = &[
    // `run` wires everything together; `doctor` is the start-up report as a command; `application` makes configurations
    // of Python applications for the command line.
    (5, &["main", "lib", "run", "doctor", "cli", "application", "demo", "selftest"]),
    (4, &["driver", "sources", "effects", "shutdown"]),
    (3, &["dispatch", "control", "changes"]),
    (2, &["spawn", "host", "wall", "observer", "audit", "ledger", "metrics", "preflight", "secrets"]),
    (1, &["config", "telemetry"]),
    (0, &["sys"]),
];

/// Imports against the rows that were thought about. Each says why.
const ROW_EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("host", "sources", "a host's task tells the driver through the handle, which is all that sources shows it"),
    ("control", "sources", "the control API asks the driver through the handle"),
    ("changes", "sources", "new rules reach the driver through the handle"),
    ("dispatch", "sources", "a dispatch enters through the handle"),
];

/// Calls that are banned, where they are allowed all the same, and why.
const BANS: &[(&str, &[&str], &str)] = &[
    ("unbounded_channel", &[], "everything has a bound"),
    ("todo!(", &[], "no hollow path"),
    ("unimplemented!(", &[], "no hollow path"),
    ("#[allow(", &[], "use #[expect(.., reason = \"…\")]"),
    (
        "Command::new(",
        &[
            "supervisor/src/spawn/",
            "tenant-host/src/command_agent",
            "supervisor/src/demo/",
            "tests/",
            "supervisor/tests/",
            "tenant-host/tests/",
            "examples/",
        ],
        "only the spawner and the command agent make processes",
    ),
];

/// Words that policy must not contain: time and randomness are its arguments.
const IMPURE: &[&str] = &["Instant::now", "SystemTime", "std::fs", "std::env", "std::thread", "tokio", "libc", "rand"];

struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        let path = &self.path;
        path.starts_with("tests/")
            || path.starts_with("examples/")
            || path.contains("/tests/")
            || path.ends_with("tests.rs")
    }

    /// Everything before the file's own tests.
    fn body(&self) -> &str {
        self.text.split("\n#[cfg(test)]\n").next().unwrap_or_default()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("readable directory") {
        let path = entry.expect("readable entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && !name.starts_with("target") {
                walk(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

fn files(extension: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root(), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).expect("readable source"),
        path: path.strip_prefix(root()).expect("below the root").display().to_string(),
    };
    paths.into_iter().map(read).collect()
}

#[track_caller]
fn assert_none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_file_opens_with_its_purpose() {
    let unsaid = |source: &Source| !source.text.starts_with("//!");
    assert_none(files("rs").iter().filter(|source| unsaid(source)).map(|source| source.path.clone()).collect());
}

#[test]
fn a_file_holds_one_noun() {
    let long =
        |source: &Source| (!source.is_test()).then(|| source.body().lines().count()).filter(|n| *n > FILE_LINES_MAX);
    assert_none(files("rs").iter().filter_map(|s| long(s).map(|n| format!("{}: {n} lines", s.path))).collect());
}

#[test]
fn a_function_fits_a_screen() {
    let mut faults = Vec::new();
    for source in files("rs").iter().filter(|source| !source.is_test()) {
        let mut open: Option<(usize, String, String)> = None;
        for (number, line) in source.body().lines().enumerate() {
            let code = line.trim_start();
            let indent = line[..line.len() - code.len()].to_owned();
            let is_fn =
                ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(crate) fn ", "unsafe fn ", "pub(super) fn "]
                    .iter()
                    .any(|start| code.starts_with(start));
            if is_fn && open.is_none() {
                open = Some((number, indent, code.to_owned()));
            } else if let Some((start, _, name)) = open.take_if(|(_, indent, _)| line == format!("{indent}}}"))
                && number - start > FN_LINES_MAX
            {
                faults.push(format!("{}:{}: {} lines: {name}", source.path, start + 1, number - start));
            }
        }
    }
    assert_none(faults);
}

#[test]
fn unsafe_stands_only_in_sys_and_says_why_it_is_safe() {
    let mut faults = Vec::new();
    for source in files("rs").iter().filter(|source| !source.is_test()) {
        let lines: Vec<&str> = source.body().lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| code.contains(word)) {
                continue;
            }
            if !source.path.contains("/sys/") {
                faults.push(format!("{}:{}: unsafe outside sys", source.path, number + 1));
            }
            if !lines[number.saturating_sub(10)..=number]
                .iter()
                .any(|line| line.contains("SAFETY") || line.contains("# Safety"))
            {
                faults.push(format!("{}:{}: unsafe without SAFETY", source.path, number + 1));
            }
        }
    }
    assert_none(faults);
}

#[test]
fn banned_calls_stand_only_where_they_are_allowed() {
    let mut faults = Vec::new();
    for source in files("rs").iter().filter(|source| source.path != "tests/tidy/main.rs") {
        for (word, allowed, why) in BANS {
            if allowed.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            for (number, line) in source.body().lines().enumerate() {
                if line.split("//").next().unwrap_or_default().contains(word) {
                    faults.push(format!("{}:{}: {word}: {why}", source.path, number + 1));
                }
            }
        }
    }
    assert_none(faults);
}

#[test]
fn policy_is_pure() {
    let mut faults = Vec::new();
    for source in files("rs").iter().filter(|source| source.path.starts_with("supervisor/policy/src/")) {
        for (number, line) in source.body().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let named = |word: &str| code.match_indices(word).any(|(at, _)| begins(at));
            if let Some(word) = IMPURE.iter().find(|word| named(word)) {
                faults.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
    }
    assert_none(faults);
}

#[test]
fn layers_import_downwards() {
    let rows: BTreeMap<&str, usize> =
        ROWS.iter().flat_map(|(row, names)| names.iter().map(move |n| (*n, *row))).collect();
    let mut faults = Vec::new();
    for source in files("rs") {
        let Some(inside) = source.path.strip_prefix("supervisor/src/") else { continue };
        let own = inside.split(['/', '.']).next().unwrap_or_default();
        let Some(own_row) = rows.get(own) else {
            faults.push(format!("{}: in no row of architecture.md", source.path));
            continue;
        };
        for (number, line) in source.body().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for named in code.split("crate::").skip(1) {
                let other = named.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
                let Some(other_row) = rows.get(other) else { continue };
                let excepted = ROW_EXCEPTIONS.iter().any(|(from, to, _)| *from == own && *to == other);
                if other_row > own_row && !excepted {
                    faults.push(format!(
                        "{}:{}: {own} (row {own_row}) imports {other} (row {other_row})",
                        source.path,
                        number + 1
                    ));
                }
            }
        }
    }
    assert_none(faults);
}

#[test]
fn the_two_sides_of_the_wall_meet_only_on_the_wire() {
    let mut faults = Vec::new();
    for source in files("rs") {
        let path = source.path.as_str();
        let crosses = (path.starts_with("supervisor/src/")
            && path != "supervisor/src/main.rs"
            && source.body().contains("openrtc_tenant_host"))
            || (path.starts_with("tenant-host/src/") && source.body().contains("openrtc_supervisor"));
        if crosses {
            faults.push(source.path);
        }
    }
    assert_none(faults);
}

/// It is unmaintained (RUSTSEC-2025-0141): `docs/decisions/0001-bincode.md` says how it is held and how to leave it.
#[test]
fn bincode_is_pinned_and_named_in_one_file() {
    let code = |source: &Source| {
        source.text.lines().any(|line| line.split("//").next().is_some_and(|c| c.contains("bincode")))
    };
    let mut named: Vec<String> = files("rs")
        .iter()
        .filter(|source| source.path != "tests/tidy/main.rs" && code(source))
        .map(|s| s.path.clone())
        .collect();
    let declared = |line: &str| line.trim_start().starts_with("bincode");
    for manifest in files("toml") {
        for line in manifest.text.lines().filter(|line| declared(line)) {
            named.push(format!("{}: {}", manifest.path, if line.contains("\"=2.0.1\"") { "=2.0.1" } else { line }));
        }
    }
    assert_eq!(named, ["ipc/src/codec.rs", "ipc/Cargo.toml: =2.0.1"]);
}

#[test]
fn paths_named_in_the_documents_exist() {
    let tops = ["supervisor/", "tenant-host/", "ipc/", "tests/", "examples/", "docs/", ".ci/"];
    let mut faults = Vec::new();
    for source in files("md") {
        for word in source.text.split('`').skip(1).step_by(2) {
            let path = word.split([' ', ':', '#']).next().unwrap_or_default();
            let named = tops.iter().any(|top| path.starts_with(top)) && !path.contains(['*', '{', '<', '…']);
            if named && !root().join(path).exists() {
                faults.push(format!("{}: {path}", source.path));
            }
        }
    }
    assert_none(faults);
}

#[test]
fn every_guarantee_names_a_test_that_exists() {
    let guarantees = fs::read_to_string(root().join("docs/guarantees.md")).expect("docs/guarantees.md");
    let sources = files("rs");
    let mut faults = Vec::new();
    let mut rows = 0;
    for line in guarantees
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Guarantee") && !line.starts_with("|--"))
    {
        rows += 1;
        let named: Vec<&str> = line.split('`').skip(1).step_by(2).filter(|word| word.contains("::")).collect();
        if named.is_empty() {
            faults.push(format!("names no test: {line}"));
        }
        for name in named {
            let mut parts = name.rsplit("::");
            let (function, file) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let found =
                |source: &&Source| source.path.contains(file) && source.text.contains(&format!("fn {function}("));
            if !sources.iter().any(|source| found(&source)) {
                faults.push(format!("no such test: {name}"));
            }
        }
    }
    assert!(rows > 10, "only {rows} guarantees found: has the table changed its form?");
    assert_none(faults);
}
