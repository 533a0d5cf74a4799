//! `runtime`: list, inspect.
//!
//! Owns: how runtimes and what was measured of one are shown. Never: measures.

use clap::{Args, Subcommand};
use openrtc_ipc::{ApplicationTarget, RuntimeName};
use serde::Serialize;

use super::application::{self, Asking};
use super::exit::{CliError, Exit};
use super::output::Output;
use super::table::{Table, Tone, harmless};
use super::{Global, here, units};
use crate::application::inspection::{HostFound, Inspection};
use crate::config::{Config, Preload, RuntimeKind};

/// What to do with runtimes.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// All of the configuration, the built-in one among them
    List,
    /// Run a Python application once, as yourself and with placeholders for keys, and measure what its hosts would pay
    Inspect(InspectOptions),
}

/// Options of `runtime inspect`.
#[derive(Debug, Args)]
#[command(long_about = "\
Run a Python application once and measure it: what a zygote preloads, its threads and memory, the fork handlers of its \
libraries, the paths that its interpreter needs, the agents it registers, and what each host pays after its fork.

The application is executed, as the user who asks and with no wall around it. Its plugins find placeholders in place of \
keys, and nothing else of this environment. Exit code 6: hosts could not be forked, or the application does not load.")]
pub struct InspectOptions {
    /// A runtime of the configuration, or an application: main.py, agents.py:pool, my.module:server, a folder of agents
    #[arg(value_name = "NAME|APPLICATION")]
    what: String,
}

#[derive(Debug, Serialize)]
struct RuntimeRow {
    runtime: String,
    kind: &'static str,
    application: Option<String>,
    interpreter: Option<String>,
    load_app: Option<&'static str>,
    preload: Option<Preloads>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Preloads {
    Auto(&'static str),
    Modules(Vec<String>),
}

pub(super) fn perform(command: Command, global: &Global, output: &Output) -> Result<Exit, CliError> {
    match command {
        Command::List => list(global, output),
        Command::Inspect(options) => inspect(&options.what, global, output),
    }
}

fn list(global: &Global, output: &Output) -> Result<Exit, CliError> {
    let config = here::load(global)?;
    let rows: Vec<RuntimeRow> =
        config.runtimes.values().map(|runtime| row(runtime.name.as_str(), &runtime.kind)).collect();
    output.result(&rows, |output, rows| {
        let mut table = Table::new().yielding("RUNTIME").fixed("KIND").yielding("APPLICATION").yielding("INTERPRETER");
        table = table.fixed("LOADED BY").yielding("PRELOAD");
        for row in rows {
            let preload = match &row.preload {
                None => "-".to_owned(),
                Some(Preloads::Auto(auto)) => (*auto).to_owned(),
                Some(Preloads::Modules(modules)) => modules.join(", "),
            };
            table.row([
                (&row.runtime).into(),
                row.kind.into(),
                units::or_dash(row.application.as_ref()).into(),
                units::or_dash(row.interpreter.as_ref()).into(),
                units::or_dash(row.load_app).into(),
                preload.into(),
            ]);
        }
        output.table(&table, "no runtime")
    })?;
    Ok(Exit::Ok)
}

fn row(name: &str, kind: &RuntimeKind) -> RuntimeRow {
    let runtime = name.to_owned();
    let none =
        RuntimeRow { runtime, kind: "command", application: None, interpreter: None, load_app: None, preload: None };
    match kind {
        RuntimeKind::Command => none,
        RuntimeKind::Program(command) => RuntimeRow { kind: "program", application: Some(command.join(" ")), ..none },
        RuntimeKind::Python(python) => RuntimeRow {
            kind: "python",
            application: Some(target(&python.target)),
            interpreter: Some(python.interpreter.display().to_string()),
            load_app: Some(python.load_app.name()),
            preload: Some(match &python.preload {
                Preload::Auto => Preloads::Auto("auto"),
                Preload::Modules(modules) => Preloads::Modules(modules.clone()),
            }),
            ..none
        },
    }
}

fn target(target: &ApplicationTarget) -> String {
    match target {
        ApplicationTarget::Script(script) => script.display().to_string(),
        ApplicationTarget::Attribute { folder, module, attribute } => {
            format!("{module}:{attribute} in {}", folder.display())
        }
        ApplicationTarget::AgentsDir(folder) => folder.display().to_string(),
    }
}

fn inspect(what: &str, global: &Global, output: &Output) -> Result<Exit, CliError> {
    let asking = Asking::start()?;
    let read = match named(what, global)? {
        Some((config, name)) => {
            let Some(python) = config.runtime(&name).and_then(|runtime| runtime.python()) else {
                let names: Vec<&str> = config.python_runtimes().map(|(name, _)| name.as_str()).collect();
                let known = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
                let detail = format!("{what} is no Python runtime of the configuration: {known}");
                return Err(CliError::Usage { option: "NAME|APPLICATION", detail });
            };
            asking.read(&name, python)?
        }
        None => application::read(what, global)?.1,
    };
    output.progress("reading, warming up and loading the application: a few seconds");
    let inspection = asking.inspect(&read)?;
    output.result(&inspection, |output, inspection| text(what, output, inspection))?;
    Ok(if inspection.is_fit() { Exit::Ok } else { Exit::CheckFailed })
}

/// A runtime of the configuration, where there is one and this is no application's name.
fn named(what: &str, global: &Global) -> Result<Option<(Config, RuntimeName)>, CliError> {
    match (&global.config, RuntimeName::parse(what)) {
        (Some(_), Ok(name)) => Ok(Some((here::load(global)?, name))),
        _ => Ok(None),
    }
}

fn text(what: &str, output: &Output, found: &Inspection) -> String {
    let mut lines =
        vec![format!("{what}: Python {} of {}", found.python.version, found.python.executable), String::new()];
    let mut table = Table::new().yielding("PRELOAD").number("MS").yielding("THREADS STARTED");
    for module in &found.preload {
        let started = match module.threads.as_slice() {
            [] => "-".into(),
            threads => super::table::Cell::toned(threads.join(", "), Tone::Bad),
        };
        table.row([(&module.module).into(), format!("{:.0}", module.ms).into(), started]);
    }
    let table = output.table(&table, "nothing is preloaded");
    lines.push(table.trim_end().to_owned());
    lines.push(String::new());
    lines.extend(zygote(found));
    lines.push(String::new());
    match &found.host {
        Some(host) => lines.extend(of_host(host)),
        None => lines.push("host      not tried, for the zygote is not warm".to_owned()),
    }
    lines.push(String::new());
    let paths = &found.paths;
    lines.push(format!("paths     prefix {}, base {}", paths.prefix, paths.base_prefix));
    lines.push(format!("          standard library {}", paths.stdlib.join(", ")));
    lines.push(format!("          certificates {}", or_none(&paths.certificates)));
    if !paths.elsewhere.is_empty() {
        lines.push(format!("          elsewhere, to be granted by [wall] read_paths: {}", paths.elsewhere.join(", ")));
    }
    // The table's own colours are kept; everything else is what somebody else may have named.
    lines.iter().map(|line| if *line == table.trim_end() { line.clone() } else { harmless(line) } + "\n").collect()
}

fn zygote(found: &Inspection) -> Vec<String> {
    let kib = |kib: u64| units::bytes(kib * 1024);
    let mut lines = vec![format!(
        "zygote    warm after {}; {} resident, {} of it in no file; {} in huge pages",
        units::seconds(found.warm_ms / 1000.0),
        kib(found.image.rss_kb),
        kib(found.image.anonymous_kb),
        units::bytes(found.huge_bytes)
    )];
    lines.push(match found.threads.as_slice() {
        [_] => "          1 thread".to_owned(),
        threads => format!(
            "          NOT FIT: {} threads ({}): hosts are spawned cold; leave the module that starts them out of preload",
            threads.len(),
            threads.join(", ")
        ),
    });
    if let Some(why) = &found.unfit {
        lines.push(format!("          NOT FIT: {why}"));
    }
    let known: Vec<String> = found.atfork.iter().filter(|one| one.known).map(|one| one.library.clone()).collect();
    lines.push(format!("          fork handlers, made good in hosts: {}", or_none(&known)));
    for unknown in found.atfork.iter().filter(|one| !one.known) {
        lines.push(format!(
            "          warning: {} registers fork handlers, which do not run in hosts; if it misbehaves there, leave what \
             loads it out of preload",
            unknown.library
        ));
    }
    lines
}

fn of_host(host: &HostFound) -> Vec<String> {
    let kib = |kib: u64| units::bytes(kib * 1024);
    let mut lines = match (&host.error, host.load_ms) {
        (Some(error), _) => vec![format!("host      DOES NOT LOAD: {error}")],
        (None, load) => {
            let load = load.map_or_else(String::new, |ms| format!(" and {ms:.0} ms to load the application"));
            let (all, before) = (kib(host.private_kb), kib(host.private_kb_forked));
            vec![
                format!("host      {:.1} ms to fork{load}; {all} private, {before} of it before loading", host.fork_ms),
                format!("          threads: {}", host.threads.join(", ")),
                format!("agents    {}", or_none(&host.agents)),
            ]
        }
    };
    lines.extend(host.notices.iter().map(|notice| format!("notice    {notice}")));
    lines
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
