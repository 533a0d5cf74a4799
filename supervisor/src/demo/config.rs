//! The demo's configuration: of the run itself, and of the agency that `--keep` leaves.
//!
//! Owns: the demo's numbers that the supervisor needs (the wall of the hostile tenant, the breaker's cooldown). Never:
//! sets a default of the supervisor anew without saying so in the file.

use std::path::Path;

use super::agent::AGENT_ARGUMENT;

/// The hostile tenant's memory wall, in MiB.
pub const WALL_MB: u64 = 128;
/// The breaker's cooldown here, in seconds.
pub const COOLDOWN_S: u64 = 3;
/// The breaker's cooldown by default, in seconds.
pub const COOLDOWN_DEFAULT_S: u64 = 30;
/// The breaker opens at so many samples, …
pub const MIN_SAMPLES: u32 = 5;
/// Tenants that do their work.
pub const SIBLINGS: [&str; 2] = ["acme-corp", "globex"];
/// The tenant that attacks.
pub const HOSTILE: &str = "initech";
/// The same tenant without its memory wall.
pub const UNWALLED: &str = "initech-unwalled";
/// All of them, in the order in which they are shown.
pub const TENANTS: [&str; 4] = [SIBLINGS[0], SIBLINGS[1], HOSTILE, UNWALLED];

/// Where things of a run stand.
#[derive(Debug, Clone, Copy)]
pub struct Paths<'a> {
    /// The agents' program.
    pub program: &'a Path,
    /// Directory of the control socket.
    pub run: &'a Path,
    /// Directory of the supervisor's state.
    pub state: &'a Path,
    /// The JSONL observer's file.
    pub events: &'a Path,
}

/// The hostile tenant's CPU wall on so many cores, 100 being one core: one core, and half of one where there is but one.
pub fn cpu_max_pct(cores: usize) -> u32 {
    if cores > 1 { 100 } else { 50 }
}

fn quoted(path: &Path) -> String {
    toml::Value::String(path.display().to_string()).to_string()
}

fn agents(program: &Path) -> String {
    agents_of(program, &[("support", "segment"), ("hog", "hog"), ("spin", "spin"), ("crash", "crash")])
}

fn agents_of(program: &Path, agents: &[(&str, &str)]) -> String {
    let program = quoted(program);
    let tables = agents
        .iter()
        .map(|(agent, which)| format!("[agents.{agent}]\ncommand = [{program}, \"{AGENT_ARGUMENT}\", \"{which}\"]\n"));
    tables.collect()
}

/// The configuration of the run.
pub fn of_run(paths: Paths<'_>, cores: usize) -> String {
    format!(
        r#"config_version = 1

[supervisor]
unknown_tenant    = "reject"
missing_tenant    = "reject"
restart_backoff_s = [1]
drain_timeout_s   = 1
terminate_grace_s = 1
runtime_dir       = {run}
state_dir         = {state}

[circuit_breaker]
enabled       = true
cooldown_s    = {COOLDOWN_S}.0
failure_ratio = 0.5
min_samples   = {MIN_SAMPLES}

[observers.jsonl]
path = {events}

{agents}
[routing]
fallback = "reject"

[tenants.acme-corp]
[tenants.globex]
[tenants.{HOSTILE}]
[tenants.{HOSTILE}.wall]
memory_max_mb = {WALL_MB}
cpu_max_pct   = {cpu}

[tenants.{UNWALLED}]
[tenants.{UNWALLED}.wall]
memory_max_mb = "off"
data_max_mb   = "off"
"#,
        run = quoted(paths.run),
        state = quoted(paths.state),
        events = quoted(paths.events),
        agents = agents(paths.program),
        cpu = cpu_max_pct(cores),
    )
}

/// Processes that the hostile tenant of `selftest isolation` may have.
pub const SELFTEST_PIDS_MAX: u32 = 64;

/// The configuration of `selftest isolation`: a victim, and a tenant that attacks behind the walls of the demo. No breaker:
/// each attack is to be made.
pub fn of_selftest(paths: Paths<'_>, cores: usize) -> String {
    let names = ["hog", "spin", "forks", "lines", "events", "escape"].map(|name| (name, name));
    format!(
        r#"config_version = 1

[supervisor]
unknown_tenant    = "reject"
missing_tenant    = "reject"
restart_backoff_s = [0.05]
drain_timeout_s   = 1
terminate_grace_s = 1
runtime_dir       = {run}
state_dir         = {state}

[observers.jsonl]
path = {events}

{victim}{attackers}
[runtimes.selftest]
kind    = "program"
command = [{program}, "{AGENT_ARGUMENT}", "frames"]
[agents.frames]
runtime = "selftest"

[routing]
fallback = "reject"

[tenants.{victim_id}]
[tenants.{HOSTILE}]
[tenants.{HOSTILE}.wall]
memory_max_mb = {WALL_MB}
cpu_max_pct   = {cpu}
pids_max      = {SELFTEST_PIDS_MAX}
"#,
        run = quoted(paths.run),
        state = quoted(paths.state),
        events = quoted(paths.events),
        victim = agents_of(paths.program, &[("support", "segment")]),
        attackers = agents_of(paths.program, &names),
        program = quoted(paths.program),
        victim_id = SIBLINGS[0],
        cpu = cpu_max_pct(cores),
    )
}

/// How the agency that is kept is used.
const KEPT: &str = r"# The demo's agency, to go on with, from the folder above:
#   openrtc-supervisor run --config DIR/openrtc-supervisor.toml
# and in another terminal, to have it take a call:
#   openrtc-supervisor --control-socket DIR/run/control.sock dispatch --tenant acme-corp --agent support \
#     --room acme-corp_support-1 --input DIR/call.wav --wait
";

/// How an agency is used whose configuration alone was written.
const STARTING: &str = r"# The demo's agency as a starting point: replace its agents by your own programs.
#   openrtc-supervisor config check --config THIS-FILE
#   openrtc-supervisor run --config THIS-FILE
# and in another terminal, to have it take a call (a WAV file of 16 bits, as examples/agency/call.wav):
#   openrtc-supervisor --control-socket run/control.sock dispatch --tenant acme-corp --agent support \
#     --room acme-corp_support-1 --input CALL.wav --wait
";

/// The configuration of the agency that is kept: the same tenants, the default cooldown, and all of it in its own directory.
pub fn of_kept_agency(program: &Path, cores: usize) -> String {
    of_agency(KEPT, program, cores)
}

/// The same as a starting point, for `config init --from demo`.
pub fn of_starting_agency(program: &Path, cores: usize) -> String {
    of_agency(STARTING, program, cores)
}

fn of_agency(opening: &str, program: &Path, cores: usize) -> String {
    format!(
        r#"{opening}config_version = 1

[supervisor]
unknown_tenant = "reject"               # only the tenants below are served
missing_tenant = "reject"
runtime_dir    = "run"                  # sockets, beside this file
state_dir      = "state"

[circuit_breaker]
enabled       = true                    # refuses a tenant's sessions when too many fail
cooldown_s    = {COOLDOWN_DEFAULT_S}.0
failure_ratio = 0.5                     # more than this share
min_samples   = {MIN_SAMPLES}                       # of at least so many

# support segments speech by energy; hog takes memory, spin takes CPU, crash crashes
{agents}
[routing]
fallback = "support"

[tenants.acme-corp]
[tenants.globex]
[tenants.{HOSTILE}]
[tenants.{HOSTILE}.wall]
memory_max_mb = {WALL_MB}
cpu_max_pct   = {cpu}                     # 100 is one core
"#,
        agents = agents(program),
        cpu = cpu_max_pct(cores),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_configurations_are_toml_whatever_the_paths_are() {
        let path = Path::new("/tmp/a \"b\" \\c/x");
        let of_run: toml::Table =
            of_run(Paths { program: path, run: path, state: path, events: path }, 2).parse().unwrap();
        assert_eq!(of_run["agents"]["hog"]["command"][0].as_str(), path.to_str());
        assert_eq!(of_run["tenants"][HOSTILE]["wall"]["memory_max_mb"].as_integer(), Some(WALL_MB as i64));
        assert_eq!(of_run["tenants"][UNWALLED]["wall"]["memory_max_mb"].as_str(), Some("off"));
        let kept: toml::Table = of_kept_agency(Path::new("./agent"), 1).parse().unwrap();
        assert_eq!(kept["tenants"][HOSTILE]["wall"]["cpu_max_pct"].as_integer(), Some(50));
        assert!(kept["tenants"].get(UNWALLED).is_none());
    }
}
