//! From a newborn process to a host that is ready: the dialogue in which its walls go up.
//!
//! Owns: the order hello → raise → lockdown → attest → green light → configure → ready, and naming the step that
//! failed. Never: sends a secret, or the green light, before every required wall was attested (law 3).

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use openrtc_ipc::{
    AgentName, Command, Lockdown, PROTOCOL, Phase, Program, Report, SetupStep, Wall, WallReport, Welcome,
};
use openrtc_policy::{HostEvent, HostPlan, SetupFailure};

use super::HostContext;
use super::link::{Link, LinkFault};
use super::record::HostRecord;
use crate::wall::Raised;

/// Why a host did not come up.
#[derive(Debug, thiserror::Error)]
pub enum BirthFault {
    /// Our own set-up of it failed; the tenant is not charged.
    #[error("set up host: {}", .0.detail)]
    Setup(SetupFailure),
    /// The channel failed or was abused.
    #[error("bring up host")]
    Link(#[from] LinkFault),
    /// The supervisor is stopping.
    #[error("supervisor is stopping")]
    Stopping(#[from] crate::sources::Stopping),
}

/// A failure of our own making.
pub fn setup(step: SetupStep, errno: i32, detail: impl ToString, retry: bool) -> BirthFault {
    BirthFault::Setup(SetupFailure { step, errno, detail: detail.to_string(), retry })
}

/// The walls of one host, shared with the pool that raises, reads and samples them.
pub type SharedWall = Arc<Mutex<Option<Raised>>>;

/// Brings up one newborn; gives the agents that it serves.
pub async fn bring_up(
    context: &Arc<HostContext>,
    plan: &HostPlan,
    record: &Arc<HostRecord>,
    wall: &SharedWall,
    link: &mut Link,
    work_dir: &Path,
) -> Result<Vec<AgentName>, BirthFault> {
    hello(link).await?;
    let lockdown = raise(context, plan, record, wall, work_dir).await?;
    link.phase = Phase::Greeted;
    welcome(link, plan, Some(lockdown.clone()))?;
    let mut reports = launched(link).await?;
    // How it was made is ours to say, not the host's.
    reports.retain(|report| report.wall != Wall::Zygote);
    reports.extend(record.how.wall());
    attest(record, wall, reports, lockdown).await?;
    link.phase = Phase::Launched;
    proceed(context, plan, link, work_dir).await?;
    let configure = context
        .vault
        .configure(&context.config, &plan.tenant, &plan.runtime, work_dir)
        .map_err(|fault| setup(SetupStep::Configure, 0, fault, false))?;
    link.command(&Command::Configure(configure), None)?;
    context.handle.host(plan.host, HostEvent::Up).await?;
    let agents = ready(context, plan, link).await?;
    link.phase = Phase::Serving;
    Ok(agents)
}

async fn hello(link: &mut Link) -> Result<(), BirthFault> {
    match link.report().await? {
        Report::Hello(hello) if hello.protocol == PROTOCOL => Ok(()),
        Report::Hello(_) => Err(LinkFault::Violation { kind: "version" }.into()),
        _ => Err(LinkFault::Violation { kind: "phase" }.into()),
    }
}

fn welcome(link: &mut Link, plan: &HostPlan, lockdown: Option<Lockdown>) -> Result<(), LinkFault> {
    let welcome = Welcome { protocol: PROTOCOL, host: plan.host, tenant: plan.tenant.clone(), lockdown };
    link.command(&Command::Welcome(welcome), None)
}

/// Raises what is raised from outside, while uids are equal (decision W4).
async fn raise(
    context: &Arc<HostContext>,
    plan: &HostPlan,
    record: &Arc<HostRecord>,
    wall: &SharedWall,
    work_dir: &Path,
) -> Result<Lockdown, BirthFault> {
    let (context, plan, pid) = (Arc::clone(context), plan.clone(), record.pid);
    let (wall, work_dir) = (Arc::clone(wall), work_dir.to_owned());
    on_pool(SetupStep::Rlimits, move || {
        let spec = context.config.wall(&plan.tenant, &plan.runtime);
        let program = context.program_files(&plan.tenant, &plan.runtime);
        let lockdown = context.walls.lockdown(&plan.tenant, &spec, &program, &work_dir, std::process::id());
        crate::wall::make_work_dir(&work_dir, lockdown.identity)
            .map_err(|fault| setup(SetupStep::WorkDir, fault.raw_os_error().unwrap_or(0), fault, true))?;
        let raised = context
            .walls
            .raise(plan.host, pid, &spec, &lockdown)
            .map_err(|fault| setup(fault.step(), fault.errno(), fault.detail(), fault.retry()))?;
        *wall.lock().unwrap_or_else(PoisonError::into_inner) = Some(raised);
        Ok(lockdown)
    })
    .await
}

async fn launched(link: &mut Link) -> Result<Vec<WallReport>, BirthFault> {
    match link.report().await? {
        Report::Launched { walls } => Ok(walls),
        Report::SetupFailed { step, errno, detail } => Err(setup(step, errno, detail, true)),
        _ => Err(LinkFault::Violation { kind: "phase" }.into()),
    }
}

async fn attest(
    record: &Arc<HostRecord>,
    wall: &SharedWall,
    reports: Vec<WallReport>,
    lockdown: Lockdown,
) -> Result<(), BirthFault> {
    let (record, wall) = (Arc::clone(record), Arc::clone(wall));
    on_pool(SetupStep::Attest, move || {
        let mut wall = wall.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(raised) = wall.as_mut() else { return Err(setup(SetupStep::Attest, 0, "wall is gone", true)) };
        let statuses = raised
            .attest(&reports, &lockdown)
            .map_err(|fault| setup(SetupStep::Attest, fault.errno(), fault.detail(), fault.retry()))?;
        record.set_walls(statuses);
        Ok(())
    })
    .await
}

/// The green light; a foreign program says its own hello behind the walls (decision P5).
async fn proceed(context: &HostContext, plan: &HostPlan, link: &mut Link, work_dir: &Path) -> Result<(), BirthFault> {
    let program: Option<Program> = context.config.program(&plan.runtime, work_dir);
    let foreign = program.is_some();
    link.command(&Command::Proceed { program }, None)?;
    if !foreign {
        return Ok(());
    }
    match link.report().await? {
        Report::Hello(hello) if hello.protocol == PROTOCOL => Ok(welcome(link, plan, None)?),
        Report::Hello(_) => Err(LinkFault::Violation { kind: "version" }.into()),
        Report::SetupFailed { step, errno, detail } => Err(setup(step, errno, detail, false)),
        _ => Err(LinkFault::Violation { kind: "phase" }.into()),
    }
}

async fn ready(context: &HostContext, plan: &HostPlan, link: &mut Link) -> Result<Vec<AgentName>, BirthFault> {
    loop {
        match link.report().await? {
            Report::Ready { agents } => return Ok(agents),
            Report::Log { level, message } => context.log(plan, level, &message),
            Report::SetupFailed { step, errno, detail } => return Err(setup(step, errno, detail, false)),
            Report::Pong { .. } => {}
            _ => return Err(LinkFault::Violation { kind: "phase" }.into()),
        }
    }
}

/// Runs what blocks on the pool; a panic there is a set-up failure, not ours to pass on.
async fn on_pool<R: Send + 'static>(
    step: SetupStep,
    work: impl FnOnce() -> Result<R, BirthFault> + Send + 'static,
) -> Result<R, BirthFault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(fault) => Err(setup(step, 0, fault, true)),
    }
}
