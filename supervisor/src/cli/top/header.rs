//! The lines above the list: the supervisor, its machine, what it refused and which breakers are open.
//!
//! Owns: what is told of the whole. Never: more lines than [`LINES`].

use std::time::Duration;

use openrtc_control_api::Snapshot;
use ratatui::layout::Rect;

use super::pen::{Ink, Pen};
use super::state::State;
use crate::cli::units;

/// So many lines.
pub(super) const LINES: u16 = 4;

/// `812M`, `1.2G`.
pub(super) fn short_bytes(bytes: u64) -> String {
    const NAMES: [&str; 6] = ["B", "K", "M", "G", "T", "P"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < NAMES.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit > 0 && value < 9.95 { format!("{value:.1}{}", NAMES[unit]) } else { format!("{value:.0}{}", NAMES[unit]) }
}

pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, state: &State, now: Duration) {
    let lines = [
        first(state, now),
        state.snapshot.as_ref().map(machine).unwrap_or_default(),
        state.snapshot.as_ref().map(refused).unwrap_or_default(),
        state.snapshot.as_ref().map(breakers).unwrap_or_default(),
    ];
    for (line, y) in lines.iter().zip(area.y..area.bottom()) {
        let pieces: Vec<(&str, Ink)> = line.iter().map(|(text, ink)| (text.as_str(), *ink)).collect();
        pen.pieces(area.x, y, area.right(), &pieces);
    }
}

type Line = Vec<(String, Ink)>;

/// How it stands comes first, so that a narrow screen tells that.
fn first(state: &State, now: Duration) -> Line {
    let mut line = Vec::new();
    let snapshot = state.snapshot.as_ref();
    match (&state.fault, state.stale(now), snapshot) {
        (Some(fault), _, None) => line.push((format!("no answer yet: {fault}; trying again "), Ink::Bad)),
        (None, _, None) => line.push(("asking the supervisor … ".to_owned(), Ink::Dim)),
        (Some(fault), Some(since), _) => {
            line.push((format!("stale for {} s: {fault}; trying again ", since.as_secs()), Ink::Bad));
        }
        (_, Some(since), _) => line.push((format!("stale for {} s ", since.as_secs()), Ink::Warn)),
        _ => {}
    }
    if state.paused {
        line.push(("paused ".to_owned(), Ink::Warn));
    }
    let Some(snapshot) = snapshot else { return line };
    if snapshot.draining {
        line.push(("draining ".to_owned(), Ink::Warn));
    }
    let worker = &snapshot.worker;
    line.push((worker.name.clone(), Ink::Strong));
    line.push((format!("  up {}", units::seconds(worker.uptime_s.trunc())), Ink::Plain));
    line.push((format!("  sessions {}", units::of(worker.active_sessions, worker.max_sessions)), Ink::Plain));
    line.push((format!("  hosts {}", snapshot.hosts.len()), Ink::Plain));
    line.push((format!("  started {}", worker.started), Ink::Dim));
    line.push((format!("  failed {}", worker.failed), if worker.failed > 0 { Ink::Warn } else { Ink::Dim }));
    if let Some(version) = &snapshot.deployment_version {
        line.push((format!("  {version}"), Ink::Dim));
    }
    line
}

fn machine(snapshot: &Snapshot) -> Line {
    let system = &snapshot.worker.system;
    let mut line = Vec::new();
    if let Some(cpu) = system.cpu_pct {
        let of = system.vcpus.map(|vcpus| format!(" of {vcpus}")).unwrap_or_default();
        line.push((format!("cpu {cpu:>3.0}%{of} "), if cpu > 90.0 { Ink::Warn } else { Ink::Plain }));
        line.push((chart(&snapshot.worker.cpu_history, 20), Ink::Good));
    }
    if let (Some(used), Some(total)) = (system.mem_used_bytes, system.mem_total_bytes) {
        let tight = used > total / 10 * 9;
        let text = format!("  mem {}/{}", short_bytes(used), short_bytes(total));
        line.push((text, if tight { Ink::Warn } else { Ink::Plain }));
    }
    if let (Some(used), Some(total @ 1..)) = (system.swap_used_bytes, system.swap_total_bytes) {
        line.push((format!("  swap {}/{}", short_bytes(used), short_bytes(total)), Ink::Plain));
    }
    if let (Some(one), Some(five), Some(fifteen)) = (system.load1, system.load5, system.load15) {
        line.push((format!("  load {one:.2} {five:.2} {fifteen:.2}"), Ink::Plain));
    }
    line
}

/// The last samples, one character each.
fn chart(history: &[f64], width: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let last = &history[history.len().saturating_sub(width)..];
    // What is no number counts as nothing.
    last.iter().map(|cpu| LEVELS[((cpu.clamp(0.0, 100.0) / 100.0 * 7.0).round() as usize).min(7)]).collect()
}

fn refused(snapshot: &Snapshot) -> Line {
    let mut counts: Vec<_> = snapshot.rejections.iter().filter(|(_, count)| **count > 0).collect();
    counts.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    if counts.is_empty() {
        return vec![("refused: none".to_owned(), Ink::Dim)];
    }
    let counts: Vec<_> = counts.into_iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    vec![("refused: ".to_owned(), Ink::Plain), (counts.join(", "), Ink::Warn)]
}

fn breakers(snapshot: &Snapshot) -> Line {
    let open = snapshot.breakers.iter().filter(|breaker| matches!(breaker.state.as_str(), "open" | "half_open"));
    let open: Vec<_> = open
        .map(|breaker| match breaker.closes_in_s {
            Some(s) => format!("{} open for {}", breaker.tenant, units::seconds(s.max(1.0).trunc())),
            None => format!("{} {}", breaker.tenant, breaker.state.replace('_', " ")),
        })
        .collect();
    let cold: Vec<_> = snapshot.zygotes.iter().filter(|zygote| zygote.spawn != "zygote").collect();
    let mut line = match open.is_empty() {
        true => vec![("breakers: none open".to_owned(), Ink::Dim)],
        false => vec![("breakers: ".to_owned(), Ink::Plain), (open.join(", "), Ink::Bad)],
    };
    for zygote in cold {
        line.push((format!("  runtime {} {}", zygote.runtime, zygote.spawn), Ink::Warn));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_at_most_four_characters() {
        let shown: Vec<_> = [0, 999, 1000, 1 << 20, 812 << 20, 5 << 30, 999 << 20].map(short_bytes).into();
        assert_eq!(shown, ["0B", "999B", "1.0K", "1.0M", "812M", "5.0G", "999M"]);
        assert!((0..64).map(|bit| short_bytes(1 << bit)).all(|text| text.len() <= 5));
    }

    #[test]
    fn the_chart_takes_any_number() {
        assert_eq!(chart(&[0.0, 50.0, 100.0, 1e9, -3.0, f64::NAN, f64::INFINITY], 20), "▁▅██▁▁█");
    }
}
