//! What each key does.
//!
//! Owns: the one way from a key to the next state. Never: confirms an order by any key but `y`.

use clap::ValueEnum;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::rows;
use super::state::{Cursor, Detail, List, Order, Overlay, State};

/// Longest filter, in characters.
const FILTER_CHARS_MAX: usize = 128;
/// Rows of a page, whatever the height.
const PAGE: usize = 10;

/// What is to be done beyond drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed {
    Nothing,
    Quit,
    Give(Order),
}

/// The keys, as help tells them.
pub(super) const HELP: &[(&str, &str)] = &[
    ("Tab", "sessions or hosts"),
    ("↑ ↓ PgUp PgDn", "move; Home and End too"),
    ("Enter", "look into the host: walls, remedies, ends"),
    ("Esc", "back; without a filter"),
    ("s  S", "next sort key; turned round"),
    ("f", "next status"),
    ("/", "filter: words, tenant:X agent:X status:X"),
    ("k", "kill the host (asks)"),
    ("e", "end the session (asks)"),
    ("p", "pause"),
    ("r", "look again now"),
    ("q", "quit"),
];

impl State {
    /// Takes a key.
    pub(super) fn press(&mut self, key: KeyEvent) -> Deed {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Deed::Quit } else { Deed::Nothing };
        }
        match self.overlay.take() {
            None => self.press_list(key.code),
            Some(Overlay::Help) => Deed::Nothing,
            Some(Overlay::Confirm(order)) => match key.code {
                KeyCode::Char('y' | 'Y') => {
                    self.said = Some(order.under_way());
                    Deed::Give(order)
                }
                _ => {
                    self.said = Some("nothing was done".to_owned());
                    Deed::Nothing
                }
            },
            Some(Overlay::Filter(typed)) => {
                self.type_filter(typed, key.code);
                Deed::Nothing
            }
        }
    }

    fn type_filter(&mut self, mut typed: String, key: KeyCode) {
        match key {
            KeyCode::Enter => return self.text = typed,
            // As it was before.
            KeyCode::Esc => return,
            KeyCode::Backspace => _ = typed.pop(),
            KeyCode::Char(c) if typed.chars().count() < FILTER_CHARS_MAX && !c.is_control() => typed.push(c),
            _ => {}
        }
        self.overlay = Some(Overlay::Filter(typed));
    }

    fn press_list(&mut self, key: KeyCode) -> Deed {
        self.said = None;
        match key {
            KeyCode::Char('q') => return Deed::Quit,
            KeyCode::Esc => self.back(),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.overlay = Some(Overlay::Help),
            KeyCode::Char('/') => self.overlay = Some(Overlay::Filter(self.text.clone())),
            KeyCode::Char('s') => self.settings.sort = after(self.settings.sort),
            KeyCode::Char('S') => self.reversed = !self.reversed,
            KeyCode::Char('f') => self.settings.status = after(self.settings.status),
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('r') => self.refreshes = self.refreshes.wrapping_add(1),
            KeyCode::Tab | KeyCode::BackTab if self.detail.is_none() => {
                self.list = if self.list == List::Sessions { List::Hosts } else { List::Sessions };
            }
            KeyCode::Up => self.step(|at, _| at.saturating_sub(1)),
            KeyCode::Down => self.step(|at, _| at + 1),
            KeyCode::PageUp => self.step(|at, _| at.saturating_sub(PAGE)),
            KeyCode::PageDown => self.step(|at, _| at + PAGE),
            KeyCode::Home => self.step(|_, _| 0),
            KeyCode::End => self.step(|_, count| count),
            KeyCode::Enter => self.look_into(),
            KeyCode::Char('k') => self.overlay = self.kill().map(Overlay::Confirm),
            KeyCode::Char('e') => self.overlay = self.end().map(Overlay::Confirm),
            _ => {}
        }
        Deed::Nothing
    }

    fn back(&mut self) {
        if self.detail.take().is_none() {
            self.text.clear();
        }
    }

    fn step(&mut self, to: impl FnOnce(usize, usize) -> usize) {
        let ids = self.ids();
        let mut cursor = self.cursor().clone();
        cursor.put(&ids, to(cursor.among(&ids), ids.len()));
        let index = self.cursor_index();
        self.cursors[index] = cursor;
    }

    /// The host that is meant: the one looked into, under the cursor, or that of the session under the cursor.
    fn host_meant(&self) -> Option<String> {
        if let Some(detail) = &self.detail {
            return Some(detail.id.clone());
        }
        let id = self.under_cursor()?;
        match self.list {
            List::Hosts => Some(id),
            List::Sessions => self.snapshot.as_ref()?.sessions.iter().find(|row| row.session_id == id)?.host.clone(),
        }
    }

    fn look_into(&mut self) {
        if self.detail.is_some() {
            return;
        }
        match self.host_meant() {
            Some(id) => {
                let snapshot = self.snapshot.as_ref();
                let host = snapshot.and_then(|snapshot| snapshot.hosts.iter().find(|host| host.host == id)).cloned();
                self.cursors[2] = Cursor::default();
                self.detail = Some(Detail { id, host, gone: false, ended: Vec::new() });
            }
            None => self.said = Some("no host there".to_owned()),
        }
    }

    fn kill(&mut self) -> Option<Order> {
        let snapshot = self.snapshot.as_ref()?;
        let found = self.host_meant().and_then(|id| snapshot.hosts.iter().find(|host| host.host == id));
        let Some(host) = found else {
            self.said = Some("no host there to kill".to_owned());
            return None;
        };
        let sessions = rows::on_host(snapshot, &host.host).len();
        Some(Order::Kill { host: host.host.clone(), tenant: host.tenant.clone(), sessions })
    }

    fn end(&mut self) -> Option<Order> {
        let meant = (self.list == List::Sessions || self.detail.is_some()).then(|| self.under_cursor()).flatten();
        let snapshot = self.snapshot.as_ref()?;
        let found = meant.and_then(|id| snapshot.sessions.iter().find(|row| row.session_id == id));
        let Some(row) = found else {
            self.said = Some("no session there to end".to_owned());
            return None;
        };
        Some(Order::End { session: row.session_id.clone(), tenant: row.tenant.clone() })
    }
}

impl Order {
    /// What is asked before it is given.
    pub(super) fn question(&self) -> (String, String) {
        match self {
            Self::Kill { host, tenant, sessions } => {
                let cost = match sessions {
                    0 => "It has no session.".to_owned(),
                    1 => "Its session is cut off.".to_owned(),
                    sessions => format!("Its {sessions} sessions are cut off."),
                };
                (format!("Kill host {host} of tenant {tenant}?"), cost)
            }
            Self::End { session, tenant } => {
                (format!("End session {session} of tenant {tenant}?"), "Its caller is hung up.".to_owned())
            }
        }
    }

    fn under_way(&self) -> String {
        match self {
            Self::Kill { host, .. } => format!("killing {host} …"),
            Self::End { session, .. } => format!("ending {session} …"),
        }
    }
}

fn after<T: ValueEnum + PartialEq + Copy>(choice: T) -> T {
    let all = T::value_variants();
    let at = all.iter().position(|other| *other == choice).map_or(0, |at| at + 1);
    all[at % all.len()]
}
