//! One host's task, from its plan to its burial.
//!
//! Owns: the process, its endings, and telling policy how it went. Never: ends a host without having recorded why
//! (law 6), or returns before the process is reaped and its tree is gone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openrtc_ipc::SetupStep;
use openrtc_policy::{Exit, HostEvent, HostPlan, Intent, SetupFailure};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::birth::{self, BirthFault, SharedWall};
use super::death;
use super::link::{Link, LinkFault};
use super::order::{Ending, Order};
use super::output::OutputReader;
use super::reap;
use super::record::HostRecord;
use super::redact::Redactor;
use super::sampling::{Sampling, Verdict};
use super::serve::Service;
use super::{HostContext, chain};
use crate::observer::Stamp;
use crate::spawn::{How, Newborn, Process};
use crate::telemetry::unix_ms;

/// How long a host may run on after it closed its channel.
const CLOSED_GRACE: Duration = Duration::from_secs(2);

/// Makes a host and stays with it until it is gone.
pub async fn live(
    context: Arc<HostContext>,
    plan: HostPlan,
    orders: mpsc::Receiver<Order>,
    ending: watch::Receiver<Option<Ending>>,
) {
    let host = plan.host;
    let last_word = match make(&context, &plan).await {
        Ok((newborn, redactor)) => Life::new(context.clone(), plan, newborn, redactor, ending).run(orders).await,
        Err(failure) => HostEvent::SetupFailed(failure),
    };
    // When the driver is gone there is nobody left to tell.
    let _ = context.handle.host(host, last_word).await;
}

/// The process, and what is to be hidden in all that it says: nothing is heard of a host without that.
async fn make(context: &HostContext, plan: &HostPlan) -> Result<(Newborn, Redactor), SetupFailure> {
    let redactor = Redactor::new(context.vault.redactions(&plan.tenant)).map_err(|fault| SetupFailure {
        step: SetupStep::Configure,
        errno: 0,
        detail: chain(&fault),
        retry: false,
    })?;
    let newborn = context.spawner.spawn(plan.host, How::Zygote).await.map_err(|fault| SetupFailure {
        step: fault.step(),
        errno: fault.errno(),
        detail: chain(&fault),
        retry: fault.retry(),
    })?;
    Ok((newborn, redactor))
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
    context: Arc<HostContext>,
    plan: HostPlan,
    record: Arc<HostRecord>,
    process: Process,
    wall: SharedWall,
    work_dir: PathBuf,
    redactor: Arc<Redactor>,
    ending: watch::Receiver<Option<Ending>>,
    due: Due,
    newborn: Option<Newborn>,
}

impl Life {
    fn new(
        context: Arc<HostContext>,
        plan: HostPlan,
        newborn: Newborn,
        redactor: Redactor,
        ending: watch::Receiver<Option<Ending>>,
    ) -> Self {
        let process = newborn.process.clone();
        let record = Arc::new(HostRecord::new(plan.clone(), process.pid(), newborn.how, unix_ms()));
        context.registry.enter(Arc::clone(&record));
        let work_dir = context.work_root.join(plan.host.to_string());
        let newborn = Some(newborn);
        Self {
            context,
            plan,
            record,
            process,
            wall: SharedWall::default(),
            work_dir,
            redactor: Arc::new(redactor),
            ending,
            due: Due::Nothing,
            newborn,
        }
    }

    /// Lives until the process has exited; gives the last word on it.
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> HostEvent {
        let Some(newborn) = self.newborn.take() else { return HostEvent::Exited(Exit::Unknown) };
        let stamp = Stamp {
            tenant: self.plan.tenant.clone(),
            host: self.plan.host,
            session: None,
            agent: None,
            at_unix_ms: unix_ms(),
        };
        let redactor = Arc::clone(&self.redactor);
        let (fanout, record) = (self.context.fanout.clone(), Arc::clone(&self.record));
        let output = OutputReader::spawn(newborn.stdout, newborn.stderr, stamp, Arc::clone(&redactor), fanout, record)
            .inspect_err(|error| tracing::error!(host = %self.plan.host, %error, "read the host's output"))
            .ok();
        let mut sampling = Sampling::new(&self.context, &self.plan, Arc::clone(&self.record), Arc::clone(&self.wall));
        let mut failure = None;
        let mut serving = false;
        {
            let talk = converse(
                Arc::clone(&self.context),
                self.plan.clone(),
                Arc::clone(&self.record),
                Arc::clone(&self.wall),
                self.work_dir.clone(),
                newborn.channel,
                &mut orders,
                redactor,
            );
            tokio::pin!(talk);
            let mut talking = true;
            loop {
                tokio::select! {
                    biased;
                    _ = reap::wait(&self.process) => break,
                    Ok(()) = self.ending.changed() => self.begin_ending(),
                    () = due(self.due) => self.kill_now(),
                    verdict = sampling.next() => self.judge(verdict).await,
                    fault = &mut talk, if talking => {
                        talking = false;
                        serving |= self.record.ready_after_ms().is_some();
                        failure = self.talk_failed(fault).await;
                    }
                }
            }
        }
        let exit = death::bury(&self.context, &self.plan, &self.record, &self.process, &self.wall, output).await;
        if let Err(error) = super::work_dir::remove(&self.work_dir) {
            tracing::warn!(host = %self.plan.host, %error, "remove host's directory");
        }
        match failure {
            Some(failure) if !serving => HostEvent::SetupFailed(failure),
            _ => HostEvent::Exited(exit),
        }
    }

    /// The conversation is over: records why, and sees to it that the process ends.
    async fn talk_failed(&mut self, fault: BirthFault) -> Option<SetupFailure> {
        match fault {
            BirthFault::Setup(failure) => {
                self.record.intend(Intent::Setup { step: failure.step, errno: failure.errno });
                self.kill_now();
                Some(failure)
            }
            BirthFault::Link(LinkFault::Violation { kind }) => {
                self.record.intend(Intent::Protocol { kind: kind.to_owned() });
                // Policy hears of it; the kill does not wait for its answer.
                let _ = self.context.handle.host(self.plan.host, HostEvent::Violated { kind }).await;
                self.kill_now();
                None
            }
            BirthFault::Link(LinkFault::Closed | LinkFault::Io(_)) => {
                if self.due == Due::Nothing {
                    self.due = Due::Kill(Instant::now() + CLOSED_GRACE);
                }
                None
            }
            BirthFault::Stopping(_) => {
                self.record.intend(Intent::Shutdown);
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
                self.record.intend(intent);
                let grace = Duration::from_millis(self.context.config.rules.terminate_grace_ms);
                self.due = Due::Kill(Instant::now() + grace);
                // ESRCH means that it has ended by itself.
                let _ = self.process.terminate();
            }
            Some(Ending::Kill(intent)) => {
                self.record.intend(death::sharpen(intent, self.process.pid()));
                self.due = Due::Kill(Instant::now());
            }
        }
    }

    async fn judge(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Fine => {}
            Verdict::Tell(event) => {
                let _ = self.context.handle.host(self.plan.host, event).await;
            }
            Verdict::Kill(intent) => {
                self.record.intend(intent);
                self.kill_now();
            }
        }
    }

    /// SIGKILL; the exit is seen by the loop, and the tree is killed then.
    fn kill_now(&mut self) {
        if let Due::Kill(_) = self.due {
            // Ran out of grace without a better reason: its channel had closed.
            self.record.intend(Intent::ChannelClosed);
        }
        self.due = Due::Nothing;
        // The rest of the tree is killed when the host has ended: `death::bury`. ESRCH would mean that it has.
        let _ = self.process.kill();
    }
}

async fn due(due: Due) {
    match due {
        Due::Nothing => std::future::pending().await,
        Due::Kill(at) => sleep_until(at).await,
    }
}

/// Birth, then service; gives why it ended.
#[expect(clippy::too_many_arguments, reason = "the whole of a host's conversation, owned apart from its endings")]
async fn converse(
    context: Arc<HostContext>,
    plan: HostPlan,
    record: Arc<HostRecord>,
    wall: SharedWall,
    work_dir: PathBuf,
    channel: std::os::unix::net::UnixStream,
    orders: &mut mpsc::Receiver<Order>,
    redactor: Arc<Redactor>,
) -> BirthFault {
    let born = Instant::now();
    let talk = async {
        let mut link = Link::new(channel)?;
        let agents = birth::bring_up(&context, &plan, &record, &wall, &mut link, &work_dir).await?;
        record.set_ready(u64::try_from(born.elapsed().as_millis()).unwrap_or(u64::MAX));
        context.fanout.tell(crate::observer::Told::HostUp {
            plan: plan.clone(),
            pid: record.pid,
            walls: record.walls(),
            ready_after_ms: record.ready_after_ms().unwrap_or_default(),
        });
        context.handle.host(plan.host, HostEvent::Ready { agents }).await?;
        Service::new(Arc::clone(&context), plan.clone(), Arc::clone(&record), redactor).run(&mut link, orders).await
    };
    match talk.await {
        Ok(()) => BirthFault::Link(LinkFault::Closed),
        Err(fault) => fault,
    }
}
