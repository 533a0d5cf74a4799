//! A runtime's idle hosts: forked before anybody needs one, of no tenant yet.
//!
//! Owns: them until one is taken, and when the next is due. Never: hands out one that has not said hello (a fork on
//! demand is there sooner), makes one cold, or has one do anything for a tenant.
//!
//! ```text
//! due ──fork──► Settling ──hello──► Ready ──taken──► a newborn as any other
//!                 │ end of its channel, silence
//!                 └──kill──► dead ──► due again, later each time
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use openrtc_ipc::{Need, RuntimeName};
use rustix::event::{PollFd, PollFlags};

use crate::spawn::children::ChildTable;
use crate::spawn::ends::{Ends, Heard};
use crate::spawn::newborn::Process;
use crate::spawn::zygote::Zygote;
use crate::sys::process::{self, Found, Whom};

/// From taking one to forking the next: whoever took it, a call that connects perhaps, is served by then.
const REFILL: Duration = Duration::from_secs(1);
/// Until one must have said hello; it takes some milliseconds.
const SETTLED: Duration = Duration::from_secs(10);
/// Longest wait for the next after some could not be made, or died.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Idle {
    process: Process,
    ends: Ends,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Settling { until: Instant },
    Ready,
}

/// The idle hosts of one runtime, as the spawner thread keeps them.
#[derive(Debug)]
pub(super) struct IdleHosts {
    runtime: RuntimeName,
    wanted: usize,
    hosts: VecDeque<Idle>,
    /// When the next may be made.
    due: Instant,
    pause: Duration,
    count: Arc<AtomicUsize>,
    children: &'static ChildTable,
}

impl IdleHosts {
    /// None yet; `count` is kept at how many are ready.
    pub(super) fn new(
        runtime: RuntimeName,
        wanted: usize,
        count: Arc<AtomicUsize>,
        children: &'static ChildTable,
    ) -> Self {
        Self { runtime, wanted, hosts: VecDeque::new(), due: Instant::now(), pause: REFILL, count, children }
    }

    /// Buries the dead, hears who is ready, and kills who will not be.
    pub(super) fn tend(&mut self) {
        self.bury_dead();
        let now = Instant::now();
        for Idle { process, ends, state } in &mut self.hosts {
            let State::Settling { until } = *state else { continue };
            match ends.heard() {
                Heard::Word => *state = State::Ready,
                Heard::Nothing if now < until => {}
                // Its death is what comes next.
                Heard::Nothing | Heard::End => drop(process.kill()),
            }
        }
        self.tell();
    }

    /// Makes one that is due. One at a time: whoever needs a host at once need not wait for all.
    pub(super) fn refill(&mut self, zygote: &mut Zygote) {
        if self.next(zygote).is_some_and(|due| due <= Instant::now()) {
            match Self::make(zygote) {
                Some(idle) => self.hosts.push_back(idle),
                None => self.put_off(),
            }
        }
    }

    /// One that is ready.
    pub(super) fn take(&mut self) -> Option<(Process, Ends)> {
        self.bury_dead();
        let found = self.hosts.iter().position(|idle| idle.state == State::Ready)?;
        let Idle { process, ends, .. } = self.hosts.remove(found)?;
        self.pause = REFILL;
        self.due = Instant::now() + self.pause;
        self.tell();
        Some((process, ends))
    }

    /// Descriptors whose readiness calls for [`Self::tend`].
    pub(super) fn watched(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.hosts.iter().flat_map(|Idle { process, ends, state }| {
            let death = PollFd::from_borrowed_fd(process.pidfd(), PollFlags::IN);
            std::iter::once(death).chain((*state != State::Ready).then(|| ends.channel()))
        })
    }

    /// When [`Self::tend`] or [`Self::refill`] is due even if nothing happens.
    pub(super) fn due(&self, zygote: &Zygote) -> Option<Instant> {
        let settled = self.hosts.iter().filter_map(|idle| match idle.state {
            State::Settling { until } => Some(until),
            State::Ready => None,
        });
        settled.chain(self.next(zygote)).min()
    }

    fn next(&self, zygote: &Zygote) -> Option<Instant> {
        (self.hosts.len() < self.wanted && zygote.is_warm()).then_some(self.due)
    }

    fn make(zygote: &mut Zygote) -> Option<Idle> {
        let (ends, theirs) = Ends::make().ok()?;
        let process = zygote.fork(Need::Later, theirs.each_ref().map(std::os::fd::AsFd::as_fd))?;
        Some(Idle { process, ends, state: State::Settling { until: Instant::now() + SETTLED } })
    }

    fn bury_dead(&mut self) {
        let (children, before) = (self.children, self.hosts.len());
        self.hosts.retain(|Idle { process, .. }| {
            if matches!(process::look(Whom::Pidfd(process.pidfd()), false), Ok(Found::Running)) {
                return true;
            }
            let how = match children.reap(process) {
                Ok(Found::Ended(corpse)) => corpse.ended.to_string(),
                Ok(Found::Running) | Err(_) => "unknown".to_owned(),
            };
            tracing::warn!(runtime = %self.runtime, pid = process.pid(), how, "an idle host ended before it was needed");
            false
        });
        if self.hosts.len() < before {
            self.put_off();
        }
    }

    fn put_off(&mut self) {
        self.due = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(BACKOFF_MAX);
    }

    fn tell(&self) {
        self.count.store(self.hosts.iter().filter(|idle| idle.state == State::Ready).count(), Ordering::Relaxed);
    }
}
