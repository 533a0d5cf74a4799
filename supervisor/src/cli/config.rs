//! `config`: check, show, init, import, schema.
//!
//! Owns: how a configuration and its faults are shown, and where one that was written goes. Never: a secret.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use openrtc_control_api::{ConfigCheck, ConfigFault};
use serde::Serialize;

use super::exit::{CliError, Exit};
use super::output::Output;
use super::{Global, application, here};
use crate::application::import;
use crate::config;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell every fault at once; exit code 2 if there is one
    Check,
    /// Print the configuration in force, with ***(source) for each secret
    Show,
    /// Print a configuration with every key that this version knows, and its default
    #[command(after_help = "\
Examples:
  openrtc-supervisor config init --output openrtc-supervisor.toml
  openrtc-supervisor config init --from demo --output agency.toml")]
    Init(InitOptions),
    /// Write down what a Python application says: agents, tenants, caps, breaker, routes, and where keys are
    Import(ImportOptions),
    /// Print a JSON Schema of the configuration, for editors
    #[command(after_help = "\
Editors with taplo (Even Better TOML) complete and check a configuration whose first line is
`#:schema ./openrtc-supervisor.schema.json`, as that of `config init` is:
  openrtc-supervisor config schema --output openrtc-supervisor.schema.json")]
    Schema(SchemaOptions),
}

/// Options of `config init`.
#[derive(Debug, Args)]
pub struct InitOptions {
    /// Begin with the demo's agency in place of the defaults
    #[arg(long, value_name = "WHAT")]
    from: Option<From>,
    /// Write to this file, which must not exist
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// The demo's agency: two tenants at work and one that attacks.
    Demo,
}

/// Options of `config schema`.
#[derive(Debug, Args)]
pub struct SchemaOptions {
    /// Write to this file, which must not exist
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Options of `config import`.
#[derive(Debug, Args)]
#[command(long_about = "\
Write a configuration from what a Python application says, by reading it; nothing of it is executed. Of tenant_config, caps, \
breaker, memory limits and routers, what is plain is written as TOML; what is computed is named in a comment, with its \
line. A literal key becomes a reference to a variable that you set; the key itself is never printed.")]
pub struct ImportOptions {
    /// The application: main.py, agents.py:pool, my.module:server, or a folder of agents
    #[arg(value_name = "APPLICATION")]
    application: String,
    /// Write to this file, which must not exist
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What `config init` wrote.
#[derive(Debug, Serialize)]
struct Initial {
    output: Option<PathBuf>,
    text: String,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Imported {
    output: Option<PathBuf>,
    text: String,
    variables_to_set: Vec<String>,
    warnings: Vec<String>,
}

pub(super) fn perform(command: &Command, global: &Global, output: &Output) -> Result<Exit, CliError> {
    match command {
        Command::Check => {
            let check = here::config_check(global)?;
            output.result(&check, |_, check| text(check))?;
            Ok(if check.ok { Exit::Ok } else { Exit::Usage })
        }
        Command::Show => {
            let config = here::config_show(global)?;
            output.result(&config, |_, config| format!("{config:#}\n"))?;
            Ok(Exit::Ok)
        }
        Command::Init(options) => init(options, output),
        Command::Import(options) => import(options, global, output),
        Command::Schema(options) => {
            let schema = config::schema();
            match &options.output {
                Some(file) => write_new(file, &format!("{schema:#}\n"))?,
                None => output.print(&format!("{schema:#}\n"))?,
            }
            Ok(Exit::Ok)
        }
    }
}

fn init(options: &InitOptions, output: &Output) -> Result<Exit, CliError> {
    let text = match options.from {
        None => config::template(),
        Some(From::Demo) => here::demo_agency()?,
    };
    if let Some(file) = &options.output {
        write_new(file, &text)?;
        output.note(&format!("written: {}; next: openrtc-supervisor config check --config {0}", file.display()));
        if !output.json() {
            return Ok(Exit::Ok);
        }
    }
    let initial = Initial { output: options.output.clone(), text };
    output.result(&initial, |_, initial| initial.text.clone())?;
    Ok(Exit::Ok)
}

/// Writes a file that was not there.
fn write_new(file: &Path, text: &str) -> Result<(), CliError> {
    let failed = |source| CliError::File { option: "--output", path: file.to_owned(), source };
    let mut new = std::fs::File::create_new(file).map_err(failed)?;
    new.write_all(text.as_bytes()).map_err(failed)
}

fn import(options: &ImportOptions, global: &Global, output: &Output) -> Result<Exit, CliError> {
    let (place, read) = application::read(&options.application, global)?;
    let current = application::current_directory()?;
    let dir = match &options.output {
        Some(file) => current.join(file).parent().unwrap_or(Path::new("/")).components().collect(),
        None if place.is_bound() => place.dir.clone(),
        None => current,
    };
    let written = import::write(&place, &read, &dir, &here::request(global).environment)?;
    if let Some(file) = &options.output {
        write_new(file, &written.text)?;
        output.note(&format!("written: {}; next: openrtc-supervisor config check --config {0}", file.display()));
    } else if place.is_bound() {
        output.note(&format!("to be kept in {}", dir.display()));
    }
    if !written.missing.is_empty() {
        output.note(&format!("to be set where the supervisor runs: {}", written.missing.join(", ")));
    }
    let imported = Imported {
        output: options.output.clone(),
        text: written.text,
        variables_to_set: written.missing,
        warnings: written.config.warnings,
    };
    if imported.output.is_some() && !output.json() {
        return Ok(Exit::Ok);
    }
    output.result(&imported, |_, imported| imported.text.clone())?;
    Ok(Exit::Ok)
}

fn text(check: &ConfigCheck) -> String {
    let verdict = match check.faults.len() {
        0 => format!("{}: no fault\n", check.source),
        1 => format!("{}: 1 fault\n", check.source),
        many => format!("{}: {many} faults\n", check.source),
    };
    let faults: String = check.faults.iter().map(fault).collect();
    let warnings: String = check.warnings.iter().map(|warning| format!("  warning: {warning}\n")).collect();
    format!("{verdict}{faults}{warnings}")
}

pub(super) fn fault(fault: &ConfigFault) -> String {
    let line = fault.line.map_or_else(String::new, |line| format!(":{line}"));
    let value = fault.value.as_ref().map_or_else(String::new, |value| format!(" = {value}"));
    let text = format!("{}{line}: {}{value}: {}: {}", fault.source, fault.key, fault.problem, fault.remedy);
    format!("  {}\n", super::table::harmless(&text))
}
