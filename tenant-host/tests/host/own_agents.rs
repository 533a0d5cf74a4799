//! A Rust program with agents of its own is a host: it greets a second time, serves, and is not brought down by one.

use std::os::fd::OwnedFd;
use std::time::Duration;

use openrtc_ipc::{
    AgentName, Command, EndStatus, LogLevel, PROTOCOL, Report, SessionEvent, SessionInfo, Usage, Welcome,
};
use openrtc_tenant_host::{Agent, AgentError, LocalBoxFuture, Session, current, serve};

use crate::supervisor::{Supervised, info, program, session, welcome};

/// What the program's agents do.
#[derive(Clone, Copy)]
enum Behaviour {
    Tell,
    WaitForEnd,
    IgnoreEnd,
    Panic,
    Fail,
}

struct Own(&'static str, Behaviour);

impl Agent for Own {
    fn name(&self) -> AgentName {
        AgentName::parse(self.0).unwrap()
    }

    fn run(&self, session: Session) -> LocalBoxFuture<'_, Result<(), AgentError>> {
        Box::pin(async move {
            match self.1 {
                Behaviour::Tell => tell(&session),
                Behaviour::WaitForEnd => {
                    let request = session.end_requested().await;
                    session.log(LogLevel::Info, request.reason);
                    Ok(())
                }
                Behaviour::IgnoreEnd => std::future::pending().await,
                Behaviour::Panic => panic!("out of luck"),
                Behaviour::Fail => Err(AgentError::message("no voice")),
            }
        })
    }
}

fn tell(session: &Session) -> Result<(), AgentError> {
    let context = current().ok_or_else(|| AgentError::message("no context"))?;
    let input = session.input().map(std::fs::File::from).map(std::io::read_to_string).transpose()?;
    let key = session.secret("OPENAI_API_KEY").unwrap_or("none");
    session.log(LogLevel::Info, format!("{} {input:?} {key}", context.info.tenant));
    session.log(LogLevel::Info, format!("{} {}", session.providers_json(), session.agent_config_json()));
    session.report_usage(Usage { stt_ms: 5, ..Usage::default() })?;
    let error = session.report_usage(Usage::default()).unwrap_err();
    Err(error.into())
}

/// Not a test of its own: the program that the tests below have the host exec.
#[test]
fn host_program() {
    if std::env::var_os("OPENRTC_CHANNEL_FD").is_some() {
        let agents = [
            Own("tell", Behaviour::Tell),
            Own("wait", Behaviour::WaitForEnd),
            Own("ignore", Behaviour::IgnoreEnd),
            Own("panic", Behaviour::Panic),
            Own("fail", Behaviour::Fail),
        ];
        serve(agents.into_iter().map(|agent| Box::new(agent) as Box<dyn Agent>).collect());
    }
}

fn serving() -> Supervised {
    let mut host = Supervised::launched();
    let own = std::env::current_exe().unwrap();
    host.send(&program(&[own.to_str().unwrap(), "--exact", "own_agents::host_program", "--nocapture"]));
    let report = host.next();
    let Report::Hello(hello) = &report else { panic!("{report:?}") };
    assert_eq!(hello.protocol, PROTOCOL);
    host.send(&Command::Welcome(Welcome { lockdown: None, ..welcome() }));
    let mut configure = host.configure(&[]);
    configure.agents[0].name = AgentName::parse("tell").unwrap();
    configure.terminate_grace_ms = 100;
    host.send(&Command::Configure(configure));
    let agents = ["tell", "wait", "ignore", "panic", "fail"].map(|name| AgentName::parse(name).unwrap());
    assert_eq!(host.next(), Report::Ready { agents: agents.into() });
    host
}

fn of(agent: &str, seq: u64) -> SessionInfo {
    SessionInfo { agent: AgentName::parse(agent).unwrap(), ..info(seq) }
}

#[test]
fn an_agent_learns_and_tells_what_it_should() {
    let mut host = serving();
    let path = host.path("call.wav");
    std::fs::write(&path, "RIFF").unwrap();
    let recording = OwnedFd::from(std::fs::File::open(&path).unwrap());
    host.send_with(
        &Command::StartSession {
            info: of("tell", 1),
            job_metadata: String::new(),
            room_metadata: String::new(),
            call: None,
            input: true,
            output: false,
        },
        &[&recording],
    );
    let ran = host.ran(1);
    let wanted = [r#"acme-corp Some("RIFF") sk-canary"#, r#"{"stt":"deepgram/nova-3"} {"instructions":"be kind"}"#];
    assert_eq!(ran.log(LogLevel::Info), wanted);
    assert!(ran.events.contains(&SessionEvent::Usage(Usage { stt_ms: 5, ..Usage::default() })));
    let error = "usage is cumulative: stt_ms must not fall from 5 to 0";
    assert_eq!((ran.status, ran.error.as_deref()), (Some(EndStatus::Failed), Some(error)));
}

#[test]
fn a_panic_or_failure_is_its_own_session_s_alone() {
    let mut host = serving();
    host.send(&Command::StartSession {
        info: of("wait", 1),
        job_metadata: String::new(),
        room_metadata: String::new(),
        call: None,
        input: false,
        output: false,
    });
    for (seq, agent, error) in [(2, "panic", "agent panicked: out of luck"), (3, "fail", "no voice")] {
        host.send(&Command::StartSession {
            info: of(agent, seq),
            job_metadata: String::new(),
            room_metadata: String::new(),
            call: None,
            input: false,
            output: false,
        });
        let ran = host.ran(seq);
        assert_eq!((ran.status, ran.error.as_deref()), (Some(EndStatus::Failed), Some(error)));
    }
    host.send(&Command::EndSession { session: session(1), reason: "caller_left".into() });
    let ran = host.ran(1);
    assert_eq!((ran.status, ran.log(LogLevel::Info)), (Some(EndStatus::Cancelled), vec!["caller_left"]));
}

#[test]
fn an_agent_that_ignores_its_end_is_dropped() {
    let mut host = serving();
    host.send(&Command::StartSession {
        info: of("ignore", 1),
        job_metadata: String::new(),
        room_metadata: String::new(),
        call: None,
        input: false,
        output: false,
    });
    host.send(&Command::EndSession { session: session(1), reason: "operator_kill".into() });
    let ran = host.ran(1);
    assert_eq!(ran.error.as_deref(), Some("agent did not end within its grace"));
    assert_eq!(ran.status, Some(EndStatus::Cancelled));
    host.send(&Command::StartSession {
        info: of("ignore", 2),
        job_metadata: String::new(),
        room_metadata: String::new(),
        call: None,
        input: false,
        output: false,
    });
    host.send(&Command::Shutdown { grace_ms: Duration::from_millis(200).as_millis() as u64 });
    assert_eq!(host.ran(2).status, Some(EndStatus::Cancelled));
    assert_eq!(host.next(), Report::Bye { reason: "shutdown".into() });
}

#[test]
fn a_program_that_is_asked_to_raise_walls_refuses() {
    let mut host = Supervised::launched();
    let own = std::env::current_exe().unwrap();
    host.send(&program(&[own.to_str().unwrap(), "--exact", "own_agents::host_program", "--nocapture"]));
    assert!(matches!(host.next(), Report::Hello(_)));
    let lockdown = Some(host.lockdown());
    host.send(&Command::Welcome(Welcome { lockdown, ..welcome() }));
    let report = host.next();
    assert!(matches!(&report, Report::SetupFailed { .. }), "{report:?}");
}
