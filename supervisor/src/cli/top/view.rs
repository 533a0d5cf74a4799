//! The whole screen, from the state.
//!
//! Owns: where everything stands, and the two lists. Never: changes the state, or reads a clock.

use std::collections::HashMap;
use std::time::Duration;

use openrtc_control_api::{Host, SessionRow, Snapshot};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::pen::{Column, Ink, Pen, place};
use super::state::{List, Overlay, State};
use super::{StatusFilter, detail, header, overlay, rows};
use crate::cli::units;

/// Draws everything.
pub(super) fn draw(state: &State, now: Duration, buffer: &mut Buffer) {
    let area = buffer.area;
    let mut pen = Pen { buffer, color: state.settings.color };
    // On a screen of a few lines the list matters more.
    let above = header::LINES.min(area.height.saturating_sub(4));
    header::draw(&mut pen, Rect { height: above, ..area }, state, now);
    let title = Rect { y: area.y + above, height: u16::from(area.height > above), ..area };
    let foot = Rect { y: area.bottom().saturating_sub(1), height: u16::from(area.height > above + 1), ..area };
    let body = Rect { y: title.bottom(), height: foot.y.saturating_sub(title.bottom()), ..area };
    draw_title(&mut pen, title, state);
    if let Some(snapshot) = &state.snapshot {
        match (&state.detail, state.list) {
            (Some(detail), _) => detail::draw(&mut pen, body, state, snapshot, detail),
            (None, List::Sessions) => draw_sessions(&mut pen, body, state, snapshot),
            (None, List::Hosts) => draw_hosts(&mut pen, body, state, snapshot),
        }
    }
    draw_foot(&mut pen, foot, state);
    overlay::draw(&mut pen, area, state);
}

fn draw_title(pen: &mut Pen<'_>, area: Rect, state: &State) {
    if area.height == 0 {
        return;
    }
    let settings = &state.settings;
    let mut filter = String::new();
    let named = [("tenant", &settings.tenant), ("agent", &settings.agent)];
    for (name, value) in named.iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value))) {
        filter.push_str(&format!("  {name}:{value}"));
    }
    if settings.status != StatusFilter::All {
        filter.push_str(&format!("  status:{}", super::typed(settings.status)));
    }
    if !state.text.is_empty() {
        filter.push_str(&format!("  /{}", state.text));
    }
    let sort = format!("  sort:{}{}", super::typed(settings.sort), if state.reversed { " turned" } else { "" });
    let tab = |list: List| if state.list == list && state.detail.is_none() { Ink::Title } else { Ink::Dim };
    let looked_into = state.detail.as_ref().map(|detail| format!("  Host {}", detail.id)).unwrap_or_default();
    let pieces = [
        ("Sessions", tab(List::Sessions)),
        (" ", Ink::Plain),
        ("Hosts", tab(List::Hosts)),
        (&looked_into, Ink::Title),
        (&sort, Ink::Dim),
        (&filter, Ink::Warn),
    ];
    pen.pieces(area.x, area.y, area.right(), &pieces);
}

fn draw_foot(pen: &mut Pen<'_>, area: Rect, state: &State) {
    if area.height == 0 {
        return;
    }
    let (text, ink) = match (&state.overlay, &state.said) {
        (Some(Overlay::Filter(typed)), _) => (format!("/{typed}▏ Enter takes it, Esc leaves it"), Ink::Strong),
        (_, Some(said)) => (said.clone(), Ink::Strong),
        (_, None) => (
            "? help  q quit  Tab list  Enter host  s sort  f status  / filter  k kill  e end  p pause".to_owned(),
            Ink::Dim,
        ),
    };
    pen.put(area.x, area.y, area.width, &text, ink);
}

/// Which rows of a list are in sight, with the cursor near the middle.
fn in_sight(count: usize, cursor: usize, height: u16) -> std::ops::Range<usize> {
    let height = usize::from(height);
    let first = cursor.saturating_sub(height / 2).min(count.saturating_sub(height));
    first..(first + height).min(count)
}

/// A list: its titles, and the rows in sight. `cells` is asked for those only.
pub(super) fn draw_list(
    pen: &mut Pen<'_>,
    area: Rect,
    columns: &[Column],
    count: usize,
    cursor: usize,
    cells: impl Fn(usize) -> Vec<(String, Ink)>,
) {
    if area.height == 0 || area.width == 0 {
        return;
    }
    let placed = place(columns, area.width);
    let titles: Vec<_> = columns.iter().map(|column| (column.title.to_owned(), Ink::Strong)).collect();
    pen.row(Rect { height: 1, ..area }, columns, &placed, &titles);
    let room = Rect { y: area.y + 1, height: area.height - 1, ..area };
    for (at, y) in in_sight(count, cursor, room.height).zip(room.y..room.bottom()) {
        let line = Rect { y, height: 1, ..room };
        pen.row(line, columns, &placed, &cells(at));
        if at == cursor {
            pen.reverse(line);
        }
    }
}

const fn word(title: &'static str, width: u16, most: u16, rank: u8) -> Column {
    Column { title, width, most, right: false, rank }
}

const fn number(title: &'static str, width: u16, rank: u8) -> Column {
    Column { title, width, most: width, right: true, rank }
}

/// OpenRTC's nine, and ours.
pub(super) const SESSIONS: [Column; 12] = [
    word("SESSION", 13, 20, 0),
    word("AGENT", 8, 24, 2),
    word("TENANT", 8, 32, 1),
    number("DUR(S)", 7, 4),
    number("MEM(MB)", 7, 5),
    number("PEAK", 6, 8),
    number("CPU%", 5, 6),
    word("STATUS", 8, 8, 3),
    word("PIN", 3, 3, 12),
    word("HOST", 6, 9, 7),
    number("LAG(MS)", 7, 10),
    word("ROOM", 10, 40, 11),
];

fn session_ink(status: &str) -> Ink {
    match status {
        "active" => Ink::Good,
        "slow" | "draining" => Ink::Warn,
        _ => Ink::Plain,
    }
}

pub(super) fn session_cells(row: &SessionRow, lag_ms: Option<f64>) -> Vec<(String, Ink)> {
    let plain = |text: String| (text, Ink::Plain);
    vec![
        plain(row.session_id.clone()),
        plain(row.agent_name.clone()),
        plain(row.tenant.clone()),
        plain(format!("{:.0}", row.duration_s)),
        plain(format!("{:.1}", row.mem_mb)),
        plain(format!("{:.1}", row.peak_mb)),
        plain(format!("{:.1}", row.cpu_pct)),
        (row.status.clone(), session_ink(&row.status)),
        plain(if row.pinned { "*".to_owned() } else { String::new() }),
        plain(row.host.clone().unwrap_or_else(|| "-".to_owned())),
        plain(lag_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"))),
        plain(row.room.clone()),
    ]
}

/// Lag of each host.
pub(super) fn lags(snapshot: &Snapshot) -> HashMap<&str, f64> {
    snapshot.hosts.iter().map(|host| (host.host.as_str(), host.loop_lag_ms)).collect()
}

fn draw_sessions(pen: &mut Pen<'_>, area: Rect, state: &State, snapshot: &Snapshot) {
    let shown = rows::sessions(state, snapshot);
    if shown.is_empty() {
        pen.put(area.x, area.y, area.width, nothing(snapshot.sessions.is_empty(), "session"), Ink::Dim);
        return;
    }
    let ids: Vec<_> = shown.iter().map(|row| row.session_id.as_str()).collect();
    let lags = lags(snapshot);
    let cells = |at: usize| {
        let row: &SessionRow = shown[at];
        session_cells(row, row.host.as_deref().and_then(|host| lags.get(host)).copied())
    };
    draw_list(pen, area, &SESSIONS, shown.len(), state.cursors[0].among(&ids), cells);
}

fn nothing(at_all: bool, noun: &str) -> &'static str {
    match (at_all, noun) {
        (true, "session") => "no session waits or runs",
        (true, _) => "no host",
        (false, _) => "nothing passes the filter; Esc clears what was typed, f changes the status",
    }
}

pub(super) const HOSTS: [Column; 17] = [
    word("HOST", 6, 9, 0),
    word("TENANT", 8, 32, 1),
    word("STATE", 9, 9, 2),
    word("SPAWN", 6, 24, 7),
    number("SESS", 4, 6),
    number("MEM", 5, 3),
    number("WALL", 5, 4),
    number("MEM%", 4, 5),
    number("CPU%", 5, 5),
    number("LAG(MS)", 7, 8),
    word("BREAKER", 7, 9, 9),
    word("ABSENT", 6, 30, 10),
    number("AGE", 6, 11),
    word("RUNTIME", 8, 24, 12),
    number("PEAK", 5, 13),
    number("PID", 7, 14),
    number("PROCS", 5, 15),
];

fn host_ink(state: &str) -> Ink {
    match state {
        "ready" => Ink::Good,
        "condemned" => Ink::Bad,
        "draining" | "ending" => Ink::Warn,
        _ => Ink::Plain,
    }
}

/// Memory in percent of its wall.
pub(super) fn of_wall(host: &Host) -> Option<f64> {
    host.memory_max_bytes.filter(|max| *max > 0).map(|max| host.memory_bytes as f64 * 100.0 / max as f64)
}

pub(super) fn near(pct: f64) -> Ink {
    match pct {
        95.0.. => Ink::Bad,
        80.0.. => Ink::Warn,
        _ => Ink::Plain,
    }
}

pub(super) fn host_cells(host: &Host, snapshot: &Snapshot, breaker: Option<&str>) -> Vec<(String, Ink)> {
    let plain = |text: String| (text, Ink::Plain);
    let pct = of_wall(host);
    let spawn = host.spawned_by.clone().unwrap_or_else(|| "-".to_owned());
    let now_ms = (snapshot.timestamp * 1000.0) as u64;
    let age = host.born_at_unix_ms.map(|born| now_ms.saturating_sub(born) as f64 / 1000.0);
    let breaker = breaker.unwrap_or("-");
    vec![
        plain(host.host.clone()),
        plain(host.tenant.clone()),
        (host.state.clone(), host_ink(&host.state)),
        (spawn.clone(), if spawn.starts_with("cold (") { Ink::Warn } else { Ink::Plain }),
        plain(host.sessions.len().to_string()),
        plain(header::short_bytes(host.memory_bytes)),
        plain(host.memory_max_bytes.map_or_else(|| "off".to_owned(), header::short_bytes)),
        (pct.map_or_else(|| "-".to_owned(), |pct| format!("{pct:.0}")), near(pct.unwrap_or_default())),
        plain(format!("{:.1}", host.cpu_pct)),
        plain(format!("{:.1}", host.loop_lag_ms)),
        (breaker.to_owned(), if matches!(breaker, "open" | "half_open") { Ink::Bad } else { Ink::Plain }),
        (host.absent_walls.join(" "), Ink::Warn),
        plain(age.map_or_else(|| "-".to_owned(), |age| units::seconds(age.trunc()))),
        plain(host.runtime.clone()),
        plain(header::short_bytes(host.memory_peak_bytes)),
        plain(units::or_dash(host.pid)),
        plain(host.processes.to_string()),
    ]
}

/// State of each tenant's breaker.
pub(super) fn breakers(snapshot: &Snapshot) -> HashMap<&str, &str> {
    snapshot.breakers.iter().map(|breaker| (breaker.tenant.as_str(), breaker.state.as_str())).collect()
}

fn draw_hosts(pen: &mut Pen<'_>, area: Rect, state: &State, snapshot: &Snapshot) {
    let shown = rows::hosts(state, snapshot);
    if shown.is_empty() {
        pen.put(area.x, area.y, area.width, nothing(snapshot.hosts.is_empty(), "host"), Ink::Dim);
        return;
    }
    let ids: Vec<_> = shown.iter().map(|host| host.host.as_str()).collect();
    let breakers = breakers(snapshot);
    let cells = |at: usize| host_cells(shown[at], snapshot, breakers.get(shown[at].tenant.as_str()).copied());
    draw_list(pen, area, &HOSTS, shown.len(), state.cursors[1].among(&ids), cells);
}
