//! Runtimes as keys of the file.
//!
//! Owns: the way back from [`Runtime`]. Never: tells a secret of its environment.

use openrtc_ipc::ApplicationTarget;
use toml::{Table, Value};

use super::{env, put, walls};
use crate::config::{Preload, PythonRuntime, Runtime, RuntimeKind};

/// A runtime; `None` for the built-in one.
pub(super) fn runtime(runtime: &Runtime) -> Option<Value> {
    let mut table = Table::new();
    match &runtime.kind {
        RuntimeKind::Command => return None,
        RuntimeKind::Program(command) => {
            put(&mut table, "kind", "program");
            put(&mut table, "command", command.clone());
        }
        RuntimeKind::Python(application) => python(application, &mut table),
    }
    put(&mut table, "env", env(&runtime.env));
    put(&mut table, "wall", walls::from_layer(&runtime.wall));
    Some(Value::Table(table))
}

/// A Python runtime.
pub(super) fn python(runtime: &PythonRuntime, table: &mut Table) {
    put(table, "kind", "python");
    put(table, "python", runtime.interpreter.display().to_string());
    match &runtime.target {
        ApplicationTarget::Script(script) => put(table, "app", script.display().to_string()),
        ApplicationTarget::Attribute { module, attribute, .. } => put(table, "app", format!("{module}:{attribute}")),
        ApplicationTarget::AgentsDir(folder) => put(table, "agents_dir", folder.display().to_string()),
    }
    put(table, "load_app", runtime.load_app.name());
    match &runtime.preload {
        Preload::Auto => put(table, "preload", "auto"),
        Preload::Modules(modules) => put(table, "preload", modules.clone()),
    }
    put(table, "preload_end_of_turn", runtime.preload_end_of_turn);
    put(table, "num_idle_hosts", runtime.num_idle_hosts as i64);
}

/// Whether two are the same as far as the file can say.
pub(in crate::config) fn same(a: &Runtime, b: &Runtime) -> bool {
    runtime(a) == runtime(b)
}
