//! `env`: the environment of agents' programs (semantics B13).
//!
//! Owns: names and values of variables, and the allow-list. Never: passes on the supervisor's own environment.

use std::collections::BTreeMap;

use super::reference::{self, SecretRef};
use super::section::{Section, Spot};
use super::shape::Shape;
use super::tree::Value;

/// Where programs are looked for, and what agents get as `PATH`.
pub const PROGRAM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The value of one variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// This text.
    Text(String),
    /// A secret.
    Secret(SecretRef),
}

/// Variables by name, with the keys they stand under.
pub(super) type Variables = BTreeMap<String, Spot<Variable>>;

pub(super) fn read(section: &mut Section<'_>) -> Variables {
    section.table("env", |env| {
        let mut variables = Variables::new();
        for (name, node, key) in env.rest_of(Shape::Variable) {
            if !reference::is_variable(&name) || name.starts_with("OPENRTC_") {
                let remedy = "use letters, digits and _; names that begin with OPENRTC_ are ours";
                env.faults.add(&node.origin, &key, None, "is no variable to set", remedy);
                continue;
            }
            let spot = Spot { value: node.value, key, origin: node.origin };
            if let Some(variable) = variable(env, spot) {
                variables.insert(name, variable);
            }
        }
        variables
    })
}

fn variable(env: &mut Section<'_>, spot: Spot<Value>) -> Option<Spot<Variable>> {
    let text = match &spot.value {
        Value::Table(_) => {
            let read = reference::read(env, spot)?;
            return Some(Spot { value: Variable::Secret(read.value), key: read.key, origin: read.origin });
        }
        Value::Text(text) if !text.contains('\0') => text.clone(),
        Value::Whole(number) => number.to_string(),
        _ => {
            let remedy = format!("write text in quotes, or one of {}", reference::FORMS);
            env.faults.add(&spot.origin, &spot.key, None, "is no text and no reference", remedy);
            return None;
        }
    };
    if let Some((form @ ("env" | "file" | "credential"), rest)) = text.split_once(':') {
        env.faults.warn(format!(
            "{} is passed on as the text \"{form}:…\"; for a reference write {{ {form} = {rest:?} }}",
            spot.key
        ));
    }
    Some(Spot { value: Variable::Text(text), key: spot.key, origin: spot.origin })
}

/// What every agent's environment begins with; `HOME` and `TMPDIR` are the host's own directory and come later.
pub(super) fn base(environment: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let inherited = |name: &str, default: Option<&str>| {
        let value = environment.get(name).map(String::as_str).filter(|value| !value.is_empty()).or(default)?;
        Some((name.to_owned(), value.to_owned()))
    };
    let mut base = vec![("PATH".to_owned(), PROGRAM_PATH.to_owned())];
    base.extend(inherited("LANG", Some("C.UTF-8")));
    base.extend(inherited("TZ", None));
    // python-dotenv raises on a `.env` that Landlock hides (decision W9); glibc's arenas multiply memory by cores.
    base.push(("PYTHON_DOTENV_DISABLED".to_owned(), "1".to_owned()));
    base.push(("MALLOC_ARENA_MAX".to_owned(), "2".to_owned()));
    base
}
