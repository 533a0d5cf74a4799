//! Where events come from: one bounded queue into the driver, and the only handle that others have on it.
//!
//! Owns: the queue and the questions that ride on it. Never: decides.

use std::time::SystemTime;

use openrtc_ipc::SessionId;
use openrtc_policy::{Answer, Dispatch, DispatchId, Event, HostEvent, OperatorEvent, Policy, Rules};
use tokio::sync::{mpsc, oneshot};

use crate::host::order::Recordings;

/// A question asked of policy between two events.
pub type Question = Box<dyn FnOnce(&Policy) + Send>;

/// What the driver takes from its queue.
pub enum Input {
    /// Somebody wants a session and waits for the answer; recordings may come with it.
    Dispatch {
        /// What is asked; the driver numbers it.
        dispatch: Dispatch,
        /// The caller's recordings, for the host.
        recordings: Recordings,
        /// Where the answer goes.
        reply: oneshot::Sender<Answer>,
        /// When it was asked.
        asked: SystemTime,
    },
    /// Something happened.
    Event(Event),
    /// Somebody asks.
    Question(Question),
}

/// The supervisor is gone or going: nothing is taken any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("supervisor is stopping")]
pub struct Stopping;

/// The only way into the driver.
#[derive(Clone)]
pub struct Handle {
    inputs: mpsc::Sender<Input>,
}

impl Handle {
    /// A handle and the queue's other end.
    pub fn new() -> (Self, mpsc::Receiver<Input>) {
        let (inputs, queue) = mpsc::channel(openrtc_policy::bounds::DRIVER_INPUTS_MAX);
        (Self { inputs }, queue)
    }

    async fn send(&self, input: Input) -> Result<(), Stopping> {
        self.inputs.send(input).await.map_err(|_| Stopping)
    }

    /// Asks for a session. `dispatch.id` is overwritten.
    pub async fn dispatch(&self, dispatch: Dispatch, recordings: Recordings) -> Result<Answer, Stopping> {
        let (reply, answer) = oneshot::channel();
        self.send(Input::Dispatch { dispatch, recordings, reply, asked: SystemTime::now() }).await?;
        answer.await.map_err(|_| Stopping)
    }

    /// The dispatcher gave us a session that we accepted.
    pub async fn assigned(&self, session: SessionId) -> Result<(), Stopping> {
        self.send(Input::Event(Event::DispatchAssigned(session))).await
    }

    /// The dispatcher gave a session to somebody else, or took it back.
    pub async fn lost(&self, session: SessionId) -> Result<(), Stopping> {
        self.send(Input::Event(Event::DispatchLost(session))).await
    }

    /// A call is over on its own account.
    pub async fn over(&self, session: SessionId) -> Result<(), Stopping> {
        self.send(Input::Event(Event::CallOver(session))).await
    }

    /// Gives an operator's order.
    pub async fn operator(&self, order: OperatorEvent) -> Result<(), Stopping> {
        self.send(Input::Event(Event::Operator(order))).await
    }

    /// Puts other rules in force.
    pub async fn rules(&self, rules: Rules) -> Result<(), Stopping> {
        self.send(Input::Event(Event::RulesChanged(Box::new(rules)))).await
    }

    /// Tells what happened to a host.
    pub async fn host(&self, host: openrtc_ipc::HostId, event: HostEvent) -> Result<(), Stopping> {
        self.send(Input::Event(Event::Host(host, event))).await
    }

    /// Reads policy between two events.
    pub async fn inspect<R: Send + 'static>(
        &self,
        question: impl FnOnce(&Policy) -> R + Send + 'static,
    ) -> Result<R, Stopping> {
        let (reply, answer) = oneshot::channel();
        self.send(Input::Question(Box::new(move |policy| {
            // The asker may have gone; then nobody misses the answer.
            let _ = reply.send(question(policy));
        })))
        .await?;
        answer.await.map_err(|_| Stopping)
    }
}

/// A dispatch without a number yet.
pub fn unnumbered() -> DispatchId {
    DispatchId(0)
}
