//! `docs/configuration.md` names every key that is built, and none that is not.

use std::collections::BTreeSet;

use crate::config::faults::Faults;
use crate::config::file::ConfigFile;
use crate::config::section::Section;
use crate::config::tree::{self, Origin};

const DOCUMENT: &str = include_str!("../../../../docs/configuration.md");

/// Every key of every kind of section, as `section.key`.
fn built() -> BTreeSet<String> {
    // Named tables are read only where there is one.
    let text = "[runtimes.r]\nkind = \"program\"\n[agents.a]\n[tenants.t]\n[[routing.rule]]\nagent = \"a\"\n";
    let mut faults = Faults::default();
    let origin = Origin::whole("test", "/".as_ref());
    let root = tree::parse(text, &origin.source, &mut faults);
    let mut section = Section::root(root, origin, &mut faults);
    ConfigFile::read(&mut section);
    section.finish();
    let keys = faults.known().iter().flat_map(|(kind, keys)| {
        keys.iter().map(move |key| if kind.is_empty() { (*key).to_owned() } else { format!("{kind}.{key}") })
    });
    keys.collect()
}

/// Headings are sections, and the first cell of a row of their table is a key.
fn documented() -> BTreeSet<String> {
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in DOCUMENT.lines() {
        if let Some(heading) = line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")) {
            let name = heading.split('`').nth(1).unwrap_or_default();
            section = name.trim_matches(['[', ']']).to_owned();
        }
        if let Some(key) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next()) {
            keys.insert(if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") });
        }
    }
    keys
}

#[test]
fn every_built_key_is_documented_and_no_other() {
    let has_heading = |key: &String| {
        [format!("`[{key}]`"), format!("`[{key}.NAME]`"), format!("`[[{key}]]`")].iter().any(|it| DOCUMENT.contains(it))
    };
    // Known, so that it can be refused with a reason of its own.
    let refused = |key: &String| key == "tenants.NAME.wall.session_seconds_max";
    let built: BTreeSet<String> = built().into_iter().filter(|key| !has_heading(key) && !refused(key)).collect();
    let documented: BTreeSet<String> = documented().into_iter().filter(|key| !has_heading(key)).collect();
    let missing: Vec<_> = built.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&built).collect();
    assert!(built.len() > 100, "{built:#?}");
    assert!(missing.is_empty() && invented.is_empty(), "not documented: {missing:#?}\nnot built: {invented:#?}");
}
