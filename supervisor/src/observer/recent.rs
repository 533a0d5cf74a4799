//! The last lines of each tenant in memory, for whoever has to explain what happened to one.
//!
//! Owns: a ring for each tenant and the bound on all of them. Never: keeps a line that the observer it follows did not
//! take, a caller's metadata, or one tenant's line under another.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openrtc_ipc::{SessionEvent, TenantId};
use openrtc_policy::bounds::{RECENT_LINES_BYTES_MAX, RECENT_LINES_MAX, RECENT_TENANTS_MAX};

use super::row::Row;
use super::words::Subject;
use super::{Observer, Taken, Told};
use crate::telemetry::json;

/// One tenant's lines, oldest first.
#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<String>,
    bytes: usize,
    last_told: u64,
}

#[derive(Debug, Default)]
struct Book {
    rings: BTreeMap<TenantId, Ring>,
    told: u64,
}

/// The lines. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct RecentLines(Arc<Mutex<Book>>);

impl RecentLines {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One tenant's last lines, oldest first, each a JSON object.
    pub fn of(&self, tenant: &TenantId) -> Vec<String> {
        self.book().rings.get(tenant).map(|ring| ring.lines.iter().cloned().collect()).unwrap_or_default()
    }

    fn push(&self, tenant: &TenantId, line: String) {
        let mut book = self.book();
        book.told += 1;
        let told = book.told;
        if !book.rings.contains_key(tenant) && book.rings.len() >= RECENT_TENANTS_MAX {
            let quietest = book.rings.iter().min_by_key(|(_, ring)| ring.last_told).map(|(tenant, _)| tenant.clone());
            quietest.map(|tenant| book.rings.remove(&tenant));
        }
        let ring = book.rings.entry(tenant.clone()).or_default();
        ring.last_told = told;
        ring.bytes += line.len();
        ring.lines.push_back(line);
        while ring.lines.len() > RECENT_LINES_MAX || (ring.bytes > RECENT_LINES_BYTES_MAX && ring.lines.len() > 1) {
            let Some(oldest) = ring.lines.pop_front() else { break };
            ring.bytes -= oldest.len();
        }
    }

    /// Keeps what this observer has taken.
    pub fn following<O: Observer>(&self, observer: O) -> Following<O> {
        Following { observer, recent: self.clone() }
    }
}

/// An observer, and the lines that it took.
pub struct Following<O> {
    observer: O,
    recent: RecentLines,
}

/// Whether it is a line for a person, and not one of the many numbers of a session.
fn is_line(told: &Told) -> bool {
    match told {
        Told::SessionEvent(_, event) => matches!(**event, SessionEvent::Log { .. }),
        Told::SessionStarted(..)
        | Told::SessionEnded(_)
        | Told::HostUp { .. }
        | Told::HostDown { .. }
        | Told::Line(..)
        | Told::Notice(_) => true,
        Told::Admitted(_) | Told::Rejected(_) | Told::Snapshot(_) | Told::Audit(_) => false,
    }
}

impl<O: Observer> Observer for Following<O> {
    fn name(&self) -> &str {
        self.observer.name()
    }

    fn hears(told: &Told) -> bool {
        O::hears(told)
    }

    async fn on_missed(&mut self, missed: u64) -> Taken {
        self.observer.on_missed(missed).await
    }

    async fn on(&mut self, told: &Told, at_unix_ms: u64) -> Taken {
        self.observer.on(told, at_unix_ms).await?;
        let Some(tenant) = Subject::of(told).tenant.filter(|_| is_line(told)) else { return Ok(()) };
        let mut row = Row::of(told, at_unix_ms);
        if let Some(payload) = row.payload.as_object_mut() {
            payload.remove("metadata");
        }
        let line = json::line(&row)?;
        self.recent.push(tenant, String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
        Ok(())
    }

    async fn flush(&mut self) -> Taken {
        self.observer.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn a_noisy_tenant_loses_its_own_oldest_lines_and_nobody_elses() {
        let recent = RecentLines::default();
        recent.push(&tenant("quiet"), "the one line".to_owned());
        for number in 0..RECENT_LINES_MAX + 7 {
            recent.push(&tenant("noisy"), number.to_string());
        }
        assert_eq!(recent.of(&tenant("quiet")), ["the one line"]);
        let noisy = recent.of(&tenant("noisy"));
        assert_eq!((noisy.len(), noisy[0].as_str()), (RECENT_LINES_MAX, "7"));
        recent.push(&tenant("noisy"), "x".repeat(RECENT_LINES_BYTES_MAX));
        assert_eq!(recent.of(&tenant("noisy")).len(), 1, "bytes are bounded too");
    }

    #[test]
    fn of_too_many_tenants_the_one_that_was_silent_for_the_longest_is_forgotten() {
        let recent = RecentLines::default();
        for number in 0..=RECENT_TENANTS_MAX {
            recent.push(&tenant(&format!("t{number}")), "line".to_owned());
        }
        assert!(recent.of(&tenant("t0")).is_empty());
        assert_eq!(recent.of(&tenant("t1")).len(), 1);
    }
}
