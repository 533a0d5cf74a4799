//! `host`: list, show, recycle, kill.
//!
//! Owns: how hosts are shown. Never: signals one.

use clap::Subcommand;
use openrtc_control_api::{Host, HostGone};
use openrtc_ipc::{HostId, TenantId};

use super::client::{Client, Patience};
use super::doctor::walls;
use super::exit::{CliError, Exit};
use super::output::Output;
use super::table::{Cell, Table, Tone};
use super::{fields, units};

/// What to do with hosts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// All of them
    List {
        /// Of one tenant
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// One host and the walls around it
    Show {
        /// For example h3.1
        host: HostId,
    },
    /// Give new sessions another host; this one ends when its last session has ended
    Recycle {
        /// For example h3.1
        host: HostId,
    },
    /// Kill one host with everything it started; its sessions fail
    Kill {
        /// For example h3.1
        host: HostId,
    },
}

pub(super) async fn perform(command: Command, client: &Client, output: &Output) -> Result<Exit, CliError> {
    match command {
        Command::List { tenant } => {
            let tenant = tenant.map_or_else(String::new, |tenant| format!("?tenant={tenant}"));
            let hosts: Vec<Host> = client.get(&format!("/v1/hosts{tenant}")).await?;
            output.result(&hosts, |output, hosts| output.table(&table(hosts), "no host"))?;
        }
        Command::Show { host } => {
            let host: Host = client.get(&format!("/v1/hosts/{host}")).await?;
            output.result(&host, |output, host| {
                format!("{}\n{}", account(host), output.table(&walls(&host.walls), "no wall was attested yet"))
            })?;
        }
        Command::Recycle { host } => {
            let path = format!("/v1/hosts/{host}/recycle");
            let host: Host = client.post(&path, &serde_json::json!({}), Patience::Usual).await?;
            output.result(&host, |_, host| {
                let sessions = units::counted(host.sessions.len() as u32, "session");
                format!("{} takes no new sessions and ends after those it has: {sessions}\n", host.host)
            })?;
        }
        Command::Kill { host } => {
            let path = format!("/v1/hosts/{host}/kill");
            let gone: HostGone = client.post(&path, &serde_json::json!({}), Patience::Usual).await?;
            output.result(&gone, |_, gone| format!("{} is gone after {} ms\n", gone.host, gone.took_ms))?;
        }
    }
    Ok(Exit::Ok)
}

fn tone(state: &str) -> Tone {
    match state {
        "ready" => Tone::Good,
        "condemned" => Tone::Bad,
        "draining" | "ending" => Tone::Warn,
        _ => Tone::Plain,
    }
}

fn table(hosts: &[Host]) -> Table {
    let mut table =
        Table::new().fixed("HOST").yielding("TENANT").yielding("RUNTIME").fixed("STATE").fixed("SPAWN").number("PID");
    table = table.number("SESS").number("MEM").number("CPU%").number("PROCS").yielding("WALLS");
    for host in hosts {
        let stand = host.walls.iter().filter(|wall| wall.strength != openrtc_control_api::Strength::Absent).count();
        table.row([
            (&host.host).into(),
            (&host.tenant).into(),
            (&host.runtime).into(),
            Cell::toned(&host.state, tone(&host.state)),
            how(host),
            units::or_dash(host.pid).into(),
            host.sessions.len().to_string().into(),
            units::bytes(host.memory_bytes).into(),
            format!("{:.1}", host.cpu_pct).into(),
            host.processes.to_string().into(),
            format!("{stand}/{}", host.walls.len()).into(),
        ]);
    }
    table
}

/// `ahead`, `zygote` or `cold`; `host show` says why.
fn how(host: &Host) -> Cell {
    match host.spawned_by.as_deref().and_then(|how| how.split(' ').next()) {
        Some(how @ ("ahead" | "zygote")) => how.into(),
        Some(how) => Cell::toned(how, Tone::Warn),
        None => "-".into(),
    }
}

fn account(host: &Host) -> String {
    fields(&[
        ("host", host.host.clone()),
        ("state", host.state.clone()),
        ("tenant", host.tenant.clone()),
        ("runtime", host.runtime.clone()),
        ("scope", host.scope.clone()),
        ("condemned", units::or_dash(host.condemned.as_ref())),
        ("intent", units::or_dash(host.intent.as_ref())),
        ("pid", units::or_dash(host.pid)),
        ("spawned", units::or_dash(host.spawned_by.as_ref())),
        ("age", units::or_dash(host.born_at_unix_ms.map(units::ago))),
        ("ready after", units::or_dash(host.ready_after_ms.map(|ms| format!("{ms} ms")))),
        ("sessions", if host.sessions.is_empty() { "-".to_owned() } else { host.sessions.join(" ") }),
        ("memory", format!("{}, peak {}", units::bytes(host.memory_bytes), units::bytes(host.memory_peak_bytes))),
        ("cpu", format!("{:.1} % of a core, {:.2} s in all", host.cpu_pct, host.cpu_s)),
        ("processes", host.processes.to_string()),
        ("ping", format!("{:.1} ms", host.ping_ms)),
        (
            "keys",
            if host.old_keys { "old: replaced since; `host recycle` ends it gently" } else { "in force" }.to_owned(),
        ),
        ("dropped", host.dropped.to_string()),
    ])
}
