//! Raises walls from outside and reads them back.
//!
//! Owns: what this machine can do, and the sequence for each host. Never: raises what only the child can
//! (`tenant-host/src/lockdown/`), or runs anything. Calls on a host block, and belong on a pool thread.
//!
//! ```text
//! detect     once              cgroups, uids, Landlock: what there is
//! lockdown   for each host     who it becomes and which files it gets; the child is told in its welcome
//! raise      the child waits   oom_score_adj → resource limits → fresh cgroup → attach (v1: the child)
//! attest     the child said    /proc/PID/{limits,cgroup,status} and the child's reports → the green light
//!            that it is done
//! sample     until its end     memory, CPU, processes; who is over a wall that the kernel does not hold
//! remove     after its end     the cgroup goes; it is never used again
//! ```

mod attest;
mod cgroup;
mod cgroup_v1;
mod cgroup_v2;
mod cpu;
mod error;
mod forecast;
mod grants;
mod hierarchy;
mod identity;
mod machine;
mod place;
mod programs;
mod raised;
mod remedy;
mod rlimits;
mod sampler;
mod surroundings;
mod tree;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use openrtc_ipc::{HostId, Lockdown, SetupStep, TenantId, WallSpec, WallStatus};

pub use cgroup::{CgroupError, Throttled};
pub use error::WallError;
pub use identity::{make_work_dir, reachable_by};
pub use programs::{ProgramFiles, SEARCH_PATH, resolve};
pub use raised::{Counters, Raised, Sample, Swept};
pub use rlimits::RlimitError;
pub use surroundings::Surroundings;

use crate::config::wall::{CgroupMode, CgroupSettings, UidSettings};
use crate::sys::proc;
use cgroup::{Group, GroupLimits};
use cpu::Governor;
use machine::Machine;
use place::Touch;
use sampler::Sampler;

/// What this machine can do for walls. One for the supervisor's life; cheap to clone.
#[derive(Debug, Clone)]
pub struct Walls {
    machine: Arc<Machine>,
}

impl Walls {
    /// Finds out, makes the supervisor's own cgroup directories, and sweeps those of supervisors that are dead.
    ///
    /// Where v2 demands it, this moves the supervisor, and whoever shares its cgroup, into a group below (C-15).
    pub fn detect(cgroup: &CgroupSettings, uids: &UidSettings) -> Self {
        Self { machine: Arc::new(Machine::detect(cgroup, uids, Touch::Prepare)) }
    }

    /// Finds out without changing anything: for `doctor` and `config check`. No host can be raised with it.
    pub fn look(cgroup: &CgroupSettings, uids: &UidSettings) -> Self {
        Self { machine: Arc::new(Machine::detect(cgroup, uids, Touch::Look)) }
    }

    /// Which walls a host would have, each with what to do where the kernel does not hold it.
    pub fn forecast(&self, spec: &WallSpec) -> Vec<(WallStatus, Option<String>)> {
        forecast::of(&self.machine, spec)
    }

    /// What the child must do to itself: who it becomes, and which files it gets. Reads the file system.
    ///
    /// `work_dir` need not exist yet; the directories above it must be passable for the tenant's uid.
    pub fn lockdown(
        &self,
        tenant: &TenantId,
        spec: &WallSpec,
        program: &ProgramFiles,
        work_dir: &Path,
        supervisor_pid: u32,
    ) -> Lockdown {
        let mut needed = programs::needed(program);
        needed.extend(program.folders.iter().cloned());
        needed.extend(work_dir.parent().map(Path::to_owned));
        Lockdown {
            identity: self.machine.identities.of(tenant, spec, &needed),
            parent_pid: supervisor_pid,
            work_dir: work_dir.to_owned(),
            grants: grants::of(spec, program, work_dir),
            connect_ports: spec.connect_ports.clone(),
            unix_sockets: spec.unix_sockets,
        }
    }

    /// Raises what can be raised from outside, while the child still has our uid and waits (decision W4).
    ///
    /// # Errors
    /// The child must be killed; nothing of its cgroup is left.
    pub fn raise(&self, host: HostId, pid: i32, spec: &WallSpec) -> Result<Raised, WallError> {
        let machine = &self.machine;
        let controllers = machine.place.controllers();
        if machine.cgroup_mode == CgroupMode::Require && controllers.is_none() {
            let remedy = Surroundings::detect().cgroup().to_owned();
            return Err(WallError::CgroupMissing { reason: machine.no_cgroup().to_owned(), remedy });
        }
        set_oom_score(pid, spec.oom_score_adj)?;
        let status = proc::status(pid).map_err(|source| unusable(format!("read /proc/{pid}/status"), source))?;
        let nproc = machine.nproc(controllers);
        let limits = rlimits::wanted(spec, nproc, status.vm_data_bytes);
        rlimits::set(pid, &limits)?;
        let percent = cpu::share_max(spec, machine.cores);
        let governor = match (controllers.is_some_and(|has| has.cpu), percent, &machine.cpu_means) {
            (false, Some(percent), Ok(means)) => Some(Governor::new(*means, percent, pid)),
            _ => None,
        };
        let sampler = Sampler::new(pid, spec.memory_bytes_max);
        let (group, entrances) = self.confine(host, pid, spec, percent)?.unzip();
        Ok(Raised {
            machine: Arc::clone(machine),
            pid,
            spec: spec.clone(),
            group,
            entrances: entrances.unwrap_or_default(),
            limits,
            sampler,
            governor,
            last: Sample::default(),
            oom_kills_seen: 0,
        })
    }

    fn confine(
        &self,
        host: HostId,
        pid: i32,
        spec: &WallSpec,
        cpu_pct: Option<u32>,
    ) -> Result<Option<Confined>, WallError> {
        let Some(group) = self.machine.place.create(host)? else { return Ok(None) };
        let limits = GroupLimits {
            memory_bytes: spec.memory_bytes_max,
            cpu_pct,
            cpu_weight: spec.cpu_weight,
            pids: spec.pids_max,
        };
        let confined = group.limit(&limits).and_then(|()| group.attach(pid));
        match confined {
            Ok(entrances) => Ok(Some((group, entrances))),
            Err(error) => {
                group.kill_all();
                // The first error says why; a directory left behind is swept at the next start.
                let _ = group.remove();
                Err(error.into())
            }
        }
    }
}

/// A group, and the files by which the host enters it itself.
type Confined = (Box<dyn Group>, Vec<OwnedFd>);

fn unusable(doing: String, source: std::io::Error) -> WallError {
    WallError::Proc { doing, step: SetupStep::Rlimits, source }
}

/// Makes the host a likelier victim than the supervisor. A score that is higher already stays.
fn set_oom_score(pid: i32, score: i32) -> Result<(), WallError> {
    let path = format!("/proc/{pid}/oom_score_adj");
    let now = std::fs::read_to_string(&path).map_err(|source| unusable(format!("read {path}"), source))?;
    let now: i32 = now.trim().parse().unwrap_or(0);
    if now == score {
        return Ok(());
    }
    match std::fs::write(&path, score.to_string()) {
        // Lowering it needs CAP_SYS_RESOURCE.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied && now > score => Ok(()),
        Err(source) => Err(unusable(format!("write {score} to {path}"), source)),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use openrtc_ipc::{CpuMax, DataMax, RunAs, WallSpec};

    /// The defaults of decision W10.
    pub(crate) fn spec() -> WallSpec {
        WallSpec {
            memory_bytes_max: Some(1 << 30),
            memory_warn_pct: 80,
            sample_ms: 250,
            data_max: DataMax::Auto,
            address_space_bytes_max: None,
            cpu_max: CpuMax::Auto,
            cpu_weight: 100,
            cpu_seconds_max: None,
            pids_max: Some(512),
            open_files_max: Some(1024),
            file_size_bytes_max: None,
            core_dump: false,
            session_ms_max: None,
            run_as: RunAs::Auto,
            read_paths: Vec::new(),
            write_paths: Vec::new(),
            connect_ports: None,
            unix_sockets: false,
            require: Vec::new(),
            oom_score_adj: 500,
        }
    }
}
