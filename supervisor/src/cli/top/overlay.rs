//! What lies over the list: help, and the question before an order.
//!
//! Owns: the two boxes. Never: hides the question on a small screen; it is cut last.

use ratatui::layout::Rect;

use super::keys::HELP;
use super::pen::{Ink, Pen};
use super::state::{Overlay, State};

pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, state: &State) {
    match &state.overlay {
        None | Some(Overlay::Filter(_)) => {}
        Some(Overlay::Help) => {
            let lines: Vec<_> = HELP.iter().map(|(key, what)| (format!("{key:<15} {what}"), Ink::Plain)).collect();
            boxed(pen, area, "Keys", &lines, "any key closes this");
        }
        Some(Overlay::Confirm(order)) => {
            let (question, cost) = order.question();
            boxed(pen, area, "Sure?", &[(question, Ink::Strong), (cost, Ink::Warn)], "y yes   any other key no");
        }
    }
}

fn boxed(pen: &mut Pen<'_>, area: Rect, title: &str, lines: &[(String, Ink)], foot: &str) {
    let widest = lines.iter().map(|(text, _)| text.chars().count()).chain([foot.len(), title.len() + 2]).max();
    let width = (widest.unwrap_or(0) as u16).saturating_add(4).min(area.width);
    let height = (lines.len() as u16 + 3).min(area.height);
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    pen.wipe(place);
    if width < 5 || height < 3 {
        pen.put(place.x, place.y, width, foot, Ink::Strong);
        return;
    }
    let inside = usize::from(width - 2);
    let top = format!("┌{:─<inside$}┐", format!(" {title} "));
    let bottom = format!("└{}┘", "─".repeat(inside));
    let rows = lines.iter().map(|(text, ink)| (text.as_str(), *ink)).take(usize::from(height) - 3);
    let rows = rows.chain([(foot, Ink::Dim)]);
    pen.put(place.x, place.y, width, &top, Ink::Title);
    for ((text, ink), y) in rows.zip(place.y + 1..place.bottom() - 1) {
        pen.put(place.x, y, 1, "│", Ink::Title);
        pen.put(place.x + 2, y, width - 4, text, ink);
        pen.put(place.right() - 1, y, 1, "│", Ink::Title);
    }
    pen.put(place.x, place.bottom() - 1, width, &bottom, Ink::Title);
}
