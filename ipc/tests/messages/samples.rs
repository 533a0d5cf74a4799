//! One sample of every variant of every message, by name.
//!
//! Owns: the names. A new variant does not compile here until it has one.

use openrtc_ipc::*;

pub(crate) fn session() -> SessionId {
    SessionId { run: 0x1a2b_3c4d, seq: 17 }
}

pub(crate) fn agent() -> AgentName {
    AgentName::parse("support").unwrap()
}

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("acme-corp").unwrap()
}

/// The variant's name. No `_` arm: a new variant must be named, and then sampled, because the tests compare both.
pub(crate) fn command_name(command: &Command) -> &'static str {
    match command {
        Command::Welcome(Welcome { lockdown: Some(_), .. }) => "command.welcome.lockdown",
        Command::Welcome(Welcome { lockdown: None, .. }) => "command.welcome.again",
        Command::Proceed { program: Some(_) } => "command.proceed.program",
        Command::Proceed { program: None } => "command.proceed.built_in",
        Command::Configure(_) => "command.configure",
        Command::StartSession { call: Some(_), .. } => "command.start_session.call",
        Command::StartSession { call: None, .. } => "command.start_session",
        Command::LeaveRoom { .. } => "command.leave_room",
        Command::EndSession { .. } => "command.end_session",
        Command::Ping { .. } => "command.ping",
        Command::Drain => "command.drain",
        Command::Shutdown { .. } => "command.shutdown",
    }
}

pub(crate) fn report_name(report: &Report) -> &'static str {
    match report {
        Report::Hello(_) => "report.hello",
        Report::Launched { .. } => "report.launched",
        Report::SetupFailed { .. } => "report.setup_failed",
        Report::Ready { .. } => "report.ready",
        Report::SessionStarted { .. } => "report.session_started",
        Report::SessionRerouted { .. } => "report.session_rerouted",
        Report::SessionEvent { event, .. } => match event {
            SessionEvent::Turn { .. } => "report.session_event.turn",
            SessionEvent::Usage(_) => "report.session_event.usage",
            SessionEvent::Latency { .. } => "report.session_event.latency",
            SessionEvent::Log { .. } => "report.session_event.log",
            SessionEvent::State { .. } => "report.session_event.state",
            SessionEvent::Custom { .. } => "report.session_event.custom",
        },
        Report::SessionEnded { .. } => "report.session_ended",
        Report::Log { .. } => "report.log",
        Report::Snapshot(_) => "report.snapshot",
        Report::Pong { .. } => "report.pong",
        Report::Bye { .. } => "report.bye",
    }
}

/// How many names there are.
pub(crate) const COMMANDS: usize = 12;
/// How many names there are.
pub(crate) const REPORTS: usize = 17;

fn lockdown() -> Lockdown {
    Lockdown {
        identity: Some(Identity { uid: 200_001, gid: 200_001 }),
        parent_pid: 4711,
        work_dir: "/run/openrtc-supervisor/hosts/h3.1".into(),
        grants: [FileAccess::List, FileAccess::Read, FileAccess::Write, FileAccess::Device]
            .map(|access| FileGrant { path: "/usr".into(), access })
            .into(),
        connect_ports: Some(vec![443, 7880]),
        unix_sockets: false,
    }
}

fn configure() -> Configure {
    Configure {
        agents: vec![AgentSpec {
            name: agent(),
            defaulted: vec!["tts".into()],
            command: vec!["/opt/agents/support.py".into(), "--fast".into()],
            providers_json: r#"{"stt":"deepgram/nova-3"}"#.into(),
            tools: vec!["order_lookup".into()],
        }],
        agent_config_json: r#"{"instructions":"be kind"}"#.into(),
        env: vec![("PATH".into(), "/usr/bin".into())],
        secrets: vec![Secret { variable: "OPENAI_API_KEY".into(), value: SecretText::new("sk-sample".into()) }],
        work_dir: "/run/openrtc-supervisor/hosts/h3.1".into(),
        terminate_grace_ms: 10_000,
        application: Some(Application {
            target: ApplicationTarget::Script("/srv/agency/main.py".into()),
            loaded: false,
            inspect: Some(r#"{"wall":{"pids_max":512}}"#.into()),
        }),
    }
}

fn info() -> SessionInfo {
    SessionInfo {
        session: session(),
        tenant: tenant(),
        agent: agent(),
        room_name: "acme-corp_support-1".into(),
        job_id: "AJ_1".into(),
        metadata: [("tenant".to_owned(), "acme-corp".to_owned())].into(),
        started_at_unix_ms: 1_763_846_400_123,
        deployment_version: Some("v1.0.0".into()),
    }
}

fn call() -> Call {
    Call {
        url: "wss://project.livekit.cloud".into(),
        token: SecretText::new("eyJ.sample".into()),
        identity: "agent-AJ_1".into(),
        job: vec![0x0a, 0x04, b'A', b'J', b'_', b'1'],
        grants: Some(SecretText::new("eyJ.grants".into())),
    }
}

fn welcome(lockdown: Option<Lockdown>) -> Command {
    let host = HostId { index: 3, generation: 1 };
    Command::Welcome(Welcome { protocol: PROTOCOL, host, tenant: tenant(), lockdown })
}

pub(crate) fn commands() -> Vec<Command> {
    let program = Program { argv: vec!["/opt/host".into()], env: vec![("LANG".into(), "C.UTF-8".into())] };
    vec![
        welcome(Some(lockdown())),
        welcome(None),
        Command::Proceed { program: Some(program) },
        Command::Proceed { program: None },
        Command::Configure(configure()),
        Command::StartSession {
            info: info(),
            job_metadata: r#"{"plan":{"tier":1}}"#.into(),
            room_metadata: String::new(),
            call: None,
            input: true,
            output: false,
        },
        Command::StartSession {
            info: info(),
            job_metadata: r#"{"tenant":"acme-corp"}"#.into(),
            room_metadata: "{}".into(),
            call: Some(call()),
            input: false,
            output: false,
        },
        Command::EndSession { session: session(), reason: "operator_kill".into() },
        Command::Ping { nonce: u64::MAX },
        Command::LeaveRoom { session: session() },
        Command::Drain,
        Command::Shutdown { grace_ms: 30_000 },
    ]
}

pub(crate) fn reports() -> Vec<Report> {
    let walls = vec![
        WallReport { wall: Wall::Landlock, state: WallState::Kernel("landlock abi 7".into()) },
        WallReport { wall: Wall::Memory, state: WallState::Sampled("rss".into()) },
        WallReport { wall: Wall::Uid, state: WallState::Absent("not privileged".into()) },
    ];
    let events = [
        SessionEvent::Turn { speaker: Speaker::User, text: "grüß Gott".into(), start_ms: 10, end_ms: 900 },
        SessionEvent::Usage(Usage { llm_tokens_in: 1, llm_tokens_out: 2, stt_ms: 3, tts_characters: 4 }),
        SessionEvent::Latency { stage: "llm".into(), micros: 1_234 },
        SessionEvent::Log { level: LogLevel::Warn, message: "slow".into() },
        SessionEvent::State { state: "speaking".into() },
        SessionEvent::Custom { name: "sentiment".into(), json: r#"{"score":0.5}"#.into() },
    ];
    let hello = Hello { protocol: PROTOCOL, program: "openrtc-tenant-host".into(), version: "0.1.0".into() };
    let mut reports = vec![
        Report::Hello(hello),
        Report::Launched { walls },
        Report::SetupFailed { step: SetupStep::Landlock, errno: 38, detail: "no Landlock".into() },
        Report::Ready { agents: vec![agent()] },
        Report::SessionStarted { session: session() },
        Report::SessionRerouted { session: session(), agent: agent() },
    ];
    reports.extend(events.map(|event| Report::SessionEvent { session: session(), event }));
    reports.extend([
        Report::SessionEnded { session: session(), status: EndStatus::Failed, error: Some("exit code 3".into()) },
        Report::Log { level: LogLevel::Error, message: "disk full".into() },
        Report::Snapshot(HostSnapshot { sessions: vec![session()], events_dropped: 5, loop_lag_micros: 70 }),
        Report::Pong { nonce: 1 << 40 },
        Report::Bye { reason: "drained".into() },
    ]);
    reports
}

#[test]
fn every_variant_has_one_sample() {
    let commands: std::collections::BTreeSet<_> = commands().iter().map(command_name).collect();
    let reports: std::collections::BTreeSet<_> = reports().iter().map(report_name).collect();
    assert_eq!((commands.len(), reports.len()), (COMMANDS, REPORTS));
}
