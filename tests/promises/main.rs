//! What the product promises, one promise a file, each shown on the running binary.

mod admission;
mod answers;
mod audit;
mod breaker;
mod caps;
mod command_agent;
mod control;
mod control_clients;
mod deaths;
mod demo;
mod drain;
mod equals;
mod escape;
mod events;
mod examples;
mod full_disk;
mod lasting;
mod lasting_files;
mod livekit;
mod livekit_calls;
mod livekit_command;
mod livekit_page;
mod metrics;
mod parent_death;
mod protocol;
mod python;
mod python_conformance;
mod python_faults;
mod python_parity;
mod python_walls;
mod runbooks;
mod secrets;
mod setup;
mod systemd;
mod tagging;
mod tenant_answers;
mod top;
mod traces;
mod walls;

/// A configuration with these agents and whatever else a test needs.
fn config(more: &str) -> String {
    format!(
        r#"
config_version = 1
[supervisor]
max_concurrent_sessions = 500
terminate_grace_s = 1
initialize_timeout_s = 30
[observers.jsonl]
path = "DIR/state/events.jsonl"
[agents.echo]
command = ["/bin/sh", "-c", "echo hello from $OPENRTC_TENANT"]
[agents.fail]
command = ["/bin/sh", "-c", "echo it broke >&2; exit 3"]
[agents.wait]
command = ["/bin/sh", "-c", "read line; read end"]
{more}
"#
    )
}

/// The path of the attack program, as built for these tests.
const ATTACK: &str = env!("CARGO_BIN_EXE_attack");
/// The path of the host program that breaks the protocol.
const ROGUE: &str = env!("CARGO_BIN_EXE_rogue-host");

/// An agent that attacks in this way.
fn attacker(name: &str, arguments: &[&str]) -> String {
    format!("[agents.{name}]\ncommand = {:?}\n", [&["DIR/attack"], arguments].concat())
}
