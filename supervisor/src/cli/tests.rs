//! The command line as typed: what parses to what, and what is refused.

use clap::error::ErrorKind;

use super::*;

fn typed(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("openrtc-supervisor").chain(line.split_whitespace()))
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_documented_command_parses() {
    for line in [
        "--isolation process --config a.toml",
        "run",
        "run main.py",
        "run agents.py:pool -q",
        "start --config a.toml --log-level debug",
        "demo --json --keep /tmp/x",
        "demo --livekit --server livekit-server --python .venv/bin/python",
        "dispatch --room r --tenant t --agent a --metadata {} --room-metadata {} --input f.wav --wait",
        "snapshot --tenant acme-corp --json",
        "top --once --tenant acme-corp --agent support --sort cpu_pct --status slow --json",
        "top --refresh-rate 0.5 --socket /tmp/c.sock",
        "logs",
        "logs supervisor.log --follow --tenant acme-corp --session s-1a2b3c4d-17 --agent support --level WARNING",
        "session list --ended --tenant acme-corp",
        "session show s-1a2b3c4d-17",
        "session end s-1a2b3c4d-17",
        "host list --tenant acme-corp",
        "host show h3.1",
        "host kill h3.1",
        "tenant list",
        "tenant show acme-corp",
        "tenant suspend acme-corp",
        "tenant resume acme-corp",
        "tenant drain acme-corp",
        "agent list",
        "breaker status --tenant acme-corp",
        "breaker trip --tenant acme-corp --for 60",
        "breaker open --tenant acme-corp",
        "breaker reset",
        "breaker close --tenant acme-corp",
        "livekit status",
        "livekit simulate --room r --tenant t --agent-name clerk",
        "livekit check --room r --json",
        "token mint --tenant t --room r --identity i --agent a --ttl 60",
        "drain",
        "shutdown",
        "doctor --color never",
        "selftest isolation --json",
        "config check",
        "config show --config a.toml",
        "config init",
        "config init --from demo --output agency.toml",
        "config schema --output s.json",
        "config import main.py",
        "config import agents/ --output agency.toml",
        "runtime list",
        "runtime inspect main.py --json",
        "completions bash",
        "man --out /tmp/man1 --json",
        "-q drain --control-socket /tmp/c.sock",
    ] {
        assert!(typed(line).is_ok(), "{line}: {}", typed(line).unwrap_err());
    }
}

#[test]
fn what_is_wrong_is_refused_before_anything_happens() {
    for (line, kind) in [
        ("nonsense", ErrorKind::InvalidSubcommand),
        ("session", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("session show 17", ErrorKind::ValueValidation),
        ("host kill 3", ErrorKind::ValueValidation),
        ("tenant suspend a/b", ErrorKind::ValueValidation),
        ("top --refresh-rate 11", ErrorKind::ValueValidation),
        ("top --refresh-rate NaN", ErrorKind::ValueValidation),
        ("top --sort rooms", ErrorKind::InvalidValue),
        ("logs --follow", ErrorKind::MissingRequiredArgument),
        ("logs --level loud", ErrorKind::InvalidValue),
        ("dispatch --tenant t", ErrorKind::MissingRequiredArgument),
        ("breaker trip", ErrorKind::MissingRequiredArgument),
        ("drain --color blue", ErrorKind::InvalidValue),
        ("run --isolation thread", ErrorKind::ValueValidation),
        ("run main.py other.py", ErrorKind::UnknownArgument),
        ("demo --server livekit-server", ErrorKind::MissingRequiredArgument),
        ("demo --livekit --keep /tmp/x", ErrorKind::ArgumentConflict),
        ("config import", ErrorKind::MissingRequiredArgument),
        ("runtime inspect", ErrorKind::MissingRequiredArgument),
    ] {
        let error = typed(line).expect_err(line);
        assert_eq!(error.kind(), kind, "{line}: {error}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn another_isolation_points_to_openrtc() {
    let error = typed("--isolation coroutine").unwrap_err().to_string();
    assert!(error.contains("OpenRTC") && error.contains("`process`"), "{error}");
}

#[test]
fn a_command_line_without_a_command_is_run_only_when_it_says_so() {
    let cli = typed("--isolation process --config a.toml").unwrap();
    assert!(cli.command.is_none() && cli.global.isolation.is_some());
    assert_eq!(cli.global.config.as_deref(), Some(Path::new("a.toml")));
}

/// A command and all below it, each with its words.
fn all(command: clap::Command) -> Vec<(String, clap::Command)> {
    fn walk(command: &clap::Command, words: &str, found: &mut Vec<(String, clap::Command)>) {
        let words = format!("{words} {}", command.get_name());
        found.push((words.clone(), command.clone()));
        command.get_subcommands().filter(|it| it.get_name() != "help").for_each(|it| walk(it, &words, found));
    }
    let mut found = Vec::new();
    walk(&command, "", &mut found);
    found
}

#[test]
fn no_line_of_any_help_is_wider_than_a_terminal_of_80_columns() {
    let mut command = Cli::command().term_width(80);
    command.build();
    for (words, mut command) in all(command) {
        for help in [command.render_help().to_string(), command.render_long_help().to_string()] {
            let wide: Vec<&str> = help.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(wide.is_empty(), "{words}: {wide:#?}");
        }
    }
}

#[test]
fn every_command_has_json_and_says_what_it_does() {
    let mut command = Cli::command();
    command.build();
    for (words, command) in all(command) {
        assert!(command.get_about().is_some(), "{words}");
        assert!(command.get_arguments().any(|argument| argument.get_long() == Some("json")), "{words}");
    }
}

#[test]
fn the_help_names_every_command_the_examples_and_the_exit_codes() {
    let help = Cli::command().render_help().to_string();
    for command in Cli::command().get_subcommands() {
        assert!(help.contains(&format!("\n  {}", command.get_name())), "{}\n{help}", command.get_name());
    }
    assert!(help.contains("Examples:") && help.contains("4 rejected"), "{help}");
}
