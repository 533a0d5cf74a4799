//! `audit`: verify a log, and read it.
//!
//! Owns: how findings and records are shown, and where the head is looked for. Never: needs a supervisor, or changes a log.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::exit::{CliError, Exit};
use super::output::Output;
use super::table::{Cell, Table};
use super::{Global, here};
use crate::audit::show::{Filter, Shown};
use crate::audit::verify::{End, Verdict, verify};
use crate::audit::{HEAD_FILE, Head, show};

/// What to do with an audit log.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check that no record was changed, removed, moved or cut off; exit code 6 if one was
    Verify(VerifyOptions),
    /// Print records
    Show(ShowOptions),
}

/// Options of `audit verify`.
#[derive(Debug, Args)]
#[command(long_about = "\
Check that no record of an audit log was changed, removed, moved or cut off. Each record holds the hash of the one before; \
where the log ends is noted in the supervisor's state directory, in audit.head. Without that file a cut at the end of the log \
cannot be seen. Exit code 0: as it was written; 6: it is not; 2: it cannot be read.")]
pub struct VerifyOptions {
    /// The log
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the supervisor noted the log's end [default: audit.head in the state directory]
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
}

/// Options of `audit show`.
#[derive(Debug, Args)]
pub struct ShowOptions {
    /// The log
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only this event, or all that begin with it: host.killed, breaker.
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Only this tenant
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Only what this actor did: uid:1000, token:ci, signal:SIGTERM, system
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Only the last N of them
    #[arg(long, short = 'n', value_name = "N", default_value_t = show::LAST_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=show::LAST_MAX))]
    last: u64,
}

pub(super) fn perform(command: &Command, global: &Global, output: &Output) -> Result<Exit, CliError> {
    match command {
        Command::Verify(options) => check(options, global, output),
        Command::Show(options) => list(options, output),
    }
}

fn cannot_use(option: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> CliError {
    let path = path.to_owned();
    move |source| CliError::File { option, path, source }
}

fn check(options: &VerifyOptions, global: &Global, output: &Output) -> Result<Exit, CliError> {
    let file = std::path::absolute(&options.file).map_err(cannot_use("FILE", &options.file))?;
    let head = match &options.head {
        Some(path) => {
            let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
            let head = Head::read(path).and_then(|head| head.ok_or_else(missing));
            Some(head.map_err(cannot_use("--head", path))?)
        }
        None => noted(&file, global, output)?,
    };
    let verdict = verify(&file, head.as_ref()).map_err(cannot_use("FILE", &options.file))?;
    output.result(&verdict, |_, verdict| text(verdict))?;
    Ok(if verdict.ok { Exit::Ok } else { Exit::CheckFailed })
}

/// The head in the state directory, if it is that of this log.
fn noted(file: &Path, global: &Global, output: &Output) -> Result<Option<Head>, CliError> {
    let Some(path) = here::state_dir(global)?.map(|dir| dir.join(HEAD_FILE)) else { return Ok(None) };
    let head = Head::read(&path).map_err(cannot_use("--head", &path))?;
    match &head {
        None => output.note(&format!("no head of a log in {}; see --head", path.display())),
        Some(head) if head.path != file => {
            output.note(&format!("{} is of {}, and not used; see --head", path.display(), head.path.display()));
            return Ok(None);
        }
        Some(_) => {}
    }
    Ok(head)
}

fn text(verdict: &Verdict) -> String {
    let mut text = String::new();
    for finding in &verdict.findings {
        let seq = finding.seq.map(|seq| format!(" (record {seq})")).unwrap_or_default();
        text.push_str(&format!("line {}{seq}: {}: {}\n", finding.line, finding.kind, finding.detail));
    }
    if verdict.more_findings > 0 {
        text.push_str(&format!("and {} more\n", verdict.more_findings));
    }
    let range = match (verdict.first_seq, verdict.last_seq) {
        (Some(first), Some(last)) => format!("{} records, {first} to {last}", verdict.records),
        _ => "no record".to_owned(),
    };
    text.push_str(&format!("{}: {range}\n", if verdict.ok { "ok" } else { "NOT AS IT WAS WRITTEN" }));
    if verdict.continues {
        text.push_str("it goes on from an earlier file; verify that too\n");
    }
    if verdict.lost > 0 {
        text.push_str(&format!(
            "{} records could not be written when they were due, and the log says so\n",
            verdict.lost
        ));
    }
    if verdict.torn > 0 {
        text.push_str(&format!("{} unfinished lines, and the log says so\n", verdict.torn));
    }
    text.push_str(match verdict.end {
        End::Head => "the end is where the supervisor noted it, or after\n",
        End::Stopped => {
            "the last record ends a run; a later run that was cut off whole would not be seen without a head\n"
        }
        End::Open => "whether the end was cut off is not known without a head\n",
    });
    text
}

fn list(options: &ShowOptions, output: &Output) -> Result<Exit, CliError> {
    let ShowOptions { event, tenant, actor, last, .. } = options;
    let filter = Filter { event: event.clone(), tenant: tenant.clone(), actor: actor.clone() };
    let records = show::last(&options.file, &filter, *last).map_err(cannot_use("FILE", &options.file))?;
    let values: Vec<&Value> = records.iter().map(|shown| &shown.record).collect();
    output.result(&values, |output, _| {
        let table = Table::new().number("SEQ").fixed("TIME").fixed("EVENT").yielding("ACTOR");
        let mut table = table.yielding("TARGET").fixed("RESULT");
        for shown in &records {
            table.row(row(shown));
        }
        output.table(&table, "no such record")
    })?;
    Ok(Exit::Ok)
}

fn row(shown: &Shown) -> Vec<Cell> {
    let field = |name: &str| shown.record[name].as_str().unwrap_or_default().to_owned();
    let seq = shown.record["seq"].to_string();
    [seq, shown.time.clone(), field("event"), field("actor"), field("target"), field("result")].map(Cell::from).into()
}
