//! One frame without a terminal: as text, or as data.
//!
//! Owns: `--once` and `--json`. Never: cuts an id, or writes what would move a cursor.

use std::collections::BTreeMap;
use std::time::Duration;

use openrtc_control_api::{Breaker, Host, SessionRow, Worker, Zygote};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde::Serialize;

use super::header;
use super::pen::{Ink, Pen, place};
use super::rows;
use super::state::State;
use super::view::{HOSTS, SESSIONS, breakers, host_cells, lags, session_cells};

/// Of a frame that goes to no terminal.
const WIDTH: u16 = 160;

/// The data of a frame: OpenRTC's `worker` and `sessions`, and ours.
#[derive(Debug, Serialize)]
pub(super) struct Data<'a> {
    /// Seconds since 1970.
    timestamp: f64,
    worker: Option<&'a Worker>,
    /// Those that pass the filter, in order.
    sessions: Vec<&'a SessionRow>,
    /// Likewise.
    hosts: Vec<&'a Host>,
    breakers: &'a [Breaker],
    rejections: BTreeMap<&'a str, u64>,
    zygotes: &'a [Zygote],
}

pub(super) fn data(state: &State) -> Data<'_> {
    let snapshot = state.snapshot.as_ref();
    let rejections = snapshot.iter().flat_map(|snapshot| &snapshot.rejections);
    Data {
        timestamp: snapshot.map_or(0.0, |snapshot| snapshot.timestamp),
        worker: snapshot.map(|snapshot| &snapshot.worker),
        sessions: snapshot.map(|snapshot| rows::sessions(state, snapshot)).unwrap_or_default(),
        hosts: snapshot.map(|snapshot| rows::hosts(state, snapshot)).unwrap_or_default(),
        breakers: snapshot.map_or(&[], |snapshot| &snapshot.breakers),
        rejections: rejections.map(|(reason, count)| (reason.as_str(), *count)).collect(),
        zygotes: snapshot.map_or(&[], |snapshot| &snapshot.zygotes),
    }
}

/// The frame as text: the header, every host, every session.
pub(super) fn text(state: &State, width: Option<usize>) -> String {
    let Some(snapshot) = &state.snapshot else { return String::new() };
    let width = width.and_then(|width| u16::try_from(width).ok()).unwrap_or(WIDTH);
    let mut text = drawn(width, header::LINES, |pen, area| header::draw(pen, area, state, Duration::ZERO));
    let (hosts, sessions) = (rows::hosts(state, snapshot), rows::sessions(state, snapshot));
    let (breakers, lags) = (breakers(snapshot), lags(snapshot));
    let breaker = |host: &Host| breakers.get(host.tenant.as_str()).copied();
    let lag = |row: &SessionRow| row.host.as_deref().and_then(|host| lags.get(host)).copied();
    text.push('\n');
    text.push_str(&list(width, &HOSTS, "no host", hosts.iter().map(|host| host_cells(host, snapshot, breaker(host)))));
    text.push('\n');
    let cells = sessions.iter().map(|row| session_cells(row, lag(row)));
    text.push_str(&list(width, &SESSIONS, "no session", cells));
    text
}

fn list(
    width: u16,
    columns: &[super::pen::Column],
    empty: &str,
    rows: impl ExactSizeIterator<Item = Vec<(String, Ink)>>,
) -> String {
    if rows.len() == 0 {
        return format!("{empty}\n");
    }
    let placed = place(columns, width);
    let titles = columns.iter().map(|column| (column.title.to_owned(), Ink::Plain)).collect();
    let lines = std::iter::once(titles).chain(rows);
    lines.map(|cells| drawn(width, 1, |pen, area| pen.row(area, columns, &placed, &cells))).collect()
}

fn drawn(width: u16, height: u16, draw: impl FnOnce(&mut Pen<'_>, Rect)) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw(&mut Pen { buffer: &mut buffer, color: false }, area);
    as_text(&buffer)
}

/// A grid as lines, without blanks at their ends.
pub(super) fn as_text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let line: String = (buffer.area.left()..buffer.area.right()).map(|x| buffer[(x, y)].symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
