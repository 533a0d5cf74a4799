//! What the live view knows: the last snapshot, and where the reader stands.
//!
//! Owns: everything that decides what is drawn, but for the clock and the size. Never: asks the supervisor, draws, or
//! reads a clock.

use std::time::Duration;

use openrtc_control_api::{EndedSession, Host, Snapshot};

use super::rows::{self, Filter};
use super::{SortKey, StatusFilter};

/// As given on the command line.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) sort: SortKey,
    pub(super) status: StatusFilter,
    pub(super) agent: Option<String>,
    pub(super) tenant: Option<String>,
    /// Between two looks.
    pub(super) period: Duration,
    pub(super) color: bool,
}

/// Which list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Sessions,
    Hosts,
}

/// What covers the list, and takes the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Overlay {
    Help,
    /// The filter being typed.
    Filter(String),
    /// Yes or no.
    Confirm(Order),
}

/// What the supervisor is to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    Kill { host: String, tenant: String, sessions: usize },
    End { session: String, tenant: String },
}

/// One host, looked at closely.
#[derive(Debug, Clone)]
pub(super) struct Detail {
    /// Which.
    pub(super) id: String,
    /// As last told; none before the first answer.
    pub(super) host: Option<Host>,
    /// It is not there any more.
    pub(super) gone: bool,
    /// Sessions that ended on it, newest first.
    pub(super) ended: Vec<EndedSession>,
}

/// A cursor that stays with what it stood on.
#[derive(Debug, Clone, Default)]
pub(super) struct Cursor {
    id: Option<String>,
    at: usize,
}

impl Cursor {
    /// Where it is among these; on what it stood on, or where that was.
    pub(super) fn among(&self, ids: &[&str]) -> usize {
        let known = self.id.as_deref().and_then(|id| ids.iter().position(|other| *other == id));
        known.unwrap_or(self.at).min(ids.len().saturating_sub(1))
    }

    /// Moves to a place among these.
    pub(super) fn put(&mut self, ids: &[&str], at: usize) {
        self.at = at.min(ids.len().saturating_sub(1));
        self.id = ids.get(self.at).map(|id| (*id).to_owned());
    }
}

/// The state of the view.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) list: List,
    pub(super) reversed: bool,
    pub(super) text: String,
    pub(super) paused: bool,
    pub(super) overlay: Option<Overlay>,
    pub(super) detail: Option<Detail>,
    pub(super) cursors: [Cursor; 3],
    pub(super) snapshot: Option<Snapshot>,
    /// When it was taken, since the start of the view.
    pub(super) taken_at: Duration,
    /// Why the last look failed.
    pub(super) fault: Option<String>,
    /// What the last order came to.
    pub(super) said: Option<String>,
    /// Asked for by hand, so often.
    pub(super) refreshes: u64,
}

/// What to ask the supervisor for, look by look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) tenant: Option<String>,
    pub(super) host: Option<String>,
    pub(super) paused: bool,
    pub(super) refreshes: u64,
}

/// What a look told.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) snapshot: Snapshot,
    /// If a host was asked for.
    pub(super) detail: Option<LookedHost>,
}

/// What a look told of the host asked for.
#[derive(Debug)]
pub(super) struct LookedHost {
    pub(super) id: String,
    /// None: there is no such host.
    pub(super) host: Option<Host>,
    /// None: as before.
    pub(super) ended: Option<Vec<EndedSession>>,
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            list: List::Sessions,
            reversed: false,
            text: String::new(),
            paused: false,
            overlay: None,
            detail: None,
            cursors: Default::default(),
            snapshot: None,
            taken_at: Duration::ZERO,
            fault: None,
            said: None,
            refreshes: 0,
        }
    }

    /// What to ask for now.
    pub(super) fn query(&self) -> Query {
        Query {
            tenant: self.settings.tenant.clone(),
            host: self.detail.as_ref().map(|detail| detail.id.clone()),
            paused: self.paused,
            refreshes: self.refreshes,
        }
    }

    /// Takes a snapshot.
    pub(super) fn take_snapshot(&mut self, snapshot: Snapshot, now: Duration) {
        self.snapshot = Some(snapshot);
        self.taken_at = now;
        self.fault = None;
    }

    /// Takes what a look told.
    pub(super) fn take(&mut self, look: Result<Look, String>, now: Duration) {
        match look {
            Ok(look) => {
                self.take_snapshot(look.snapshot, now);
                if let (Some(detail), Some(looked)) = (&mut self.detail, look.detail)
                    && detail.id == looked.id
                {
                    detail.gone = looked.host.is_none();
                    detail.host = looked.host.or(detail.host.take());
                    detail.ended = looked.ended.unwrap_or(std::mem::take(&mut detail.ended));
                }
            }
            Err(fault) => self.fault = Some(fault),
        }
    }

    /// For how long nothing new was heard, where that is worth saying.
    pub(super) fn stale(&self, now: Duration) -> Option<Duration> {
        let since = now.saturating_sub(self.taken_at);
        let late = self.fault.is_some() || since > Duration::from_secs(3).max(self.settings.period * 3);
        (late && !self.paused).then_some(since)
    }

    /// The filter in force.
    pub(super) fn filter(&self) -> Filter<'_> {
        let text = match &self.overlay {
            Some(Overlay::Filter(typed)) => typed,
            _ => &self.text,
        };
        Filter::new(&self.settings, text)
    }

    /// Which cursor moves now: sessions, hosts, or the sessions of the host looked at.
    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursors[self.cursor_index()]
    }

    pub(super) fn cursor_index(&self) -> usize {
        match (&self.detail, self.list) {
            (Some(_), _) => 2,
            (None, List::Sessions) => 0,
            (None, List::Hosts) => 1,
        }
    }

    /// Ids of the rows that the cursor moves over, in the order shown.
    pub(super) fn ids(&self) -> Vec<&str> {
        let Some(snapshot) = &self.snapshot else { return Vec::new() };
        match (&self.detail, self.list) {
            (Some(detail), _) => {
                rows::on_host(snapshot, &detail.id).into_iter().map(|row| row.session_id.as_str()).collect()
            }
            (None, List::Sessions) => {
                rows::sessions(self, snapshot).into_iter().map(|row| row.session_id.as_str()).collect()
            }
            (None, List::Hosts) => rows::hosts(self, snapshot).into_iter().map(|host| host.host.as_str()).collect(),
        }
    }

    /// The id under the cursor.
    pub(super) fn under_cursor(&self) -> Option<String> {
        let ids = self.ids();
        ids.get(self.cursor().among(&ids)).map(|id| (*id).to_owned())
    }
}
