//! Signals, and finishing in good order (decision R4).
//!
//! Owns: what each signal means. Never: exits; policy says when all is done.

use std::sync::{Arc, OnceLock};

use openrtc_policy::OperatorEvent;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::audit::{Actor, Audit};
use crate::changes::{ChangeFault, Changes};
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
    /// SIGINT drains, the second forces; SIGHUP reads the files anew, once `changes` is there.
    pub async fn obey(mut self, handle: Handle, audit: Audit, changes: Arc<OnceLock<Changes>>) {
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
                    match changes.get() {
                        // Beside this loop: a program that a key comes from may take its time, and SIGTERM must not wait.
                        Some(changes) => drop(tokio::spawn(reload(changes.clone()))),
                        None => tracing::warn!("SIGHUP: still starting; the files are read anyway"),
                    }
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

async fn reload(changes: Changes) {
    tracing::info!("SIGHUP: reading the configuration anew");
    match Actor::Signal("SIGHUP").scope(changes.reload()).await {
        // What was wrong with the files was told line by line.
        Ok(_) | Err(ChangeFault::Files(_)) => {}
        Err(fault) => tracing::error!(%fault, "SIGHUP: not reloaded"),
    }
}
