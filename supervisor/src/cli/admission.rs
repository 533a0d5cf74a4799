//! The admission trace: what a dispatch would be answered, rule by rule.
//!
//! Owns: the options that say what is wanted, how a trace is shown, and its exit code. Never: a rule; policy explains itself.

use clap::Args;
use openrtc_control_api::{AdmissionQuestion, AdmissionTrace};
use openrtc_policy::bounds::METADATA_BYTES_MAX;

use super::client::{Client, Patience};
use super::exit::{CliError, Exit};
use super::output::Output;
use super::table::{Cell, Table, Tone, harmless};

/// What a dispatch says, whether it is one or is only asked about.
#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// The room
    #[arg(long)]
    room: String,
    /// The tenant, over what the metadata says
    #[arg(long)]
    tenant: Option<String>,
    /// The agent, over what routing says
    #[arg(long)]
    agent: Option<String>,
    /// Job metadata, a JSON object
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Room metadata, a JSON object
    #[arg(long, value_name = "JSON")]
    room_metadata: Option<String>,
}

impl Wanted {
    /// The question. Refuses metadata that no supervisor would read.
    pub(super) fn question(self) -> Result<AdmissionQuestion, CliError> {
        for (option, text) in [("--metadata", &self.metadata), ("--room-metadata", &self.room_metadata)] {
            let bytes = text.as_ref().map_or(0, String::len);
            if bytes > METADATA_BYTES_MAX {
                let detail = format!("{bytes} bytes, at most {METADATA_BYTES_MAX}; shorten it");
                return Err(CliError::Usage { option, detail });
            }
        }
        let Self { room, tenant, agent, metadata, room_metadata } = self;
        Ok(AdmissionQuestion { room, tenant, agent, metadata, room_metadata })
    }
}

/// Asks a supervisor, and shows its answer.
pub(super) async fn ask(question: &AdmissionQuestion, client: &Client, output: &Output) -> Result<Exit, CliError> {
    show(&client.post("/v1/admission", question, Patience::Usual).await?, output)
}

/// Shows a trace; 0 where the dispatch would be admitted, 4 where it would be refused.
pub(super) fn show(trace: &AdmissionTrace, output: &Output) -> Result<Exit, CliError> {
    output.result(trace, |output, trace| format!("{}\n{}", output.table(&table(trace), "no rule"), verdict(trace)))?;
    Ok(if trace.admitted { Exit::Ok } else { Exit::Rejected })
}

fn table(trace: &AdmissionTrace) -> Table {
    let mut table = Table::new().fixed("RULE").fixed("SAID").yielding("SAW");
    for step in &trace.steps {
        let tone = match step.said.as_str() {
            "refused" => Tone::Bad,
            "chosen" => Tone::Good,
            _ => Tone::Plain,
        };
        table.row([(&step.rule).into(), Cell::toned(&step.said, tone), (&step.saw).into()]);
    }
    table
}

fn verdict(trace: &AdmissionTrace) -> String {
    if let Some(expected) = &trace.expected {
        let host = match (&expected.host, &expected.evicts) {
            (Some(host), _) => format!("host {host}"),
            (None, Some(idle)) => format!("a new host, for which idle {idle} goes"),
            (None, None) => "a new host".to_owned(),
        };
        return format!(
            "would be admitted for {} as {} (routed by: {})\n  on {host}, runtime {}\n",
            expected.tenant, expected.agent, expected.routed_by, expected.runtime
        );
    }
    let rule = trace.steps.last().map_or("-", |step| &step.rule);
    let Some(problem) = &trace.refusal else { return String::new() };
    let again = problem.retry_after_s.map_or_else(String::new, |s| format!("\n  try again in {s} s"));
    format!("would be refused by rule {rule}\n  {}: {}{again}\n", problem.reason, harmless(&problem.detail))
}
