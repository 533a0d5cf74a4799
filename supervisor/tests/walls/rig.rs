//! The supervisor's side of a host under test.
//!
//! Owns: the host process and its end. Never: leaves one behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use openrtc_ipc::{
    Command, CpuMax, DataMax, FrameReader, HostId, Lockdown, PROTOCOL, Report, RunAs, TenantId, WallReport, WallSpec,
    WallStatus, Welcome, decode_report, encode_command,
};
use openrtc_supervisor::config::wall::{CgroupMode, CgroupSettings, UidSettings};
use openrtc_supervisor::wall::{ProgramFiles, Raised, Sample, WallError, Walls, make_work_dir};

/// Generous: nothing here takes a second on an idle machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

static HOSTS: AtomicU32 = AtomicU32::new(1);

/// The defaults of decision W10, with a memory wall that a test can reach.
pub(crate) fn spec() -> WallSpec {
    WallSpec {
        memory_bytes_max: Some(64 << 20),
        memory_warn_pct: 80,
        sample_ms: 250,
        data_max: DataMax::Off,
        address_space_bytes_max: None,
        cpu_max: CpuMax::Auto,
        cpu_weight: 100,
        cpu_seconds_max: None,
        pids_max: Some(64),
        open_files_max: Some(256),
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

/// What this machine can do, with or without cgroups.
pub(crate) fn walls(mode: CgroupMode) -> Walls {
    Walls::detect(&CgroupSettings { mode, parent: None }, &UidSettings::default())
}

/// A host process, killed with its group when dropped.
pub(crate) struct Host {
    pub(crate) child: Child,
    channel: UnixStream,
    reader: FrameReader,
    pub(crate) raised: Option<Raised>,
    pub(crate) statuses: Vec<WallStatus>,
    pub(crate) reports: Vec<WallReport>,
    pub(crate) lockdown: Option<Lockdown>,
}

/// Said to a host that is to stay outside its cgroup, where it enters that itself: it is given nothing to enter by.
pub(crate) const STAYS_OUT: &str = "stays-out";

impl Host {
    /// Starts a host that will do this after the green light. It has said nothing yet.
    pub(crate) fn born(act: &[&str]) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        // In a session of its own, as the spawner makes them; `setsid` execs.
        let mut command = Process::new("setsid");
        command.arg(std::env::current_exe().unwrap()).arg("--host").args(act).env_clear().env("PATH", "/usr/bin:/bin");
        let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::piped()).spawn().unwrap();
        // The command holds the child's end; it must not stay open here.
        drop(command);
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut host = Self {
            child,
            channel: ours,
            reader: FrameReader::new(),
            raised: None,
            statuses: Vec::new(),
            reports: Vec::new(),
            lockdown: None,
        };
        assert!(matches!(host.report(), Report::Hello(_)));
        host
    }

    /// A host with all of its walls, or what stood in their way.
    pub(crate) fn walled(
        walls: &Walls,
        spec: &WallSpec,
        tenant: &str,
        work: &Path,
        act: &[&str],
    ) -> Result<Self, WallError> {
        let mut host = Self::born(act);
        let tenant = TenantId::parse(tenant).unwrap();
        let id = HostId { index: HOSTS.fetch_add(1, Ordering::Relaxed), generation: 1 };
        let work_dir = work.join(id.to_string());
        let command: Vec<String> = act.iter().skip(1).map(ToString::to_string).collect();
        let program = ProgramFiles { commands: vec![command], ..ProgramFiles::default() };
        let lockdown = walls.lockdown(&tenant, spec, &program, &work_dir, std::process::id());
        make_work_dir(&work_dir, lockdown.identity).unwrap();
        host.raised = Some(walls.raise(id, host.pid(), spec)?);
        if act.contains(&STAYS_OUT) {
            host.raised.as_mut().map(Raised::take_entrances);
        }
        host.welcome(tenant, id, Some(lockdown.clone()));
        host.lockdown = Some(lockdown);
        host.proved()?;
        host.send(&Command::Proceed { program: None });
        Ok(host)
    }

    fn proved(&mut self) -> Result<(), WallError> {
        let report = self.report();
        let Report::Launched { walls } = report else { panic!("not launched: {report:?}") };
        let raised = self.raised.as_mut().unwrap();
        self.statuses = raised.attest(&walls, self.lockdown.as_ref().unwrap())?;
        self.reports = walls;
        Ok(())
    }

    /// A host without walls: the control.
    pub(crate) fn bare(act: &[&str]) -> Self {
        let mut host = Self::born(act);
        host.welcome(TenantId::parse("bare").unwrap(), HostId { index: 0, generation: 0 }, None);
        assert!(matches!(host.report(), Report::Launched { .. }));
        host.send(&Command::Proceed { program: None });
        host
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    fn welcome(&mut self, tenant: TenantId, host: HostId, lockdown: Option<Lockdown>) {
        let bytes = encode_command(&Command::Welcome(Welcome { protocol: PROTOCOL, host, tenant, lockdown })).unwrap();
        let entrances = self.raised.as_mut().map(Raised::take_entrances).unwrap_or_default();
        let entrances: Vec<_> = entrances.iter().map(OwnedFd::as_fd).collect();
        let sent = openrtc_ipc::fds::send(&self.channel, &bytes, &entrances).unwrap();
        self.channel.write_all(&bytes[sent..]).unwrap();
    }

    fn send(&mut self, command: &Command) {
        self.channel.write_all(&encode_command(command).unwrap()).unwrap();
    }

    fn report(&mut self) -> Report {
        let mut bytes = [0; 4096];
        loop {
            if let Some(frame) = self.reader.next_frame().unwrap() {
                return decode_report(&frame).unwrap();
            }
            let count = self.channel.read(&mut bytes).expect("a report in time");
            assert_ne!(count, 0, "the host is gone: {:?}", self.child.wait());
            self.reader.push(&bytes[..count]);
        }
    }

    /// Waits until it says that it has done what it was made for.
    pub(crate) fn await_done(&mut self) {
        let mut lines = BufReader::new(self.child.stdout.as_mut().unwrap()).lines();
        assert_eq!(lines.next().expect("a line").unwrap(), "done");
    }

    /// Closes the channel and reads all it wrote.
    pub(crate) fn finish(mut self) -> String {
        self.channel.shutdown(std::net::Shutdown::Both).unwrap();
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Samples until this is so.
    pub(crate) fn sample_until(&mut self, what: &str, wanted: impl Fn(&Sample) -> bool) -> Sample {
        let start = Instant::now();
        loop {
            let sample = self.raised.as_mut().unwrap().sample();
            if wanted(&sample) {
                return sample;
            }
            assert!(start.elapsed() < DEADLINE, "never {what}: {sample:?}");
            std::thread::yield_now();
        }
    }

    /// How one of its walls stands.
    pub(crate) fn state(&self, name: &str) -> String {
        let status = self.statuses.iter().find(|status| status.wall.name() == name);
        format!("{:?}", status.expect("that wall").state)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(raised) = &mut self.raised {
            raised.kill_all();
            raised.sample();
            // Those below the host; the host itself is ours to wait for.
            for pid in raised.pids().into_iter().skip(1) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(raised) = self.raised.take() {
            raised.remove().expect("the group goes");
        }
    }
}
