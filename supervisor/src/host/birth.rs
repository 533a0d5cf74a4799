//! From a newborn process to a host that is ready: the dialogue in which its walls go up.
//!
//! Owns: the order hello and raise → lockdown → attest → green light → configure → ready, and naming the step that
//! failed. Never: sends a secret, or the green light, before every required wall was attested (law 3).

use std::os::fd::OwnedFd;
use std::sync::PoisonError;

use openrtc_ipc::{
    AgentName, Command, FileGrant, Lockdown, PROTOCOL, Phase, Report, SetupStep, Wall, WallReport, Welcome,
};
use openrtc_policy::{HostEvent, HostPlan, Intent, SetupFailure};
use tokio::time::Instant;

use super::InForce;
use super::link::{Link, LinkFault};
use super::task::HostTask;
use crate::spawn::How;
use crate::wall::make_work_dir;

/// Why a host did not come up, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum HostFault {
    /// Our own set-up of it failed; the tenant is not charged.
    #[error("set up host: {}", .0.detail)]
    Setup(SetupFailure),
    /// The channel failed or was abused.
    #[error("talk to host")]
    Link(#[from] LinkFault),
    /// It met a wall, and must die for it.
    #[error("host met a wall")]
    Breached(Intent),
    /// The supervisor is stopping.
    #[error("supervisor is stopping")]
    Stopping(#[from] crate::sources::Stopping),
}

/// A failure of our own making.
pub fn setup(step: SetupStep, errno: i32, detail: impl ToString, retry: bool) -> HostFault {
    HostFault::Setup(SetupFailure { step, errno, detail: detail.to_string(), retry })
}

/// What a host is brought up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To run its tenant's sessions.
    Serve,
    /// To say which agents its application has; it gets no key.
    Inspect,
}

/// A host that came up.
pub struct Born {
    /// The agents that it serves.
    pub agents: Vec<AgentName>,
    /// The files that it was granted.
    pub grants: Vec<FileGrant>,
    /// When its walls were attested.
    pub walled: Instant,
}

/// Brings up one newborn.
pub async fn bring_up(task: &HostTask, link: &mut Link, purpose: Purpose) -> Result<Born, HostFault> {
    let lockdown = greet(task, link).await?;
    link.phase = Phase::Greeted;
    let mut reports = launched(task, link).await?;
    // How it was made is ours to say, not the host's.
    reports.retain(|report| report.wall != Wall::Zygote);
    reports.push(task.record.zygote_wall());
    let grants = lockdown.grants.clone();
    attest(task, reports, lockdown).await?;
    let walled = Instant::now();
    link.phase = Phase::Launched;
    // From here on what runs may be the tenant's, and so is what goes wrong.
    task.context.handle.host(task.plan.host, HostEvent::Up).await?;
    proceed(task, link).await?;
    configure(task, link, purpose)?;
    let agents = ready(task, link).await?;
    link.phase = Phase::Serving;
    Ok(Born { agents, grants, walled })
}

/// Its hello, what is raised from outside, and its welcome. A fork is all that it will be before its hello comes: its walls
/// are raised while CPython has work of its own after the fork, and its welcome is there when it asks. What is exec'd
/// instead is measured when it has said hello.
async fn greet(task: &HostTask, link: &mut Link) -> Result<Lockdown, HostFault> {
    let is_fork = task.record.how != How::Cold;
    if !is_fork {
        hello(link).await?;
    }
    let (lockdown, entrances) = raise(task).await?;
    welcome(task, link, Some(lockdown.clone()), entrances)?;
    if is_fork {
        hello(link).await?;
    }
    Ok(lockdown)
}

async fn hello(link: &mut Link) -> Result<(), HostFault> {
    match link.report().await? {
        Report::Hello(hello) if hello.protocol == PROTOCOL => Ok(()),
        Report::Hello(_) => Err(LinkFault::Violation { kind: "version" }.into()),
        _ => Err(LinkFault::Violation { kind: "phase" }.into()),
    }
}

fn welcome(
    task: &HostTask,
    link: &mut Link,
    lockdown: Option<Lockdown>,
    entrances: Vec<OwnedFd>,
) -> Result<(), LinkFault> {
    let HostPlan { host, tenant, .. } = task.plan.clone();
    link.command(&Command::Welcome(Welcome { protocol: PROTOCOL, host, tenant, lockdown }), entrances)
}

/// Raises what is raised from outside, while uids are equal (decision W4); gives what the host raises itself, and the files
/// by which it enters its cgroup.
async fn raise(task: &HostTask) -> Result<(Lockdown, Vec<OwnedFd>), HostFault> {
    let task = task.clone();
    on_pool(SetupStep::Rlimits, move || {
        let HostTask { context, plan, spec, process, work_dir, .. } = &task;
        let program = context.program_files(&plan.tenant, &plan.runtime);
        let lockdown = context.walls.lockdown(&plan.tenant, spec, &program, work_dir, std::process::id());
        make_work_dir(work_dir, lockdown.identity)
            .map_err(|fault| setup(SetupStep::WorkDir, fault.raw_os_error().unwrap_or(0), fault, true))?;
        let mut raised = context
            .walls
            .raise(plan.host, process.pid(), spec)
            .map_err(|fault| setup(fault.step(), fault.errno(), fault.detail(), fault.retry()))?;
        let entrances = raised.take_entrances();
        *task.wall.lock().unwrap_or_else(PoisonError::into_inner) = Some(raised);
        Ok((lockdown, entrances))
    })
    .await
}

async fn launched(task: &HostTask, link: &mut Link) -> Result<Vec<WallReport>, HostFault> {
    match link.report().await? {
        Report::Launched { walls } => Ok(walls),
        Report::SetupFailed { step, errno, detail } => {
            Err(HostFault::Setup(task.setup_failed(step, errno, &detail, true)))
        }
        _ => Err(LinkFault::Violation { kind: "phase" }.into()),
    }
}

async fn attest(task: &HostTask, reports: Vec<WallReport>, lockdown: Lockdown) -> Result<(), HostFault> {
    let task = task.clone();
    on_pool(SetupStep::Attest, move || {
        let mut wall = task.wall.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(raised) = wall.as_mut() else { return Err(setup(SetupStep::Attest, 0, "its walls are gone", true)) };
        let statuses = raised
            .attest(&reports, &lockdown)
            .map_err(|fault| setup(SetupStep::Attest, fault.errno(), fault.detail(), fault.retry()))?;
        task.record.set_walls(statuses);
        Ok(())
    })
    .await
}

/// The green light; a foreign program says its own hello behind the walls (decision P5).
async fn proceed(task: &HostTask, link: &mut Link) -> Result<(), HostFault> {
    let program = task.context.config().program(&task.plan.runtime, &task.work_dir);
    let foreign = program.is_some();
    link.command(&Command::Proceed { program }, Vec::new())?;
    if !foreign {
        return Ok(());
    }
    match link.report().await? {
        Report::Hello(hello) if hello.protocol == PROTOCOL => Ok(welcome(task, link, None, Vec::new())?),
        Report::Hello(_) => Err(LinkFault::Violation { kind: "version" }.into()),
        Report::SetupFailed { step, errno, detail } => {
            Err(HostFault::Setup(task.setup_failed(step, errno, &detail, false)))
        }
        _ => Err(LinkFault::Violation { kind: "phase" }.into()),
    }
}

/// Secrets travel here, and only here (law 8).
fn configure(task: &HostTask, link: &mut Link, purpose: Purpose) -> Result<(), HostFault> {
    let HostTask { context, plan, work_dir, .. } = task;
    let InForce { config, vault } = context.in_force();
    let configure = match purpose {
        Purpose::Serve => vault.configure(&config, &plan.tenant, &plan.runtime, work_dir),
        Purpose::Inspect => vault.configure_inspection(&config, &plan.runtime, work_dir),
    };
    let mut configure = configure.map_err(|fault| setup(SetupStep::Configure, 0, fault, false))?;
    if let Some(application) = &mut configure.application {
        // A cold host comes from no zygote that could have loaded it.
        application.loaded &= task.record.how != How::Cold;
    }
    if purpose == Purpose::Serve {
        let keys = vault.fingerprint(&config, &plan.tenant, &plan.runtime);
        // What it says is searched for the keys that were in force when it was begun.
        if task.hidden != keys {
            return Err(changed_meanwhile());
        }
        task.record.set_keys(keys);
        // Whoever replaces them looks at the records after that; so one of us sees it.
        let now = context.in_force();
        if now.vault.fingerprint(&now.config, &plan.tenant, &plan.runtime) != keys {
            return Err(changed_meanwhile());
        }
    }
    link.command(&Command::Configure(configure), Vec::new())?;
    if purpose == Purpose::Serve {
        context.audit.keys_loaded(plan, || vault.given(&config, &plan.tenant, &plan.runtime));
    }
    Ok(())
}

fn changed_meanwhile() -> HostFault {
    setup(SetupStep::Configure, 0, "its keys were replaced while it was brought up", true)
}

async fn ready(task: &HostTask, link: &mut Link) -> Result<Vec<AgentName>, HostFault> {
    loop {
        match link.report().await? {
            Report::Ready { agents } => return Ok(agents),
            Report::Log { level, message } => task.log(level, &message),
            Report::SetupFailed { step, errno, detail } => {
                return Err(HostFault::Setup(task.setup_failed(step, errno, &detail, false)));
            }
            Report::Pong { .. } => {}
            _ => return Err(LinkFault::Violation { kind: "phase" }.into()),
        }
    }
}

/// Runs what blocks on the pool; a panic there is a set-up failure, not ours to pass on.
async fn on_pool<R: Send + 'static>(
    step: SetupStep,
    work: impl FnOnce() -> Result<R, HostFault> + Send + 'static,
) -> Result<R, HostFault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(fault) => Err(setup(step, 0, fault, true)),
    }
}
