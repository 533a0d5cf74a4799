//! Everything that is built carries a licence that `deny.toml` allows.
//!
//! Owns: reading licence expressions as far as our dependencies use them. Never: asks the network.

use std::process::Command;

use crate::{assert_none, root};

/// Whether an expression can be met: each term of `AND` by one of its alternatives (`OR`, or the old `/`).
fn met(expression: &str, allowed: &[String]) -> bool {
    let known = |licence: &str| allowed.iter().any(|allowed| allowed == licence.trim_matches(['(', ')', ' ']));
    expression.split(" AND ").all(|term| term.replace('/', " OR ").split(" OR ").any(known))
}

#[test]
fn every_dependency_has_a_licence_that_deny_toml_allows() {
    let deny = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let list = deny.split("\nallow = [").nth(1).and_then(|rest| rest.split(']').next()).expect("the allowed licences");
    let allowed: Vec<String> = list.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(allowed.len() > 2, "the list has changed its form: {list}");

    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", &target])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 50, "only {} packages seen", packages.len());
    let licence = |package: &serde_json::Value| package["license"].as_str().unwrap_or("none").to_owned();
    let refused = packages.iter().filter(|package| !met(&licence(package), &allowed));
    assert_none(refused.map(|package| format!("{}: {}", package["name"], licence(package))).collect());
}

#[test]
fn a_licence_is_met_by_one_of_its_alternatives_and_by_all_of_its_terms() {
    let allowed = ["MIT".to_owned(), "Unicode-3.0".to_owned()];
    for expression in ["MIT", "GPL-3.0 OR MIT", "Apache-2.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(met(expression, &allowed), "{expression}");
    }
    for expression in ["none", "GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 OR AGPL-3.0"] {
        assert!(!met(expression, &allowed), "{expression}");
    }
}
