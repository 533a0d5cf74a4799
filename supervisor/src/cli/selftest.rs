//! `selftest`: isolation.
//!
//! Owns: how the verdict is shown. Never: attacks, or asks the supervisor that runs here.

use clap::Subcommand;
use openrtc_control_api::Strength;

use super::exit::{CliError, Exit};
use super::output::Output;
use super::table::{Cell, Table, Tone};
use crate::demo::measure::Lateness;
use crate::selftest::{self, Report};

/// What to test.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A hostile tenant beside a victim: which walls hold, and what the victim feels; under a minute
    #[command(after_help = "\
It starts a supervisor of its own in a temporary directory, and touches no other. The hostile tenant takes memory, spins,
forks, floods log and events, writes malformed frames and tries to get out, each for some seconds at most and within
bounds of its own. The victim handles two calls meanwhile; its p99 is how late its 20 ms frames were. Exit code 6 if a
wall did not hold, or the victim was served late.")]
    Isolation,
}

pub(super) fn perform(command: &Command, output: &Output) -> Result<Exit, CliError> {
    let Command::Isolation = command;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(CliError::Start)?;
    let report = runtime.block_on(selftest::run(|phase| output.progress(phase)))?;
    output.result(&report, text)?;
    Ok(if report.passed { Exit::Ok } else { Exit::CheckFailed })
}

fn text(output: &Output, report: &Report) -> String {
    let mut table = Table::new().fixed("").fixed("ATTACK").number("VICTIM P99").yielding("HELD BY");
    let alone = p99(report.victim_alone.as_ref());
    table.row([Cell::default(), "none".into(), alone.into(), "the victim alone".into()]);
    for attack in &report.attacks {
        let verdict = if attack.passed { Cell::toned("PASS", Tone::Good) } else { Cell::toned("FAIL", Tone::Bad) };
        let late = if attack.held && !attack.passed { "the victim was served late; " } else { "" };
        let by = format!("{late}{}", attack.by);
        table.row([verdict, attack.attack.name().into(), p99(attack.victim.as_ref()).into(), by.into()]);
    }
    let word = if report.passed { "PASS" } else { "FAIL" };
    let weaker: Vec<&str> =
        report.walls.iter().filter(|it| it.strength != Strength::Kernel).map(|it| &*it.wall).collect();
    let weaker = if weaker.is_empty() { "none".to_owned() } else { weaker.join(", ") };
    format!(
        "{}\n{word} in {} s: {} of {} calls of the victim lost; p99 allowed {:.1} ms\nweaker or absent walls here: {weaker} \
         (`openrtc-supervisor doctor`)\n",
        output.table(&table, ""),
        report.seconds,
        report.victim_calls_lost,
        report.victim_calls,
        report.allowed_p99_micros as f64 / 1000.0,
    )
}

fn p99(lateness: Option<&Lateness>) -> String {
    lateness.map_or_else(|| "-".to_owned(), |it| format!("{:.1} ms", it.p99_micros as f64 / 1000.0))
}
