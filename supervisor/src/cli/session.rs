//! `session`: list, show, end.
//!
//! Owns: how sessions are shown. Never: more of a session than the API tells.

use clap::Subcommand;
use openrtc_control_api::{EndedSession, Session, SessionList, SessionRow};
use openrtc_ipc::{SessionId, TenantId};

use super::client::{Client, Patience};
use super::exit::{CliError, Exit};
use super::output::Output;
use super::table::{Cell, Table, Tone};
use super::{dispatch, fields, units};

/// Seconds that `session end` waits for the end.
const END_WAIT_S: u64 = 15;

/// What to do with sessions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Those that wait or run
    List {
        /// And the last 1 000 that ended
        #[arg(long)]
        ended: bool,
        /// Of one tenant
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// One session, running or ended, with reason and evidence
    Show {
        /// For example s-1a2b3c4d-17
        session: SessionId,
    },
    /// End one session
    End {
        /// For example s-1a2b3c4d-17
        session: SessionId,
    },
}

pub(super) async fn perform(command: Command, client: &Client, output: &Output) -> Result<Exit, CliError> {
    match command {
        Command::List { ended, tenant } => {
            let tenant = tenant.map_or_else(String::new, |tenant| format!("&tenant={tenant}"));
            let list: SessionList = client.get(&format!("/v1/sessions?ended={ended}{tenant}")).await?;
            output.result(&list, |output, list| {
                let mut text = output.table(&live(&list.sessions), "no session waits or runs");
                if ended {
                    text.push('\n');
                    text.push_str(&output.table(&over(&list.ended), "no session has ended"));
                }
                text
            })?;
        }
        Command::Show { session } => {
            let session: Session = client.get(&format!("/v1/sessions/{session}")).await?;
            output.result(&session, |_, session| account(session))?;
        }
        Command::End { session } => {
            let path = format!("/v1/sessions/{session}/end?wait_s={END_WAIT_S}");
            let patience = Patience::Longer(std::time::Duration::from_secs(END_WAIT_S));
            let session: Session = client.post(&path, &serde_json::json!({}), patience).await?;
            output.result(&session, |_, session| match session {
                Session::Live { row, .. } => format!("{} was told to end, and has not yet\n", row.session_id),
                Session::Ended { ended } => dispatch::account(ended),
            })?;
        }
    }
    Ok(Exit::Ok)
}

/// Sessions that wait or run.
pub(super) fn live(rows: &[SessionRow]) -> Table {
    let mut table = Table::new().fixed("SESSION").yielding("TENANT").yielding("AGENT").fixed("HOST").fixed("STATUS");
    table = table.number("FOR").number("MEM").yielding("ROOM");
    for row in rows {
        let tone = match row.status.as_str() {
            "active" => Tone::Good,
            "slow" | "draining" => Tone::Warn,
            _ => Tone::Plain,
        };
        table.row([
            (&row.session_id).into(),
            (&row.tenant).into(),
            (&row.agent_name).into(),
            units::or_dash(row.host.as_ref()).into(),
            Cell::toned(&row.status, tone),
            units::seconds(row.duration_s).into(),
            units::bytes((row.mem_mb * 1024.0 * 1024.0) as u64).into(),
            (&row.room).into(),
        ]);
    }
    table
}

/// The tone of an end.
pub(super) fn tone(status: &str) -> Tone {
    match status {
        "success" => Tone::Good,
        "failed" => Tone::Bad,
        _ => Tone::Warn,
    }
}

fn over(ended: &[EndedSession]) -> Table {
    let mut table = Table::new().fixed("SESSION").yielding("TENANT").yielding("AGENT").fixed("STATUS");
    table = table.yielding("REASON").number("RAN").number("AGO").yielding("ERROR");
    for one in ended {
        table.row([
            (&one.session_id).into(),
            (&one.tenant).into(),
            (&one.agent_name).into(),
            Cell::toned(&one.status, tone(&one.status)),
            (&one.reason).into(),
            units::seconds(one.duration_ms as f64 / 1000.0).into(),
            units::ago(one.ended_at_unix_ms).into(),
            one.error.as_deref().unwrap_or_default().into(),
        ]);
    }
    table
}

/// `host_exit (code 3)`.
fn reason(ended: &EndedSession) -> String {
    let fields = ended.reason_detail.as_object().into_iter().flatten().filter(|(name, _)| *name != "reason");
    let fields: Vec<_> = fields.map(|(name, value)| format!("{name} {value}")).collect();
    if fields.is_empty() { ended.reason.clone() } else { format!("{} ({})", ended.reason, fields.join(", ")) }
}

fn account(session: &Session) -> String {
    match session {
        Session::Live { row, usage, .. } => fields(&[
            ("session", row.session_id.clone()),
            ("status", row.status.clone()),
            ("tenant", row.tenant.clone()),
            ("agent", row.agent_name.clone()),
            ("room", row.room.clone()),
            ("host", units::or_dash(row.host.as_ref())),
            ("for", units::seconds(row.duration_s)),
            ("turns", usage.turns.to_string()),
            ("events", usage.events.to_string()),
            ("llm tokens", format!("{} in, {} out", usage.llm_tokens_in, usage.llm_tokens_out)),
            ("stt", units::seconds(usage.stt_ms as f64 / 1000.0)),
            ("tts", format!("{} characters", usage.tts_characters)),
        ]),
        Session::Ended { ended } => fields(&[
            ("session", ended.session_id.clone()),
            ("status", ended.status.clone()),
            ("reason", reason(ended)),
            ("error", units::or_dash(ended.error.as_ref())),
            ("blame", ended.blame.clone()),
            ("tenant", ended.tenant.clone()),
            ("agent", ended.agent_name.clone()),
            ("room", ended.room.clone()),
            ("host", units::or_dash(ended.host.as_ref())),
            ("started", ended.started.to_string()),
            ("ran", units::seconds(ended.duration_ms as f64 / 1000.0)),
            ("ended", format!("{} ago", units::ago(ended.ended_at_unix_ms))),
            ("turns", ended.usage.map_or(0, |usage| usage.turns).to_string()),
            ("host's end", units::or_dash(ended.exit.as_ref())),
            ("evidence", units::or_dash(ended.evidence.as_ref())),
        ]),
    }
}
