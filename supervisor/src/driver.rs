//! The one loop: takes events, asks policy, performs effects.
//!
//! Owns: policy, and the order of events. Never: awaits anything but its queue and policy's next deadline.

use openrtc_policy::{Event, Moment, Policy};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::effects::Effects;
use crate::sources::Input;

/// The supervisor's clock: milliseconds since its start, never going back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        Moment(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Seconds since the start.
    pub fn uptime_s(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn instant(&self, moment: Moment) -> Instant {
        self.start + std::time::Duration::from_millis(moment.0)
    }
}

/// Drives policy until it has finished, or nobody is left who could tell it anything.
pub async fn drive(mut policy: Policy, mut queue: mpsc::Receiver<Input>, clock: Clock, mut effects: Effects) {
    let mut todo = Vec::new();
    while !effects.finished() {
        let Some(input) = next(&mut queue, &policy, clock).await else { return };
        let (event, question) = match input {
            Input::Event(event) => (event, None),
            // The clock moves first, so that the answer is as of now.
            Input::Question(question) => (Event::Tick, Some(question)),
            Input::Dispatch { dispatch, recordings, reply, asked } => {
                (Event::DispatchOffered(effects.expect_answer(dispatch, recordings, reply, asked)), None)
            }
        };
        policy.handle(clock.now(), event, &mut todo);
        for effect in todo.drain(..) {
            effects.perform(effect);
        }
        effects.tell_capacity(&policy);
        if let Some(question) = question {
            question(&policy);
        }
    }
}

/// What comes next: a word from outside, or policy's own deadline. `None` when every handle is gone.
async fn next(queue: &mut mpsc::Receiver<Input>, policy: &Policy, clock: Clock) -> Option<Input> {
    match policy.next_deadline() {
        None => queue.recv().await,
        Some(deadline) => match timeout_at(clock.instant(deadline), queue.recv()).await {
            Ok(input) => input,
            Err(_elapsed) => Some(Input::Event(Event::Tick)),
        },
    }
}
