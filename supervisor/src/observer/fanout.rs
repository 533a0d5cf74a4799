//! Hands what happens to every observer, and waits for none.
//!
//! Owns: each observer's queue, thread and counters (semantics F4). Never: blocks who tells; lets one observer's delay,
//! hang, error or panic reach another observer or a session.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use openrtc_policy::bounds::{OBSERVER_QUEUED_MAX, OBSERVER_RESERVED};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Observer, Taken, Told};
use crate::metrics::Metrics;
use crate::telemetry::unix_ms;

/// How long an observer may take over one thing that it is told; after that it is skipped and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For anything but the end of a session or a host.
    pub start: Duration,
    /// For the end of a session or a host, a snapshot, and for flushing.
    pub end: Duration,
}

impl Default for Timeouts {
    /// OpenRTC's: 5 s and 30 s.
    fn default() -> Self {
        Self { start: Duration::from_secs(5), end: Duration::from_secs(30) }
    }
}

impl Timeouts {
    /// These timeouts under a drain time: no start may take longer than it (OpenRTC's rule).
    pub fn within(self, drain_timeout: Duration) -> Self {
        Self { start: self.start.min(drain_timeout), end: self.end }
    }

    fn of(self, told: &Told) -> Duration {
        match told {
            Told::SessionEnded(_) | Told::HostDown { .. } | Told::Snapshot(_) => self.end,
            Told::SessionStarted(..)
            | Told::Admitted(_)
            | Told::SessionEvent(..)
            | Told::HostUp { .. }
            | Told::Line(..)
            | Told::Rejected(_)
            | Told::Notice(_)
            | Told::Audit(_) => self.start,
        }
    }
}

/// Why an observer could not be added.
#[derive(Debug, thiserror::Error)]
#[error("start a thread for observer {observer}")]
pub struct AddError {
    /// Which.
    pub observer: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// What became of everything that one observer was told, for snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObserverTally {
    /// Its name.
    pub name: String,
    /// Taken in good order.
    pub taken: u64,
    /// Never heard, because its queue was full or it is gone.
    pub dropped: u64,
    /// Answered with an error.
    pub failed: u64,
    /// Ended in a panic.
    pub panicked: u64,
    /// Given up after the timeout.
    pub timed_out: u64,
    /// Waiting now.
    pub queued: u64,
    /// For how long it has been busy with the same thing, in milliseconds; 0 when idle.
    pub busy_ms: u64,
}

#[derive(Debug, Default)]
struct Counters {
    taken: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    timed_out: AtomicU64,
    /// Since when it is busy, in milliseconds since 1970; 0 when idle.
    busy_since: AtomicU64,
}

struct Item {
    told: Told,
    at_unix_ms: u64,
}

struct Seat {
    name: String,
    /// What it wants to be told.
    hears: fn(&Told) -> bool,
    /// `None` once the end was announced.
    queue: Option<mpsc::Sender<Arc<Item>>>,
    counters: Arc<Counters>,
    /// Closed when the observer's thread is done.
    running: watch::Receiver<()>,
}

/// Every observer. Cheap to clone.
#[derive(Clone, Default)]
pub struct Fanout {
    seats: Arc<RwLock<Vec<Seat>>>,
    timeouts: Timeouts,
    metrics: Metrics,
}

impl Fanout {
    /// A fan-out without observers yet.
    pub fn new(timeouts: Timeouts) -> Self {
        Self { timeouts, ..Self::default() }
    }

    /// Adds an observer, on a thread of its own. It is told what happens from now on.
    pub fn add<O: Observer>(&self, observer: O) -> Result<(), AddError> {
        let name = observer.name().to_owned();
        let (queue, waiting) = mpsc::channel(OBSERVER_QUEUED_MAX);
        let (alive, running) = watch::channel(());
        let counters = Arc::new(Counters::default());
        let listener = Listener {
            name: name.clone(),
            observer,
            counters: Arc::clone(&counters),
            limits: self.timeouts,
            missed: 0,
        };
        std::thread::Builder::new()
            .name(format!("observer-{name}"))
            .spawn(move || {
                let _alive = alive;
                listener.run(waiting);
            })
            .map_err(|source| AddError { observer: name.clone(), source })?;
        let seat = Seat { name, hears: O::hears, queue: Some(queue), counters, running };
        self.seats.write().unwrap_or_else(PoisonError::into_inner).push(seat);
        Ok(())
    }

    /// Tells every observer. Never waits: where a queue is full, that observer misses this and the miss is counted.
    pub fn tell(&self, told: Told) {
        self.metrics.book(&told);
        let item = Arc::new(Item { at_unix_ms: unix_ms(), told });
        for seat in self.seats.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let Some(queue) = seat.queue.as_ref().filter(|_| (seat.hears)(&item.told)) else { continue };
            let crowded = item.told.is_telemetry() && queue.capacity() <= OBSERVER_RESERVED;
            if crowded || queue.try_send(Arc::clone(&item)).is_err() {
                warn_of(count(&seat.counters.dropped), &seat.name, "misses events, its queue is full");
            }
        }
    }

    /// What was counted of everything that was told, whether or not an observer heard it.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What became of everything each observer was told.
    pub fn tallies(&self) -> Vec<ObserverTally> {
        let now = unix_ms();
        let tally = |seat: &Seat| {
            let counters = &seat.counters;
            let busy_since = counters.busy_since.load(Relaxed);
            ObserverTally {
                name: seat.name.clone(),
                taken: counters.taken.load(Relaxed),
                dropped: counters.dropped.load(Relaxed),
                failed: counters.failed.load(Relaxed),
                panicked: counters.panicked.load(Relaxed),
                timed_out: counters.timed_out.load(Relaxed),
                queued: seat.queue.as_ref().map_or(0, |queue| (queue.max_capacity() - queue.capacity()) as u64),
                busy_ms: if busy_since == 0 { 0 } else { now.saturating_sub(busy_since) },
            }
        };
        self.seats.read().unwrap_or_else(PoisonError::into_inner).iter().map(tally).collect()
    }

    /// Tells no more, lets every observer hear what waits and flush, until the deadline at most. Gives the names of those
    /// that had not finished by then.
    pub async fn shutdown(&self, deadline: Instant) -> Vec<String> {
        let running: Vec<_> = {
            let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
            let leave = |seat: &mut Seat| {
                seat.queue = None;
                (seat.name.clone(), seat.running.clone())
            };
            seats.iter_mut().map(leave).collect()
        };
        let mut unfinished = Vec::new();
        for (name, mut running) in running {
            // Nothing is ever sent on it: it changes by closing.
            if timeout_at(deadline, running.changed()).await.is_err() {
                unfinished.push(name);
            }
        }
        unfinished
    }
}

/// One observer at the end of its queue.
struct Listener<O> {
    name: String,
    observer: O,
    counters: Arc<Counters>,
    limits: Timeouts,
    /// Of what its queue dropped, so much it was told.
    missed: u64,
}

impl<O: Observer> Listener<O> {
    fn run(mut self, waiting: mpsc::Receiver<Arc<Item>>) {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                runtime.block_on(self.listen(waiting));
                // What the observer still runs beside is not waited for.
                runtime.shutdown_background();
            }
            Err(error) => {
                tracing::error!(target: "openrtc.observer", observer = self.name, error = &error as &dyn std::error::Error,
                    "observer hears nothing: no runtime for its thread");
            }
        }
    }

    async fn listen(&mut self, mut waiting: mpsc::Receiver<Arc<Item>>) {
        while let Some(item) = waiting.recv().await {
            self.tell_missed().await;
            let limit = self.limits.of(&item.told);
            let outcome = self.watched(limit, async |observer| observer.on(&item.told, item.at_unix_ms).await).await;
            if matches!(outcome, Some(Ok(()))) {
                count(&self.counters.taken);
            }
            if waiting.is_empty() {
                self.tell_missed().await;
                self.watched(self.limits.end, async |observer| observer.flush().await).await;
            }
        }
        self.watched(self.limits.end, async |observer| observer.flush().await).await;
    }

    async fn tell_missed(&mut self) {
        let dropped = self.counters.dropped.load(Relaxed);
        let missed = dropped - std::mem::replace(&mut self.missed, dropped);
        if missed > 0 {
            self.watched(self.limits.start, async |observer| observer.on_missed(missed).await).await;
        }
    }

    /// Lets the observer do one thing: within the limit, and without its panic going further.
    async fn watched(&mut self, limit: Duration, act: impl AsyncFnOnce(&mut O) -> Taken) -> Option<Taken> {
        let counters = Arc::clone(&self.counters);
        counters.busy_since.store(unix_ms(), Relaxed);
        let outcome = timeout(limit, caught(act(&mut self.observer))).await;
        counters.busy_since.store(0, Relaxed);
        match outcome {
            Ok(Ok(taken)) => {
                if let Err(error) = &taken {
                    let told = matches!(error, super::ObserverError::Told);
                    let error: &dyn std::error::Error = error;
                    let failed = count(&counters.failed);
                    if failed.is_power_of_two() && !told {
                        tracing::warn!(target: "openrtc.observer", observer = self.name, failed, error, "observer failed");
                    }
                }
                Some(taken)
            }
            Ok(Err(panic)) => {
                warn_of(count(&counters.panicked), &self.name, &format!("panicked: {}", panic_text(&*panic)));
                None
            }
            Err(_elapsed) => {
                warn_of(count(&counters.timed_out), &self.name, &format!("took longer than {limit:?}, skipped"));
                None
            }
        }
    }
}

/// The future's output, or the panic that ended it.
async fn caught<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}

/// Counts one more and gives the new count.
fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Relaxed) + 1
}

/// Logs the first of its kind, the second, the fourth and so on.
fn warn_of(times: u64, observer: &str, what: &str) {
    if times.is_power_of_two() {
        tracing::warn!(target: "openrtc.observer", observer, times, "observer {what}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as blocking;

    use super::super::{ObserverError, samples};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Does what the closure says with everything it is told.
    struct Acts<F>(&'static str, F);

    impl<F: AsyncFnMut(&Told) -> Taken + Send + 'static> Observer for Acts<F> {
        fn name(&self) -> &str {
            self.0
        }

        async fn on(&mut self, told: &Told, _at_unix_ms: u64) -> Taken {
            (self.1)(told).await
        }
    }

    fn acts<F: FnMut(&Told) -> Taken + Send + 'static>(name: &'static str, mut act: F) -> impl Observer {
        Acts(name, async move |told: &Told| act(told))
    }

    fn tally(fanout: &Fanout, name: &str) -> ObserverTally {
        fanout.tallies().into_iter().find(|tally| tally.name == name).unwrap()
    }

    /// Waits until it is true.
    fn wait_for(what: &str, mut is_true: impl FnMut() -> bool) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !is_true() {
            assert!(std::time::Instant::now() < deadline, "waited in vain for {what}");
            std::thread::yield_now();
        }
    }

    async fn shutdown(fanout: &Fanout) -> Vec<String> {
        fanout.shutdown(Instant::now() + PATIENCE).await
    }

    #[tokio::test]
    async fn a_stuck_observer_misses_counted_events_and_the_others_hear_all() {
        let fanout = Fanout::default();
        let (release, released) = blocking::channel::<()>();
        // Blocks its whole thread, as a bad driver would; no timeout can end that.
        fanout.add(acts("stuck", move |_| Ok(_ = released.recv()))).unwrap();
        fanout.add(acts("brisk", |_| Ok(()))).unwrap();
        let told = 3 * OBSERVER_QUEUED_MAX as u64;
        fanout.tell(samples::started());
        wait_for("the stuck one to get stuck", || tally(&fanout, "stuck").queued == 0);
        for nth in 2..=told {
            fanout.tell(samples::started());
            wait_for("the brisk one", || tally(&fanout, "brisk").taken >= nth.saturating_sub(100));
        }
        wait_for("the brisk one", || tally(&fanout, "brisk").taken == told);
        assert_eq!(tally(&fanout, "brisk").dropped, 0);
        let stuck = tally(&fanout, "stuck");
        assert_eq!(stuck.dropped + stuck.queued + 1, told, "{stuck:?}");
        wait_for("time to pass", || tally(&fanout, "stuck").busy_ms > 0);
        let unfinished = fanout.shutdown(Instant::now() + Duration::from_millis(50)).await;
        assert_eq!(unfinished, ["stuck"]);
        drop(release);
        assert_eq!(shutdown(&fanout).await, Vec::<String>::new());
        assert_eq!(tally(&fanout, "stuck").taken, told - stuck.dropped, "what had waited was heard in the end");
    }

    #[tokio::test]
    async fn chatter_cannot_displace_a_session_s_end() {
        let fanout = Fanout::default();
        let (release, released) = blocking::channel::<()>();
        fanout.add(acts("stuck", move |_| Ok(_ = released.recv()))).unwrap();
        fanout.tell(samples::line("chatter"));
        wait_for("the stuck one to get stuck", || tally(&fanout, "stuck").queued == 0);
        for _ in 0..2 * OBSERVER_QUEUED_MAX {
            fanout.tell(samples::line("chatter"));
        }
        let dropped = tally(&fanout, "stuck").dropped;
        assert!(dropped > 0);
        (0..OBSERVER_RESERVED).for_each(|_| fanout.tell(samples::failed()));
        assert_eq!(tally(&fanout, "stuck").dropped, dropped);
        drop(release);
        shutdown(&fanout).await;
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_the_observer_hears_what_comes_next() {
        let fanout = Fanout::default();
        let mut heard = 0;
        let panics = acts("panics", move |_| {
            heard += 1;
            assert!(heard % 2 == 0, "odd ones are too much");
            Ok(())
        });
        fanout.add(panics).unwrap();
        fanout.add(acts("calm", |_| Ok(()))).unwrap();
        (0..10).for_each(|_| fanout.tell(samples::started()));
        assert_eq!(shutdown(&fanout).await, Vec::<String>::new());
        let panics = tally(&fanout, "panics");
        assert_eq!((panics.taken, panics.panicked), (5, 5));
        assert_eq!(tally(&fanout, "calm").taken, 10);
    }

    #[tokio::test]
    async fn a_hang_is_given_up_after_the_timeout_of_its_kind() {
        let timeouts = Timeouts { start: Duration::from_millis(5), end: PATIENCE };
        let fanout = Fanout::new(timeouts);
        let hangs = Acts("hangs", async |told: &Told| match told {
            Told::SessionStarted(..) => std::future::pending().await,
            _ => Ok(_ = timeout(Duration::from_millis(50), std::future::pending::<()>()).await),
        });
        fanout.add(hangs).unwrap();
        fanout.add(acts("calm", |_| Ok(()))).unwrap();
        fanout.tell(samples::started());
        fanout.tell(samples::failed());
        assert_eq!(shutdown(&fanout).await, Vec::<String>::new());
        let hangs = tally(&fanout, "hangs");
        assert_eq!((hangs.timed_out, hangs.taken), (1, 1), "a start is given up, an end may take longer");
        assert_eq!(tally(&fanout, "calm").taken, 2);
    }

    #[tokio::test]
    async fn an_error_is_counted_and_nothing_else() {
        let fanout = Fanout::default();
        let refuses = |_: &Told| Err(ObserverError::Deliver { to: "nowhere".to_owned(), source: "closed".into() });
        fanout.add(acts("refuses", refuses)).unwrap();
        fanout.tell(samples::started());
        shutdown(&fanout).await;
        let tally = tally(&fanout, "refuses");
        assert_eq!((tally.failed, tally.taken), (1, 0));
    }

    #[tokio::test]
    async fn shutdown_lets_everything_that_waits_be_heard_and_flushed() {
        struct Gathers(u32, blocking::Sender<u32>);
        impl Observer for Gathers {
            fn name(&self) -> &str {
                "gathers"
            }
            async fn on_session_start(&mut self, _: &openrtc_ipc::SessionInfo, _: openrtc_ipc::HostId) -> Taken {
                self.0 += 1;
                Ok(())
            }
            async fn flush(&mut self) -> Taken {
                Ok(_ = self.1.send(self.0))
            }
        }
        let fanout = Fanout::default();
        let (flushed, flushes) = blocking::channel();
        fanout.add(Gathers(0, flushed)).unwrap();
        (0..100).for_each(|_| fanout.tell(samples::started()));
        shutdown(&fanout).await;
        assert_eq!(flushes.iter().last(), Some(100));
        fanout.tell(samples::started());
        assert_eq!(tally(&fanout, "gathers").taken, 100, "after the end nothing is told");
    }

    #[test]
    fn no_start_may_take_longer_than_the_drain() {
        let timeouts = Timeouts::default();
        assert_eq!(timeouts.within(Duration::from_secs(2)).start, Duration::from_secs(2));
        assert_eq!(timeouts.within(Duration::from_secs(60)).start, Duration::from_secs(5));
    }
}
