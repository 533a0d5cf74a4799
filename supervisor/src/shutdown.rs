//! Signals, and finishing in good order (decision R4).
//!
//! Owns: what each signal means. Never: exits; policy says when all is done.

use openrtc_policy::OperatorEvent;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::audit::{Actor, Audit};
use crate::sources::Handle;

/// The signals that are listened to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Begins to listen; from now on none of them ends the process by itself.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Turns signals into orders for as long as it is polled: SIGTERM drains and repeats change nothing; the first
    /// SIGINT drains, the second forces.
    pub async fn obey(mut self, handle: Handle, audit: Audit) {
        let mut interrupts = 0u32;
        loop {
            let (signal, order) = tokio::select! {
                Some(()) = self.terminate.recv() => {
                    tracing::info!("SIGTERM: draining; running sessions may end");
                    ("SIGTERM", OperatorEvent::Drain)
                }
                Some(()) = self.interrupt.recv() => {
                    interrupts += 1;
                    if interrupts == 1 {
                        tracing::info!("interrupted: draining; interrupt again to end every session now");
                        ("SIGINT", OperatorEvent::Drain)
                    } else {
                        tracing::warn!("interrupted again: ending every session now");
                        ("SIGINT", OperatorEvent::Shutdown)
                    }
                }
                Some(()) = self.hangup.recv() => {
                    tracing::warn!("SIGHUP: this version does not reload its configuration; drain and restart instead");
                    continue;
                }
            };
            audit.ordered_by(Actor::Signal(signal), &order);
            if handle.operator(order).await.is_err() {
                return;
            }
        }
    }
}
