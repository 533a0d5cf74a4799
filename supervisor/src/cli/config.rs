//! `config`: check, show.
//!
//! Owns: how a configuration and its faults are shown. Never: a secret.

use clap::Subcommand;
use openrtc_control_api::{ConfigCheck, ConfigFault};

use super::exit::{CliError, Exit};
use super::output::Output;
use super::{Global, here};

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell every fault at once; exit code 2 if there is one
    Check,
    /// Print the configuration in force, with ***(source) for each secret
    Show,
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
    }
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

fn fault(fault: &ConfigFault) -> String {
    let line = fault.line.map_or_else(String::new, |line| format!(":{line}"));
    let value = fault.value.as_ref().map_or_else(String::new, |value| format!(" = {value}"));
    let text = format!("{}{line}: {}{value}: {}: {}", fault.source, fault.key, fault.problem, fault.remedy);
    format!("  {}\n", super::table::harmless(&text))
}
