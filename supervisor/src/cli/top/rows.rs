//! Which rows are shown, and in which order.
//!
//! Owns: filter and sort of sessions and hosts. Never: draws one.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use openrtc_control_api::{Host, SessionRow, Snapshot};

use super::state::{Settings, State};
use super::{SortKey, StatusFilter};

/// What is left out.
pub(super) struct Filter<'a> {
    tenant: Option<&'a str>,
    agent: Option<&'a str>,
    status: StatusFilter,
    words: Vec<Word>,
}

/// One word of a typed filter.
enum Word {
    Tenant(String),
    Agent(String),
    Status(String),
    Anywhere(String),
}

impl Word {
    fn read(word: &str) -> Self {
        let word = word.to_lowercase();
        match word.split_once(':') {
            Some(("tenant", value)) => Self::Tenant(value.to_owned()),
            Some(("agent", value)) => Self::Agent(value.to_owned()),
            Some(("status", value)) => Self::Status(value.to_owned()),
            _ => Self::Anywhere(word),
        }
    }
}

fn holds(text: &str, word: &str) -> bool {
    word.is_empty() || text.to_lowercase().contains(word)
}

impl<'a> Filter<'a> {
    pub(super) fn new(settings: &'a Settings, typed: &str) -> Self {
        Self {
            tenant: settings.tenant.as_deref(),
            agent: settings.agent.as_deref(),
            status: settings.status,
            words: typed.split_whitespace().map(Word::read).collect(),
        }
    }

    fn session(&self, row: &SessionRow, status: &str) -> bool {
        let host = row.host.as_deref().unwrap_or_default();
        self.tenant.is_none_or(|tenant| row.tenant == tenant)
            && self.agent.is_none_or(|agent| row.agent_name == agent)
            && (self.status == StatusFilter::All || status == super::typed(self.status))
            && self.words.iter().all(|word| match word {
                Word::Tenant(word) => holds(&row.tenant, word),
                Word::Agent(word) => holds(&row.agent_name, word),
                Word::Status(word) => holds(status, word),
                Word::Anywhere(word) => [&row.session_id, &row.tenant, &row.agent_name, &row.room, host, status]
                    .into_iter()
                    .any(|text| holds(text, word)),
            })
    }

    fn host(&self, host: &Host, status: &str, agents: &[&str]) -> bool {
        let spawn = host.spawned_by.as_deref().unwrap_or_default();
        self.tenant.is_none_or(|tenant| host.tenant == tenant)
            && self.agent.is_none_or(|agent| agents.contains(&agent))
            && (self.status == StatusFilter::All || status == super::typed(self.status))
            && self.words.iter().all(|word| match word {
                Word::Tenant(word) => holds(&host.tenant, word),
                Word::Agent(word) => agents.iter().any(|agent| holds(agent, word)),
                Word::Status(word) => holds(status, word) || holds(&host.state, word),
                Word::Anywhere(word) => [&host.host, &host.tenant, &host.runtime, &host.state, spawn, status]
                    .into_iter()
                    .any(|text| holds(text, word)),
            })
    }
}

/// Hosts that are condemned.
fn condemned(snapshot: &Snapshot) -> HashSet<&str> {
    snapshot.hosts.iter().filter(|host| host.state == "condemned").map(|host| host.host.as_str()).collect()
}

/// `errored` where its host is condemned, else as told.
fn session_status<'a>(row: &'a SessionRow, condemned: &HashSet<&str>) -> &'a str {
    if row.host.as_deref().is_some_and(|host| condemned.contains(host)) { "errored" } else { &row.status }
}

/// A host in the words of its sessions.
fn host_status(host: &Host, slow: bool) -> &'static str {
    match host.state.as_str() {
        "condemned" => "errored",
        "draining" | "ending" => "draining",
        "ready" if slow => "slow",
        "ready" => "active",
        _ => "starting",
    }
}

/// The session rows to show, in order.
pub(super) fn sessions<'a>(state: &State, snapshot: &'a Snapshot) -> Vec<&'a SessionRow> {
    let (filter, condemned) = (state.filter(), condemned(snapshot));
    let mut rows: Vec<_> =
        snapshot.sessions.iter().filter(|row| filter.session(row, session_status(row, &condemned))).collect();
    let lag: HashMap<&str, f64> = match state.settings.sort {
        SortKey::LagMs => snapshot.hosts.iter().map(|host| (host.host.as_str(), host.loop_lag_ms)).collect(),
        _ => HashMap::new(),
    };
    let lag = |row: &SessionRow| row.host.as_deref().and_then(|host| lag.get(host)).copied().unwrap_or_default();
    rows.sort_by(|a, b| {
        let first = match state.settings.sort {
            SortKey::MemMb => b.mem_mb.total_cmp(&a.mem_mb),
            SortKey::CpuPct => b.cpu_pct.total_cmp(&a.cpu_pct),
            SortKey::DurationS => b.duration_s.total_cmp(&a.duration_s),
            SortKey::LagMs => lag(b).total_cmp(&lag(a)),
            SortKey::AgentName => a.agent_name.cmp(&b.agent_name),
            SortKey::Tenant => a.tenant.cmp(&b.tenant),
            SortKey::SessionId => Ordering::Equal,
        };
        turned(first, state.reversed).then_with(|| turned(by_id(&a.session_id, &b.session_id), state.reversed))
    });
    rows
}

/// The hosts to show, in order.
pub(super) fn hosts<'a>(state: &State, snapshot: &'a Snapshot) -> Vec<&'a Host> {
    let filter = state.filter();
    let mut agents = HashMap::<&str, Vec<&str>>::new();
    let mut slow = HashSet::new();
    for row in &snapshot.sessions {
        let Some(host) = row.host.as_deref() else { continue };
        let on_host = agents.entry(host).or_default();
        if !on_host.contains(&row.agent_name.as_str()) {
            on_host.push(&row.agent_name);
        }
        if row.status == "slow" {
            slow.insert(host);
        }
    }
    let wanted = |host: &&Host| {
        let status = host_status(host, slow.contains(host.host.as_str()));
        filter.host(host, status, agents.get(host.host.as_str()).map_or(&[], Vec::as_slice))
    };
    let mut rows: Vec<_> = snapshot.hosts.iter().filter(wanted).collect();
    rows.sort_by(|a, b| {
        let first = match state.settings.sort {
            SortKey::MemMb => b.memory_bytes.cmp(&a.memory_bytes),
            SortKey::CpuPct => b.cpu_pct.total_cmp(&a.cpu_pct),
            SortKey::DurationS => a.born_at_unix_ms.unwrap_or(u64::MAX).cmp(&b.born_at_unix_ms.unwrap_or(u64::MAX)),
            SortKey::LagMs => b.loop_lag_ms.total_cmp(&a.loop_lag_ms),
            SortKey::AgentName => a.runtime.cmp(&b.runtime),
            SortKey::Tenant => a.tenant.cmp(&b.tenant),
            SortKey::SessionId => Ordering::Equal,
        };
        turned(first, state.reversed).then_with(|| turned(by_id(&a.host, &b.host), state.reversed))
    });
    rows
}

/// The sessions of one host, in order of admission.
pub(super) fn on_host<'a>(snapshot: &'a Snapshot, host: &str) -> Vec<&'a SessionRow> {
    let mut rows: Vec<_> = snapshot.sessions.iter().filter(|row| row.host.as_deref() == Some(host)).collect();
    rows.sort_by(|a, b| by_id(&a.session_id, &b.session_id));
    rows
}

fn turned(order: Ordering, reversed: bool) -> Ordering {
    if reversed { order.reverse() } else { order }
}

/// Ids of the same kind differ in their numbers, of which the shorter is the smaller.
fn by_id(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}
