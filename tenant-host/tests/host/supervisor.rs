//! A supervisor's end of the channel, for tests that drive the real host program.
//!
//! Owns: one host process, its socket and its directory. Never: waits without a deadline.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use openrtc_ipc::{
    AgentName, AgentSpec, Command, Configure, EndStatus, FileAccess, FileGrant, FrameReader, HostId, Lockdown,
    LogLevel, PROTOCOL, Program, Report, Secret, SecretText, SessionEvent, SessionId, SessionInfo, TenantId, Welcome,
    decode_report, encode_command, fds,
};

/// Generous: a loaded machine is no failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A host process and our end of its channel. Dropping it closes the channel and kills the process.
pub(crate) struct Supervised {
    pub(crate) child: Child,
    pub(crate) socket: Option<UnixStream>,
    pub(crate) dir: tempfile::TempDir,
    reader: FrameReader,
    reports: VecDeque<Report>,
}

impl Supervised {
    /// Starts the host program, its channel on descriptor 3.
    pub(crate) fn start() -> Self {
        Self::started(&[])
    }

    /// The same with arguments.
    pub(crate) fn started(arguments: &[&str]) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        let child = exec(arguments, theirs.into());
        let dir = tempfile::tempdir().unwrap();
        Self { child, socket: Some(ours), dir, reader: FrameReader::new(), reports: VecDeque::new() }
    }

    /// Starts it and brings it to the green light.
    pub(crate) fn launched() -> Self {
        Self::walled(|_| {})
    }

    /// The same with other walls.
    pub(crate) fn walled(change: impl FnOnce(&mut Lockdown)) -> Self {
        let mut host = Self::start();
        assert!(matches!(host.next(), Report::Hello(hello) if hello.protocol == PROTOCOL));
        let mut lockdown = host.lockdown();
        change(&mut lockdown);
        host.send(&Command::Welcome(Welcome { lockdown: Some(lockdown), ..welcome() }));
        let report = host.next();
        assert!(matches!(&report, Report::Launched { walls } if walls.len() > 3), "{report:?}");
        host
    }

    /// Starts it and brings it to serve one agent, `a`, that runs this program.
    pub(crate) fn serving(command: &[&str]) -> Self {
        Self::configured(command, |_| {})
    }

    /// The same with a changed configuration.
    pub(crate) fn configured(command: &[&str], change: impl FnOnce(&mut Configure)) -> Self {
        Self::launched().with(command, change)
    }

    /// Lets it proceed and configures it.
    pub(crate) fn with(mut self, command: &[&str], change: impl FnOnce(&mut Configure)) -> Self {
        self.send(&Command::Proceed { program: None });
        let mut configure = self.configure(command);
        change(&mut configure);
        self.send(&Command::Configure(configure));
        assert_eq!(self.next(), Report::Ready { agents: vec![agent()] });
        self
    }

    /// Walls as a supervisor raises them: the system's programs may be read, the host's own directory written.
    pub(crate) fn narrow() -> Self {
        Self::walled(|lockdown| {
            let read = ["/usr", "/bin", "/lib", "/lib64", "/etc"].map(|path| (path, FileAccess::Read));
            let grants = read.into_iter().chain([("/dev/null", FileAccess::Device)]);
            lockdown.grants = grants.map(|(path, access)| FileGrant { path: path.into(), access }).collect();
            lockdown.grants.push(FileGrant { path: lockdown.work_dir.clone(), access: FileAccess::Write });
            lockdown.unix_sockets = false;
        })
    }

    /// Walls around everything but files and sockets, so that the tests' programs run.
    pub(crate) fn lockdown(&self) -> Lockdown {
        Lockdown {
            identity: None,
            parent_pid: std::process::id(),
            work_dir: self.dir.path().to_owned(),
            grants: vec![FileGrant { path: "/".into(), access: FileAccess::Write }],
            connect_ports: None,
            unix_sockets: true,
        }
    }

    pub(crate) fn configure(&self, command: &[&str]) -> Configure {
        Configure {
            application: None,
            agents: vec![AgentSpec {
                defaulted: Vec::new(),
                name: agent(),
                command: command.iter().map(|&word| word.into()).collect(),
                providers_json: r#"{"stt":"deepgram/nova-3"}"#.into(),
                tools: vec!["order_lookup".into()],
            }],
            agent_config_json: r#"{"instructions":"be kind"}"#.into(),
            env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()), ("CRM_URL".into(), "https://x".into())],
            secrets: vec![Secret { variable: "OPENAI_API_KEY".into(), value: SecretText::new("sk-canary".into()) }],
            work_dir: self.dir.path().to_owned(),
            terminate_grace_ms: 20_000,
        }
    }

    pub(crate) fn send(&mut self, command: &Command) {
        self.send_with(command, &[]);
    }

    pub(crate) fn send_with(&mut self, command: &Command, with: &[&OwnedFd]) {
        let bytes = encode_command(command).unwrap();
        let with: Vec<_> = with.iter().map(|fd| fd.as_fd()).collect();
        let sent = fds::send(self.socket.as_ref().unwrap(), &bytes, &with).unwrap();
        std::io::Write::write_all(self.socket.as_mut().unwrap(), &bytes[sent..]).unwrap();
    }

    /// The next report.
    pub(crate) fn next(&mut self) -> Report {
        self.try_next().expect("a report, not the end of the channel")
    }

    /// The next report; `None` at the end of the channel.
    pub(crate) fn try_next(&mut self) -> Option<Report> {
        let mut bytes = [0; 64 * 1024];
        loop {
            if let Some(report) = self.reports.pop_front() {
                return Some(report);
            }
            let count = match self.socket.as_mut().unwrap().read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("no report came: {error}"),
            };
            self.reader.push(&bytes[..count]);
            while let Some(frame) = self.reader.next_frame().unwrap() {
                self.reports.push_back(decode_report(&frame).unwrap());
            }
        }
    }

    /// Reads until this one; gives what came before it, and it.
    pub(crate) fn until(&mut self, wanted: impl Fn(&Report) -> bool) -> Vec<Report> {
        let mut reports = Vec::new();
        loop {
            let report = self.next();
            let found = wanted(&report);
            reports.push(report);
            if found {
                return reports;
            }
        }
    }

    /// Runs one session to its end.
    pub(crate) fn run(&mut self) -> Ran {
        self.send(&Command::StartSession {
            info: info(1),
            job_metadata: String::new(),
            room_metadata: String::new(),
            call: None,
            input: false,
            output: false,
        });
        self.ran(1)
    }

    /// Reads until a session's end.
    pub(crate) fn ran(&mut self, seq: u64) -> Ran {
        let mut ran = Ran::default();
        let session = session(seq);
        for report in
            self.until(|report| matches!(report, Report::SessionEnded { session: ended, .. } if *ended == session))
        {
            match report {
                Report::SessionEvent { session: of, event } if of == session => ran.events.push(event),
                Report::SessionEnded { status, error, .. } => (ran.status, ran.error) = (Some(status), error),
                _ => {}
            }
        }
        ran
    }

    /// Waits for the process's own end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_until("the host ends", || self.child.try_wait().unwrap())
    }

    /// What it wrote on standard error; it must have ended.
    pub(crate) fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Starts the host program with this on its descriptor 3.
pub(crate) fn exec(arguments: &[&str], channel: OwnedFd) -> Child {
    Process::new("/bin/sh")
        .args(["-c", "exec \"$0\" \"$@\" 3<&0 </dev/null", env!("CARGO_BIN_EXE_openrtc-tenant-host")])
        .args(arguments)
        .env_clear()
        .env("CANARY", "of-the-supervisor")
        .stdin(Stdio::from(channel))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was told of one session.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    pub(crate) events: Vec<SessionEvent>,
    pub(crate) status: Option<EndStatus>,
    pub(crate) error: Option<String>,
}

impl Ran {
    /// Its log lines.
    pub(crate) fn log(&self, wanted: LogLevel) -> Vec<&str> {
        let lines = self.events.iter().filter_map(|event| match event {
            SessionEvent::Log { level, message } if *level == wanted => Some(message.as_str()),
            _ => None,
        });
        lines.collect()
    }
}

pub(crate) fn agent() -> AgentName {
    AgentName::parse("a").unwrap()
}

pub(crate) fn session(seq: u64) -> SessionId {
    SessionId { run: 7, seq }
}

pub(crate) fn info(seq: u64) -> SessionInfo {
    SessionInfo {
        session: session(seq),
        tenant: TenantId::parse("acme-corp").unwrap(),
        agent: agent(),
        room_name: "acme-corp_support-1".into(),
        job_id: "job-1".into(),
        metadata: [("tenant", "acme-corp"), ("caller", "+49")].map(|(k, v)| (k.into(), v.into())).into(),
        started_at_unix_ms: 1_763_846_400_123,
        deployment_version: Some("v1.0.0".into()),
    }
}

pub(crate) fn start(seq: u64) -> Command {
    Command::StartSession {
        info: info(seq),
        job_metadata: String::new(),
        room_metadata: String::new(),
        call: None,
        input: false,
        output: false,
    }
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        protocol: PROTOCOL,
        host: HostId { index: 0, generation: 1 },
        tenant: TenantId::parse("acme-corp").unwrap(),
        lockdown: None,
    }
}

pub(crate) fn program(argv: &[&str]) -> Command {
    let argv = argv.iter().map(|&word| word.into()).collect();
    Command::Proceed { program: Some(Program { argv, env: vec![("GREETING".into(), "hi".into())] }) }
}

/// Waits on a condition.
pub(crate) fn wait_until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// The pid that a program wrote into a file.
pub(crate) fn pid_in(path: &Path) -> i32 {
    wait_until(&format!("a pid in {}", path.display()), || {
        let text = std::fs::read_to_string(path).ok()?;
        text.strip_suffix('\n')?.trim().parse().ok()
    })
}

/// Whether a process lives, zombies not counted.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

pub(crate) fn wait_for_death(pid: i32) {
    wait_until(&format!("the death of {pid}"), || (!lives(pid)).then_some(()));
}
