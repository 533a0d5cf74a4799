//! One host looked at closely: its walls with their remedies, its sessions, what ended on it.
//!
//! Owns: the lines of that view. Never: asks for them.

use openrtc_control_api::{EndedSession, Host, Snapshot, Strength, WallRow};
use ratatui::layout::Rect;

use super::header::short_bytes;
use super::pen::{Ink, Pen};
use super::rows;
use super::state::{Detail, State};
use super::view::{SESSIONS, draw_list, near, of_wall, session_cells};
use crate::cli::units;

/// Ends shown at most.
const ENDS: usize = 5;

type Line = Vec<(String, Ink)>;

pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, state: &State, snapshot: &Snapshot, detail: &Detail) {
    let mut lines = Vec::new();
    match &detail.host {
        Some(host) => lines.extend(account(host, detail.gone, snapshot)),
        None if detail.gone => lines.push(vec![("it is gone".to_owned(), Ink::Bad)]),
        None => lines.push(vec![("asking …".to_owned(), Ink::Dim)]),
    }
    let shown = rows::on_host(snapshot, &detail.id);
    // Some room is kept for its sessions, however many walls it has.
    let kept = if shown.is_empty() { 0 } else { (shown.len() as u16 + 1).min(area.height / 3).max(2) };
    // What needs somebody first: on a small screen the rest gives way.
    let (weak, firm): (Vec<_>, Vec<_>) =
        detail.host.iter().flat_map(|host| &host.walls).partition(|wall| wall.strength != Strength::Kernel);
    lines.extend(walls(weak, snapshot));
    lines.extend(ends(&detail.ended));
    lines.extend(walls(firm, snapshot));
    let room = area.height.saturating_sub(kept);
    let hidden = lines.len().saturating_sub(usize::from(room));
    let mut y = area.y;
    for (at, line) in lines.iter().enumerate().take(usize::from(room)) {
        let last = hidden > 0 && at + 1 == usize::from(room);
        if last {
            pen.put(
                area.x,
                y,
                area.width,
                &format!("… {} more lines: `host show {}`", hidden + 1, detail.id),
                Ink::Dim,
            );
        } else {
            let pieces: Vec<_> = line.iter().map(|(text, ink)| (text.as_str(), *ink)).collect();
            pen.pieces(area.x, y, area.right(), &pieces);
        }
        y += 1;
    }
    if !shown.is_empty() {
        let ids: Vec<_> = shown.iter().map(|row| row.session_id.as_str()).collect();
        let lag = detail.host.as_ref().map(|host| host.loop_lag_ms);
        let rest = Rect { y, height: area.bottom().saturating_sub(y), ..area };
        draw_list(pen, rest, &SESSIONS, shown.len(), state.cursors[2].among(&ids), |at| session_cells(shown[at], lag));
    }
}

fn account(host: &Host, gone: bool, snapshot: &Snapshot) -> Vec<Line> {
    let plain = |text: String| (text, Ink::Plain);
    let mut first = vec![plain(format!("tenant {}  runtime {}  scope {}  ", host.tenant, host.runtime, host.scope))];
    first.push(match (gone, &host.condemned) {
        (true, _) => ("gone".to_owned(), Ink::Bad),
        (false, Some(why)) => (format!("condemned: {why}"), Ink::Bad),
        (false, None) => (host.state.clone(), Ink::Strong),
    });
    if let Some(intent) = &host.intent {
        first.push((format!("  intent {intent}"), Ink::Warn));
    }
    let wall = host.memory_max_bytes.map_or_else(|| "no wall".to_owned(), |max| format!("of {}", short_bytes(max)));
    let pct = of_wall(host);
    let mut second = vec![plain("memory ".to_owned())];
    let shown = pct.map(|pct| format!(" ({pct:.0} %)")).unwrap_or_default();
    second.push((format!("{} {wall}{shown}", short_bytes(host.memory_bytes)), near(pct.unwrap_or_default())));
    second.push(plain(format!(
        ", peak {}  cpu {:.1}%, {:.1} s in all  processes {}",
        short_bytes(host.memory_peak_bytes),
        host.cpu_pct,
        host.cpu_s,
        host.processes
    )));
    let born = host.spawned_by.as_deref().unwrap_or("-");
    let ready = host.ready_after_ms.map(|ms| format!(", ready after {ms} ms")).unwrap_or_default();
    let third = vec![plain(format!(
        "pid {}  spawned by {born}{ready}  loop lag {:.1} ms  ping {:.1} ms  dropped {}",
        units::or_dash(host.pid),
        host.loop_lag_ms,
        host.ping_ms,
        host.dropped
    ))];
    let mut lines = vec![first, second, third];
    let breaker = snapshot.breakers.iter().find(|breaker| breaker.tenant == host.tenant);
    if let Some(breaker) = breaker.filter(|breaker| matches!(breaker.state.as_str(), "open" | "half_open")) {
        let text = format!("breaker {}: {} of {} failed", breaker.state, breaker.failures, breaker.samples);
        lines.push(vec![(text, Ink::Bad)]);
    }
    lines
}

fn walls(mut walls: Vec<&WallRow>, snapshot: &Snapshot) -> Vec<Line> {
    walls.sort_by_key(|wall| std::cmp::Reverse(wall.strength));
    let mut lines = Vec::new();
    for wall in walls {
        let (word, ink) = match wall.strength {
            Strength::Kernel => ("kernel ", Ink::Good),
            Strength::Sampled => ("sampled", Ink::Warn),
            Strength::Absent => ("absent ", Ink::Bad),
        };
        lines.push(vec![
            (format!("{:<14}", wall.wall), Ink::Strong),
            (format!("{word}  "), ink),
            (wall.by.clone(), Ink::Plain),
        ]);
        // What was attested has no remedy; what is forecast for the machine has.
        let forecast = snapshot.walls.iter().find(|other| other.wall == wall.wall);
        let remedy = wall.remedy.as_ref().or(forecast.and_then(|other| other.remedy.as_ref()));
        if let Some(remedy) = remedy.filter(|_| wall.strength != Strength::Kernel) {
            lines.push(vec![(format!("{:<14}→ {remedy}", ""), Ink::Dim)]);
        }
    }
    lines
}

fn ends(ended: &[EndedSession]) -> Vec<Line> {
    let mut lines = Vec::new();
    for end in ended.iter().take(ENDS) {
        let ink = match end.status.as_str() {
            "failed" => Ink::Bad,
            "success" => Ink::Good,
            _ => Ink::Warn,
        };
        let ran = units::seconds(end.duration_ms as f64 / 1000.0);
        lines.push(vec![
            (format!("ended {} after {ran}: ", end.session_id), Ink::Plain),
            (format!("{} {}", end.status, end.reason), ink),
            (end.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default(), Ink::Plain),
        ]);
        let last =
            end.evidence.as_ref().and_then(|evidence| evidence.get("last_stderr")).and_then(|line| line.as_str());
        if let Some(last) = last {
            lines.push(vec![(format!("{:<14}last line: {last}", ""), Ink::Dim)]);
        }
    }
    lines
}
