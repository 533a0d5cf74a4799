//! Reads a host's walls back before the green light (law 3, decision W5).
//!
//! Owns: the proof. Never: takes the child's word for what `/proc` or a cgroup shows.

use openrtc_ipc::{Evidence, Lockdown, SetupStep, Wall, WallReport, WallSpec, WallState, WallStatus};

use super::cgroup::Group;
use super::error::WallError;
use super::machine::Machine;
use super::remedy;
use super::rlimits::{self, Wanted};
use super::surroundings::Surroundings;
use crate::sys::proc::{self, Status};

/// `Seccomp:` in `/proc/PID/status` for a filter.
const SECCOMP_FILTER: u32 = 2;
/// The filter comes in two parts.
const FILTERS_MIN: u32 = 2;

/// What is to be proved about one host.
pub(super) struct Subject<'raised> {
    pub(super) machine: &'raised Machine,
    pub(super) pid: i32,
    pub(super) spec: &'raised WallSpec,
    pub(super) group: Option<&'raised dyn Group>,
    pub(super) limits: &'raised [Wanted],
    /// Whether the sampler can hold the host back.
    pub(super) governed: bool,
}

/// Proves every wall and says how each stands.
pub(super) fn attest(
    subject: &Subject<'_>,
    reports: &[WallReport],
    expected: &Lockdown,
) -> Result<Vec<WallStatus>, WallError> {
    let status = proc::status(subject.pid).map_err(|source| unreadable(subject.pid, "status", source))?;
    rlimits::assert_in_force(subject.pid, subject.limits)?;
    assert_group(subject)?;
    assert_identity(&status, expected)?;
    assert_capabilities(subject, &status)?;
    if !status.no_new_privs {
        return Err(not_as_asked(Wall::NoNewPrivs, "NoNewPrivs is 0".into()));
    }
    assert_seccomp(&status)?;
    let walls = assemble(subject, reports, expected);
    assert_required(subject, &walls)?;
    Ok(walls)
}

fn unreadable(pid: i32, file: &str, source: std::io::Error) -> WallError {
    WallError::Proc { doing: format!("read /proc/{pid}/{file}"), step: SetupStep::Attest, source }
}

fn not_as_asked(wall: Wall, detail: String) -> WallError {
    WallError::NotAsAsked { wall, detail }
}

fn assert_group(subject: &Subject<'_>) -> Result<(), WallError> {
    let Some(group) = subject.group else { return Ok(()) };
    let shown = proc::cgroup(subject.pid).map_err(|source| unreadable(subject.pid, "cgroup", source))?;
    if group.holds(&shown) {
        return Ok(());
    }
    let wall = if group.controllers().memory { Wall::Memory } else { Wall::Pids };
    Err(not_as_asked(wall, "the process is not in its cgroup".into()))
}

fn assert_identity(status: &Status, expected: &Lockdown) -> Result<(), WallError> {
    let Some(identity) = expected.identity else { return Ok(()) };
    let right = status.uids == [identity.uid; 4] && status.gids == [identity.gid; 4] && status.groups == 0;
    if right {
        return Ok(());
    }
    Err(not_as_asked(
        Wall::Uid,
        format!(
            "uid {}, gid {} and no groups were asked for; found {:?}, {:?} and {} groups",
            identity.uid, identity.gid, status.uids, status.gids, status.groups
        ),
    ))
}

/// Always required (decision W3). The bounding set can only be emptied with CAP_SETPCAP; without, `no_new_privs` makes it
/// a list of what can never be had.
fn assert_capabilities(subject: &Subject<'_>, status: &Status) -> Result<(), WallError> {
    let [inheritable, permitted, effective, bounding, ambient] = status.capabilities;
    let bounding_counts = subject.machine.identities.has_setpcap();
    let held = inheritable | permitted | effective | ambient | if bounding_counts { bounding } else { 0 };
    if held == 0 {
        return Ok(());
    }
    Err(not_as_asked(Wall::Capabilities, format!("the host still has capabilities {held:#x}")))
}

fn assert_seccomp(status: &Status) -> Result<(), WallError> {
    let filters = status.seccomp_filters;
    if status.seccomp == SECCOMP_FILTER && filters.is_none_or(|count| count >= FILTERS_MIN) {
        return Ok(());
    }
    Err(not_as_asked(Wall::Seccomp, format!("Seccomp is {}, with {filters:?} filters", status.seccomp)))
}

fn assemble(subject: &Subject<'_>, reports: &[WallReport], expected: &Lockdown) -> Vec<WallStatus> {
    let Subject { machine, spec, .. } = subject;
    let controllers = subject.group.map(Group::controllers);
    let own_uid = expected.identity.map(|identity| identity.uid);
    let reported = |wall: Wall| {
        let found = reports.iter().find(|report| report.wall == wall).map(|report| report.state.clone());
        found.unwrap_or_else(|| WallState::Absent("the child did not report it".into()))
    };
    let uid = match own_uid {
        Some(uid) => WallState::Kernel(format!("uid {uid}")),
        None => {
            let work_dir = expected.work_dir.parent();
            let needed = expected.grants.iter().map(|grant| grant.path.as_path()).chain(work_dir);
            WallState::Absent(machine.identities.why_not(spec, needed))
        }
    };
    let cpu = match machine.cpu(controllers, spec) {
        WallState::Sampled(_) if !subject.governed => {
            WallState::Absent("it has no autogroup of its own that we may write".into())
        }
        state => state,
    };
    let limits = subject.limits.iter().map(Wanted::shown).collect::<Vec<_>>().join(", ");
    let zygote = match reports.iter().find(|report| report.wall == Wall::Zygote) {
        Some(report) => report.state.clone(),
        None => WallState::Absent("cold".into()),
    };
    let observed = |wall, state| WallStatus { wall, state, evidence: Evidence::Observed };
    let alleged = |wall| WallStatus { wall, state: reported(wall), evidence: Evidence::Reported };
    vec![
        observed(Wall::Memory, machine.memory(controllers, spec)),
        observed(Wall::Cpu, cpu),
        observed(Wall::Pids, machine.pids(controllers, spec, own_uid)),
        observed(Wall::Rlimits, WallState::Kernel(limits)),
        observed(Wall::Uid, uid),
        observed(Wall::Capabilities, reported(Wall::Capabilities)),
        observed(Wall::NoNewPrivs, WallState::Kernel("no_new_privs".into())),
        alleged(Wall::Dumpable),
        alleged(Wall::Landlock),
        alleged(Wall::Scope),
        observed(Wall::Seccomp, reported(Wall::Seccomp)),
        alleged(Wall::ParentDeath),
        observed(Wall::Zygote, zygote),
        observed(Wall::Network, WallState::Absent("hosts share the machine's network".into())),
    ]
}

fn assert_required(subject: &Subject<'_>, walls: &[WallStatus]) -> Result<(), WallError> {
    for required in &subject.spec.require {
        let state = walls.iter().find(|status| status.wall == *required).map(|status| &status.state);
        if let Some(WallState::Absent(reason)) = state {
            let state = WallState::Absent(reason.clone());
            let remedy = remedy::of(*required, &state, Surroundings::detect()).unwrap_or_default();
            return Err(WallError::RequiredMissing { wall: *required, reason: reason.clone(), remedy });
        }
    }
    Ok(())
}
