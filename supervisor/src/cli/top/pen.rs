//! Writing on a grid that may be too small.
//!
//! Owns: cutting to the place there is, columns that give way, and colours. Never: writes outside of its area, or a
//! character that the terminal would obey.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use crate::cli::table::harmless;

/// Between two columns.
const GAP: u16 = 1;

/// How something looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Dim,
    Strong,
    Good,
    Warn,
    Bad,
    /// Of titles.
    Title,
}

/// A column of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// At least so wide.
    pub(super) width: u16,
    /// At most so wide; it grows where there is room.
    pub(super) most: u16,
    pub(super) right: bool,
    /// The higher, the sooner it gives way.
    pub(super) rank: u8,
}

/// A column that was placed: which one, where, how wide.
pub(super) type Placed = (usize, u16, u16);

/// Places the columns that fit into this width.
pub(super) fn place(columns: &[Column], width: u16) -> Vec<Placed> {
    let mut by_rank: Vec<usize> = (0..columns.len()).collect();
    by_rank.sort_by_key(|at| columns[*at].rank);
    let (mut kept, mut used) = (Vec::new(), 0_u32);
    for at in by_rank {
        let more = u32::from(columns[at].width + if kept.is_empty() { 0 } else { GAP });
        if !kept.is_empty() && used + more > u32::from(width) {
            break;
        }
        used += more;
        kept.push(at);
    }
    kept.sort_unstable();
    let mut widths: Vec<u16> = kept.iter().map(|at| columns[*at].width).collect();
    let mut spare = u32::from(width).saturating_sub(used);
    while spare > 0 {
        // Who has least of what it could use comes first.
        let has = |i: &usize| u32::from(widths[*i]) * 1000 / u32::from(columns[kept[*i]].most);
        let growing = (0..kept.len()).filter(|i| widths[*i] < columns[kept[*i]].most).min_by_key(has);
        let Some(i) = growing else { break };
        widths[i] += 1;
        spare -= 1;
    }
    let mut x = 0;
    let placed = kept.into_iter().zip(widths).map(|(at, width)| {
        let here = x;
        x += width + GAP;
        (at, here, width)
    });
    placed.collect()
}

/// A pen on a grid.
pub(super) struct Pen<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) color: bool,
}

impl Pen<'_> {
    pub(super) fn style(&self, ink: Ink) -> Style {
        let colored = |color: Color| if self.color { Style::new().fg(color) } else { Style::new() };
        match ink {
            Ink::Plain => Style::new(),
            Ink::Dim => Style::new().add_modifier(Modifier::DIM),
            Ink::Strong => Style::new().add_modifier(Modifier::BOLD),
            Ink::Good => colored(Color::Green),
            Ink::Warn => colored(Color::Yellow),
            Ink::Bad => colored(Color::Red).add_modifier(Modifier::BOLD),
            Ink::Title => colored(Color::Cyan).add_modifier(Modifier::BOLD),
        }
    }

    /// Writes into a place of this width; gives where it ended.
    pub(super) fn put(&mut self, x: u16, y: u16, width: u16, text: &str, ink: Ink) -> u16 {
        let area = self.buffer.area;
        if y < area.top() || y >= area.bottom() || x < area.left() || x >= area.right() {
            return x;
        }
        let style = self.style(ink);
        self.buffer.set_stringn(x, y, harmless(text), usize::from(width), style).0
    }

    /// Writes pieces one after the other; gives where they ended.
    pub(super) fn pieces(&mut self, mut x: u16, y: u16, right: u16, pieces: &[(&str, Ink)]) -> u16 {
        for (text, ink) in pieces {
            x = self.put(x, y, right.saturating_sub(x), text, *ink);
        }
        x
    }

    /// Writes one row of a list; what does not fit is cut with `…`.
    pub(super) fn row(&mut self, at: Rect, columns: &[Column], placed: &[Placed], cells: &[(String, Ink)]) {
        for (column, x, width) in placed {
            let Some((text, ink)) = cells.get(*column) else { continue };
            let text = harmless(text);
            let length = text.chars().count();
            let room = usize::from(*width).min(usize::from(at.width.saturating_sub(*x)));
            let (text, length) = if length > room && room > 0 {
                (text.chars().take(room - 1).chain(['…']).collect(), room)
            } else {
                (text, length)
            };
            let pad = if columns[*column].right { room.saturating_sub(length) as u16 } else { 0 };
            self.put(at.x + x + pad, at.y, (room as u16).saturating_sub(pad), &text, *ink);
        }
    }

    /// Turns a line's colours round.
    pub(super) fn reverse(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        self.buffer.set_style(area, Style::new().add_modifier(Modifier::REVERSED));
    }

    /// Empties an area.
    pub(super) fn wipe(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                self.buffer[(x, y)].reset();
            }
        }
    }
}
