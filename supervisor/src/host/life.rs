//! One host's task, from its plan to its burial.
//!
//! Owns: the process, its endings, and telling policy how it went. Never: ends a host without having recorded why
//! (law 6), or returns before the process is reaped and its tree is gone.

use std::error::Error;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use openrtc_ipc::SetupStep;
use openrtc_policy::{HostEvent, HostPlan, Intent, SetupFailure};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::InForce;
use super::birth::{self, Born, HostFault, Purpose};
use super::link::{Link, LinkFault};
use super::order::{Ending, Order};
use super::output::{OutputReader, OutputTail};
use super::redact::Redactor;
use super::sampling::{Sampling, Verdict};
use super::serve::Service;
use super::task::HostTask;
use super::{HostContext, chain, death, reap};
use crate::observer::Told;
use crate::spawn::{How, Newborn};

/// How long what a host said before it went may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a host may run on after it closed its channel.
const CLOSED_GRACE: Duration = Duration::from_secs(2);

/// Makes a host and stays with it until it is gone.
pub async fn live(
    context: Arc<HostContext>,
    plan: HostPlan,
    orders: mpsc::Receiver<Order>,
    ending: watch::Receiver<Option<Ending>>,
) {
    let (handle, host) = (context.handle.clone(), plan.host);
    let last_word = match make(context, plan).await {
        Ok((task, channel, output)) => {
            let life = Life { task, ending, due: Due::Nothing, condemned: false };
            life.run(channel, output, orders).await
        }
        Err(failure) => HostEvent::SetupFailed(failure),
    };
    // When the driver is gone there is nobody left to tell.
    let _ = handle.host(host, last_word).await;
}

/// The process, and all that its task needs: nothing is heard of a host whose secrets could not be kept out of it.
pub(super) async fn make(
    context: Arc<HostContext>,
    plan: HostPlan,
) -> Result<(HostTask, UnixStream, Option<OutputTail>), SetupFailure> {
    let failed = |step, errno, fault: &dyn Error, retry| SetupFailure { step, errno, detail: chain(fault), retry };
    let InForce { config, vault } = context.in_force();
    let hidden = vault.fingerprint(&config, &plan.tenant, &plan.runtime);
    let redactor = Redactor::new(vault.redactions(&plan.tenant))
        .map_err(|fault| failed(SetupStep::Configure, 0, &fault, false))?;
    let newborn = context
        .spawner
        .spawn(plan.host, &plan.runtime, How::Zygote)
        .await
        .map_err(|fault| failed(fault.step(), fault.errno(), &fault, fault.retry()))?;
    let Newborn { process, channel, stdout, stderr, how, why_cold, .. } = newborn;
    let task = HostTask::new(context, plan, (process, how), (hidden, redactor));
    task.record.set_why_cold(why_cold);
    let (redactor, fanout) = (Arc::clone(&task.redactor), task.context.fanout.clone());
    let output = OutputReader::spawn(stdout, stderr, task.stamp(), redactor, fanout, Arc::clone(&task.record));
    let output =
        output.inspect_err(|error| tracing::error!(host = %task.plan.host, %error, "read the host's output")).ok();
    Ok((task, channel, output))
}

/// What is due next for a host that is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Nothing: it lives.
    Nothing,
    /// SIGKILL of the tree at this time.
    Kill(Instant),
}

struct Life {
    task: HostTask,
    ending: watch::Receiver<Option<Ending>>,
    due: Due,
    /// It was told to die at once: what it still had to say does not count.
    condemned: bool,
}

impl Life {
    /// Lives until the process has exited; gives the last word on it.
    async fn run(
        mut self,
        channel: UnixStream,
        output: Option<OutputTail>,
        mut orders: mpsc::Receiver<Order>,
    ) -> HostEvent {
        let task = self.task.clone();
        let mut sampling = Sampling::new(task.clone());
        let mut failure = None;
        {
            let mut talk = pin!(converse(task.clone(), channel, &mut orders));
            let mut gone = pin!(reap::wait(&task.process));
            let mut talking = true;
            loop {
                tokio::select! {
                    biased;
                    _ = &mut gone => break,
                    Ok(()) = self.ending.changed() => self.begin_ending(),
                    () = due(self.due) => self.kill_now(),
                    verdict = sampling.next() => self.judge(verdict).await,
                    fault = &mut talk, if talking => {
                        talking = false;
                        failure = self.talk_failed(fault).await;
                    }
                }
            }
            if talking && !self.condemned {
                // What it said before it went is still in the channel.
                if let Ok(fault) = timeout(LAST_WORDS, &mut talk).await {
                    failure = self.talk_failed(fault).await;
                }
            }
        }
        let exit = death::bury(&task, output).await;
        match failure {
            Some(failure) => HostEvent::SetupFailed(failure),
            None => HostEvent::Exited(exit),
        }
    }

    /// The conversation is over: records why, and sees to it that the process ends.
    async fn talk_failed(&mut self, fault: HostFault) -> Option<SetupFailure> {
        match fault {
            HostFault::Setup(failure) => {
                self.task.record.intend(Intent::Setup { step: failure.step, errno: failure.errno });
                self.kill_now();
                Some(failure)
            }
            HostFault::Link(LinkFault::Violation { kind }) => {
                self.task.record.intend(Intent::Protocol { kind: kind.to_owned() });
                // Policy hears of it; the kill does not wait for its answer.
                let _ = self.task.context.handle.host(self.task.plan.host, HostEvent::Violated { kind }).await;
                self.kill_now();
                None
            }
            HostFault::Link(LinkFault::Closed | LinkFault::Io(_)) => {
                if self.due == Due::Nothing {
                    self.due = Due::Kill(Instant::now() + CLOSED_GRACE);
                }
                None
            }
            HostFault::Breached(intent) => {
                self.task.record.intend(intent);
                self.kill_now();
                None
            }
            HostFault::Stopping(_) => {
                self.task.record.intend(Intent::Shutdown);
                self.kill_now();
                None
            }
        }
    }

    /// Takes the ending that policy chose.
    fn begin_ending(&mut self) {
        let ending = self.ending.borrow_and_update().clone();
        match ending {
            None => {}
            Some(Ending::Terminate(intent)) => {
                self.task.record.intend(intent);
                let grace = Duration::from_millis(self.task.context.config().rules.terminate_grace_ms);
                self.due = Due::Kill(Instant::now() + grace);
                // ESRCH means that it has ended by itself.
                let _ = self.task.process.terminate();
            }
            Some(Ending::Kill(intent)) => {
                self.task.record.intend(death::sharpen(intent, self.task.process.pid()));
                self.due = Due::Kill(Instant::now());
            }
        }
    }

    async fn judge(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Fine => {}
            Verdict::Tell(event) => {
                let _ = self.task.context.handle.host(self.task.plan.host, event).await;
            }
            Verdict::Kill(intent) => {
                self.task.record.intend(intent);
                self.kill_now();
            }
        }
    }

    /// SIGKILL; the exit is seen by the loop, and the tree is killed then.
    fn kill_now(&mut self) {
        if let Due::Kill(_) = self.due {
            // Ran out of grace without a better reason: its channel had closed.
            self.task.record.intend(Intent::ChannelClosed);
        }
        self.due = Due::Nothing;
        self.condemned = true;
        // The rest of the tree is killed when the host has ended: `death::bury`. ESRCH would mean that it has.
        let _ = self.task.process.kill();
    }
}

async fn due(due: Due) {
    match due {
        Due::Nothing => std::future::pending().await,
        Due::Kill(at) => sleep_until(at).await,
    }
}

/// Birth, then service; gives why it ended.
async fn converse(task: HostTask, channel: UnixStream, orders: &mut mpsc::Receiver<Order>) -> HostFault {
    let born = Instant::now();
    let talk = async {
        let mut link = Link::new(channel)?;
        let Born { agents, grants, walled } = birth::bring_up(&task, &mut link, Purpose::Serve).await?;
        let ready_after_ms = u64::try_from(born.elapsed().as_millis()).unwrap_or(u64::MAX);
        let walled_after_ms = u64::try_from(walled.duration_since(born).as_millis()).unwrap_or(u64::MAX);
        task.record.set_ready(ready_after_ms);
        task.context.fanout.tell(Told::HostUp {
            plan: task.plan.clone(),
            pid: task.process.pid(),
            walls: task.record.walls(),
            walled_after_ms,
            ready_after_ms,
        });
        task.context.handle.host(task.plan.host, HostEvent::Ready { agents }).await?;
        Service::new(task.clone(), grants).run(&mut link, orders).await
    };
    match talk.await {
        Ok(()) => HostFault::Link(LinkFault::Closed),
        Err(fault) => fault,
    }
}
