//! The live table: one row for each tenant while the demo runs.
//!
//! Owns: what was last seen of each tenant, and drawing it. Never: writes a control sequence to anything but a
//! terminal.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openrtc_control_api::{Snapshot, WallRow};

/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

/// Where and how progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// A table on standard output, redrawn in place.
    Table {
        /// With colours.
        color: bool,
    },
    /// One line for each phase, on standard output.
    Lines,
    /// One line for each phase, on standard error: standard output is for the JSON object.
    Aside,
}

impl Screen {
    /// Chooses by where standard output goes; `color` overrides the choice of colours on a terminal.
    pub fn choose(json: bool, color: Option<bool>) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match (json, io::stdout().is_terminal() && !dumb) {
            (true, _) => Self::Aside,
            (false, true) => Self::Table { color: color.unwrap_or(!plain) },
            (false, false) => Self::Lines,
        }
    }
}

/// What was last seen of a tenant.
#[derive(Debug, Clone, Default, PartialEq)]
struct Row {
    sessions: u32,
    memory_mb: f64,
    cpu_pct: f64,
    breaker: String,
    last_end: String,
}

#[derive(Debug, Default)]
struct Seen {
    phase: String,
    rows: BTreeMap<&'static str, Row>,
    walls: BTreeMap<&'static str, Vec<WallRow>>,
    lines_drawn: usize,
}

/// The table and what was seen for it; clones share it.
#[derive(Debug, Clone)]
pub struct Board {
    screen: Screen,
    tenants: &'static [&'static str],
    seen: Arc<Mutex<Seen>>,
}

impl Board {
    /// A table of these tenants, empty.
    pub fn new(screen: Screen, tenants: &'static [&'static str]) -> Self {
        Self { screen, tenants, seen: Arc::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A phase begins.
    pub fn phase(&self, phase: &str) {
        self.seen().phase = phase.to_owned();
        match self.screen {
            Screen::Table { .. } => self.draw(),
            Screen::Lines => println!("{phase}"),
            Screen::Aside => eprintln!("{phase}"),
        }
    }

    /// A session of the tenant ended so, or was refused.
    pub fn ended(&self, tenant: &'static str, how: String) {
        self.seen().rows.entry(tenant).or_default().last_end = how;
        self.draw();
    }

    /// Takes over a snapshot.
    pub fn update(&self, snapshot: &Snapshot) {
        let mut seen = self.seen();
        for tenant in self.tenants.iter().copied() {
            let hosts = || snapshot.hosts.iter().filter(|host| host.tenant == tenant);
            if let Some(host) = hosts().find(|host| !host.walls.is_empty()) {
                seen.walls.insert(tenant, host.walls.clone());
            }
            let row = seen.rows.entry(tenant).or_default();
            row.sessions = snapshot.sessions_by_tenant.get(tenant).copied().unwrap_or(0);
            row.memory_mb = hosts().fold(0.0, |sum, host| sum + host.memory_bytes as f64 / MIB);
            row.cpu_pct = hosts().fold(0.0, |sum, host| sum + host.cpu_pct);
            let breaker = snapshot.breakers.iter().find(|breaker| breaker.tenant == tenant);
            row.breaker = breaker.map_or("closed", |breaker| &breaker.state).to_owned();
        }
        drop(seen);
        self.draw();
    }

    /// The walls last seen around a host of this tenant.
    pub fn walls(&self, tenant: &str) -> Vec<WallRow> {
        self.seen().walls.get(tenant).cloned().unwrap_or_default()
    }

    fn draw(&self) {
        let Screen::Table { color } = self.screen else { return };
        let mut seen = self.seen();
        let lines = render(&seen.phase, self.tenants, &seen.rows, color);
        let up = if seen.lines_drawn > 0 { format!("\x1b[{}A\x1b[J", seen.lines_drawn) } else { String::new() };
        seen.lines_drawn = lines.len();
        // Without wrapping, so that a narrow terminal cuts lines and the count of lines stays right.
        let table = format!("{up}\x1b[?7l{}\x1b[?7h\n", lines.join("\n"));
        // A terminal that is gone is no reason to stop measuring.
        let _ = io::stdout().write_all(table.as_bytes());
        let _ = io::stdout().flush();
    }
}

fn painted(text: String, code: &str, color: bool) -> String {
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
}

fn render(phase: &str, tenants: &[&'static str], rows: &BTreeMap<&'static str, Row>, color: bool) -> Vec<String> {
    let head =
        format!("{:<17} {:>8} {:>9} {:>6}  {:<9} {}", "tenant", "sessions", "memory", "cpu", "breaker", "last end");
    let mut lines = vec![painted(phase.to_owned(), "1", color), painted(head, "2", color)];
    for tenant in tenants {
        let row = rows.get(tenant).cloned().unwrap_or_default();
        let breaker = format!("{:<9}", row.breaker);
        let breaker = if row.breaker == "open" { painted(breaker, "31", color) } else { breaker };
        let bad = !row.last_end.is_empty() && !row.last_end.starts_with("success");
        let last_end = if bad { painted(row.last_end, "33", color) } else { row.last_end };
        let memory = format!("{:.0} MB", row.memory_mb);
        lines.push(format!("{tenant:<17} {:>8} {memory:>9} {:>5.0}%  {breaker} {last_end}", row.sessions, row.cpu_pct));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::config::{HOSTILE, TENANTS};
    use super::*;

    fn host(walls: serde_json::Value) -> serde_json::Value {
        json!({
            "host": "h1.1", "tenant": HOSTILE, "runtime": "command", "scope": "tenant", "state": "ready",
            "sessions": [], "memory_bytes": 105_276_000, "memory_peak_bytes": 0, "cpu_pct": 99.6, "cpu_s": 0.0,
            "processes": 1, "ping_ms": 0.0, "dropped": 0, "walls": walls,
        })
    }

    fn board() -> Board {
        let board = Board::new(Screen::Aside, &TENANTS);
        let walls = json!([{"wall": "memory", "strength": "kernel", "by": "cgroup v2", "evidence": "observed"}]);
        let hosts = [host(walls), host(json!([]))].map(|host| serde_json::from_value(host).unwrap());
        let breaker = json!({"tenant": HOSTILE, "state": "open", "failures": 1, "samples": 1, "cooldown_s": 3.0});
        board.update(&Snapshot {
            hosts: hosts.into(),
            sessions_by_tenant: [(HOSTILE.to_owned(), 2)].into(),
            breakers: vec![serde_json::from_value(breaker).unwrap()],
            ..Snapshot::default()
        });
        board.ended(HOSTILE, "failed: memory_limit".to_owned());
        board
    }

    #[test]
    fn a_row_sums_up_the_hosts_of_its_tenant() {
        let board = board();
        let lines = render("phase", &TENANTS, &board.seen().rows, false);
        let row = lines.iter().find(|line| line.starts_with("initech ")).unwrap();
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(words, ["initech", "2", "201", "MB", "199%", "open", "failed:", "memory_limit"]);
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn without_colours_there_is_no_control_sequence_and_with_them_there_is() {
        let board = board();
        assert!(!render("phase", &TENANTS, &board.seen().rows, false).concat().contains('\x1b'));
        assert!(render("phase", &TENANTS, &board.seen().rows, true).concat().contains("\x1b[31m"));
    }

    #[test]
    fn walls_stay_known_after_the_host_is_gone() {
        let board = board();
        board.update(&Snapshot::default());
        assert_eq!(board.walls(HOSTILE)[0].by, "cgroup v2");
        assert_eq!(board.walls("globex"), vec![]);
    }
}
