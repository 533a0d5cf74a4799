//! The end of a run: what still runs beside the driver, put to rest in its order.
//!
//! Owns: that order. Never: decides that it is time; policy does.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::audit::Audit;
use crate::dispatch::livekit::Livekit;
use crate::observer::Fanout;

/// How long observers may take to write what they still hold.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// What runs beside the driver.
pub(super) struct Running<T> {
    /// Tells the service manager.
    pub(super) telling: JoinHandle<()>,
    /// Hears signals.
    pub(super) listening: JoinHandle<()>,
    /// The LiveKit worker.
    pub(super) livekit: Option<Livekit>,
    /// Tells observers how things stand.
    pub(super) snapshots: Option<JoinHandle<()>>,
    /// The audit log.
    pub(super) audit: Audit,
    /// The observers.
    pub(super) fanout: Fanout,
    /// A word to the server, which then finishes.
    pub(super) stop: oneshot::Sender<()>,
    /// The control API.
    pub(super) server: JoinHandle<T>,
}

impl<T> Running<T> {
    /// Puts all of it to rest.
    pub(super) async fn finish(self) {
        // It ends by itself once nobody answers it.
        let _ = timeout(FLUSH_LIMIT, self.telling).await;
        self.listening.abort();
        if let Some(livekit) = self.livekit {
            livekit.shutdown().await;
        }
        if let Some(snapshots) = self.snapshots {
            snapshots.abort();
        }
        self.audit.stopped();
        // Before the server: readers of events are told the last of them.
        flush(&self.fanout).await;
        // Both ends are ours; the server may have failed and said so already.
        let _ = self.stop.send(());
        let _ = self.server.await;
    }
}

/// Lets observers take what they still hold.
async fn flush(fanout: &Fanout) {
    for late in fanout.shutdown(Instant::now() + FLUSH_LIMIT).await {
        tracing::warn!(observer = late, "observer did not finish in time");
    }
}
