//! `docs/configuration.md` names every key that is built, and none that is not; the schema and `config init` are made of both.

use std::collections::BTreeSet;

use super::{AGENT, Place, faulty};
use crate::config::page::{self, PAGE};
use crate::config::{schema, template};

const CHECKED_IN: &str = include_str!("../../../../docs/config.schema.json");

/// Every key of every kind of section, as `section.key`.
fn built() -> BTreeSet<String> {
    let faults = schema::read_one_of_each();
    let keys = faults.known().iter().flat_map(|(kind, known)| {
        let keys = known.keys.keys().filter(|key| !known.refused.contains(*key));
        keys.map(move |key| if kind.is_empty() { (*key).to_owned() } else { format!("{kind}.{key}") })
    });
    keys.collect()
}

/// Headings are sections, and the first cell of a row of their table is a key.
fn documented() -> BTreeSet<String> {
    let sections = page::sections().into_iter();
    let keys = sections.flat_map(|section| {
        let name = section.name;
        section.rows.into_iter().map(move |row| match name.as_str() {
            "" => row.key.to_owned(),
            name => format!("{name}.{}", row.key),
        })
    });
    keys.collect()
}

fn valid(schema: &serde_json::Value, text: &str) -> bool {
    let table: toml::Table = text.parse().unwrap();
    let document = serde_json::to_value(table).unwrap();
    jsonschema::draft7::new(schema).unwrap().is_valid(&document)
}

#[test]
fn every_built_key_is_documented_and_no_other() {
    let has_heading = |key: &String| {
        [format!("`[{key}]`"), format!("`[{key}.NAME]`"), format!("`[[{key}]]`")].iter().any(|it| PAGE.contains(it))
    };
    let built: BTreeSet<String> = built().into_iter().filter(|key| !has_heading(key)).collect();
    let documented: BTreeSet<String> = documented().into_iter().filter(|key| !has_heading(key)).collect();
    let missing: Vec<_> = built.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&built).collect();
    assert!(built.len() > 100, "{built:#?}");
    assert!(missing.is_empty() && invented.is_empty(), "not documented: {missing:#?}\nnot built: {invented:#?}");
}

#[test]
fn the_schema_that_is_checked_in_is_the_one_that_is_printed() {
    let printed = serde_json::to_string_pretty(&schema::schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/config.schema.json"), printed).unwrap();
        return;
    }
    assert!(CHECKED_IN == printed, "docs/config.schema.json is another one; write it anew with UPDATE_DOCS=1");
}

#[test]
fn the_schema_takes_every_configuration_of_the_repository() {
    let schema = schema::schema();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut seen = 0;
    for example in std::fs::read_dir(format!("{root}/examples")).unwrap() {
        let Ok(text) = std::fs::read_to_string(example.unwrap().path().join("openrtc-supervisor.toml")) else {
            continue;
        };
        assert!(valid(&schema, &text), "{text}");
        seen += 1;
    }
    assert!(seen >= 3, "{seen}");
    assert!(valid(&schema, include_str!("example.toml")));
}

/// Faults that a schema cannot see: of two keys, of names, of files, of formats of text.
fn is_the_loaders_alone(fault: &str) -> bool {
    let words = [
        "names no",
        "does not exist",
        "no such program",
        "has no command",
        "is no agent name",
        "is built in",
        "is no tenant id",
        "belongs to",
        "has no token",
        "can be reached",
        "is no address",
        "is no group",
        "is no server",
        "would kill",
        "can be read by",
        "leaves the cgroup",
        "is not above",
        "is a secret",
        "is no folder",
        "stands beside",
        "says the same",
        "is missing beside",
        "not TOML",
        "is no variable",
        "is configured twice",
        "its rooms",
        "is no provider",
        "is no executable",
        "has no application",
        "stands here twice",
        "names the secret of",
        "is no runtime name",
        "there is no",
        "is out of range: give 1 to 8",
    ];
    words.iter().any(|word| fault.contains(word))
}

#[test]
fn the_schema_refuses_what_is_wrong_by_itself_and_nothing_that_the_loader_takes() {
    let schema = schema::schema();
    let (mut found, mut taken) = (0, Vec::new());
    for (text, fault) in faulty::ONE_FAULT {
        let text = format!("{text}\n{AGENT}");
        let Ok(table) = text.parse::<toml::Table>() else { continue };
        // JSON has no such number.
        let Ok(document) = serde_json::to_value(table) else { continue };
        let valid = jsonschema::draft7::new(&schema).unwrap().is_valid(&document);
        if valid && !is_the_loaders_alone(fault) && !text.contains("= nan") {
            taken.push(*fault);
        }
        found += usize::from(!valid);
    }
    assert!(taken.is_empty(), "the schema takes: {taken:#?}");
    assert!(found > 20, "{found}");
}

#[test]
fn the_schema_takes_the_spellings_of_other_systems() {
    let schema = schema::schema();
    for text in [
        "[supervisor]\ndrain_timeout = 5\nport = 8081\nmemory_limit_mb = 64\nenable_tenant_circuit_breaker = true\n\
         tenant_circuit_cooldown_s = 5\nintrospection_socket_path = \"top.sock\"\n[circuit_breaker]\nerrors = 5\nwithin = 60",
        "[supervisor]\nmax_sessions_per_tenant = 5",
        "[supervisor.max_sessions_per_tenant]\nacme = 5\nglobex = \"off\"",
        "[tenants.acme]\nmax_sessions_per_tenant = 5\nmemory_limit_mb = 512\n[tenants.acme.wall]\nmemory_warn_pct = 50",
        "[tenants.acme.circuit_breaker]\ncooldown = 5\n[wall]\nmemory_max_mb = 0",
    ] {
        let text = format!("{text}\n{AGENT}");
        Place::new().load(&text).unwrap_or_else(|faults| panic!("{text}\n{faults}"));
        assert!(valid(&schema, &text), "{text}");
    }
    for text in ["[tenants.acme]\ndrain_timeout = 5", "[supervisor]\nmax_sessions_per_tenant = 0", "[wall]\nport = 5"] {
        let text = format!("{text}\n{AGENT}");
        assert!(Place::new().load(&text).is_err() && !valid(&schema, &text), "{text}");
    }
}

/// The text with its settings uncommented, but those of named tables.
fn uncommented(text: &str) -> String {
    let mut skip = false;
    let mut uncommented = String::new();
    for line in text.lines() {
        let setting = line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with([' ', ':']));
        if setting.unwrap_or(line).starts_with('[') {
            skip = setting.is_some();
        }
        if !skip {
            uncommented.push_str(setting.unwrap_or(line));
            uncommented.push('\n');
        }
    }
    uncommented
}

#[test]
fn what_config_init_prints_loads_and_each_line_of_it_is_the_default() {
    let text = template::template();
    let bare = Place::new().load(AGENT).unwrap();
    let printed = Place::new().load(&text).unwrap();
    assert_eq!(printed.warnings, Vec::<String>::new());
    let spelled_out = uncommented(&text);
    let place = Place::new();
    let all = place.load(&spelled_out).unwrap_or_else(|faults| panic!("{faults}\n{spelled_out}"));
    let other_dir = |text: String| {
        text.lines()
            .filter(|line| !line.contains("jsonl") || !line.contains('/'))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(other_dir(all.redacted_toml()), other_dir(bare.redacted_toml()));
    assert_eq!(printed.redacted_toml(), bare.redacted_toml());
    assert_eq!((&all.rules.routing, &all.rules.breaker), (&bare.rules.routing, &bare.rules.breaker));
    assert_eq!(all.default_wall(), bare.default_wall());
    assert_eq!(
        (&all.observers, &all.metrics, &all.audit, &all.logs),
        (&bare.observers, &bare.metrics, &bare.audit, &bare.logs)
    );
    assert!(spelled_out.matches(" = ").count() > 80, "{spelled_out}");
}

#[test]
fn what_config_init_prints_names_every_key() {
    let text = template::template();
    for key in documented() {
        let name = key.rsplit('.').next().unwrap();
        assert!(text.contains(name), "{key}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
}
