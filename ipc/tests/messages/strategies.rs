//! Strategies for every message that a peer could mean.

use std::path::PathBuf;

use openrtc_ipc::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "\\PC{0,40}", "[a-z]{300}", Just("\0\u{7f}\u{10ffff}".to_owned())]
}

fn path() -> impl Strategy<Value = PathBuf> {
    text().prop_map(PathBuf::from)
}

fn session_id() -> impl Strategy<Value = SessionId> {
    any::<(u32, u64)>().prop_map(|(run, seq)| SessionId { run, seq })
}

fn host_id() -> impl Strategy<Value = HostId> {
    any::<(u32, u32)>().prop_map(|(index, generation)| HostId { index, generation })
}

fn tenant() -> impl Strategy<Value = TenantId> {
    "[A-Za-z0-9_-]{1,128}".prop_map(|id| TenantId::parse(&id).unwrap())
}

fn agent() -> impl Strategy<Value = AgentName> {
    "[A-Za-z0-9_-]{1,64}".prop_map(|name| AgentName::parse(&name).unwrap())
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((text(), text()), 0..4)
}

fn lockdown() -> impl Strategy<Value = Lockdown> {
    let access = select(vec![FileAccess::List, FileAccess::Read, FileAccess::Write, FileAccess::Device]);
    let grants = vec((path(), access).prop_map(|(path, access)| FileGrant { path, access }), 0..4);
    let identity = option::of(any::<(u32, u32)>().prop_map(|(uid, gid)| Identity { uid, gid }));
    (identity, any::<u32>(), path(), grants, option::of(vec(any::<u16>(), 0..4)), any::<bool>()).prop_map(
        |(identity, parent_pid, work_dir, grants, connect_ports, unix_sockets)| Lockdown {
            identity,
            parent_pid,
            work_dir,
            grants,
            connect_ports,
            unix_sockets,
        },
    )
}

fn configure() -> impl Strategy<Value = Configure> {
    let texts = || vec(text(), 0..3);
    let spec =
        (agent(), texts(), text(), texts(), texts()).prop_map(|(name, command, providers_json, defaulted, tools)| {
            AgentSpec { name, command, providers_json, defaulted, tools }
        });
    let secret = pairs().prop_map(|pairs| {
        let secrets = pairs.into_iter().map(|(variable, value)| Secret { variable, value: SecretText::new(value) });
        secrets.collect()
    });
    (vec(spec, 0..3), text(), pairs(), secret, path(), any::<u64>(), option::of(application())).prop_map(
        |(agents, agent_config_json, env, secrets, work_dir, terminate_grace_ms, application)| Configure {
            agents,
            agent_config_json,
            env,
            secrets,
            work_dir,
            terminate_grace_ms,
            application,
        },
    )
}

fn application() -> impl Strategy<Value = Application> {
    let target = prop_oneof![
        path().prop_map(ApplicationTarget::Script),
        path().prop_map(ApplicationTarget::AgentsDir),
        (path(), text(), text()).prop_map(|(folder, module, attribute)| ApplicationTarget::Attribute {
            folder,
            module,
            attribute
        }),
    ];
    (target, any::<bool>(), option::of(text())).prop_map(|(target, loaded, inspect)| Application {
        target,
        loaded,
        inspect,
    })
}

fn call() -> impl Strategy<Value = Call> {
    (text(), text(), text(), vec(any::<u8>(), 0..8), option::of(text())).prop_map(
        |(url, token, identity, job, grants)| Call {
            url,
            token: SecretText::new(token),
            identity,
            job,
            grants: grants.map(SecretText::new),
        },
    )
}

fn info() -> impl Strategy<Value = SessionInfo> {
    let names = (session_id(), tenant(), agent(), text(), text());
    (names, btree_map(text(), text(), 0..4), any::<u64>(), option::of(text())).prop_map(
        |((session, tenant, agent, room_name, job_id), metadata, started_at_unix_ms, deployment_version)| SessionInfo {
            session,
            tenant,
            agent,
            room_name,
            job_id,
            metadata,
            started_at_unix_ms,
            deployment_version,
        },
    )
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    let program = (vec(text(), 0..3), pairs()).prop_map(|(argv, env)| Program { argv, env });
    prop_oneof![
        (any::<u16>(), host_id(), tenant(), option::of(lockdown())).prop_map(|(protocol, host, tenant, lockdown)| {
            Command::Welcome(Welcome { protocol, host, tenant, lockdown })
        }),
        option::of(program).prop_map(|program| Command::Proceed { program }),
        configure().prop_map(Command::Configure),
        (info(), text(), text(), option::of(call()), any::<bool>(), any::<bool>()).prop_map(
            |(info, job_metadata, room_metadata, call, input, output)| Command::StartSession {
                info,
                job_metadata,
                room_metadata,
                call,
                input,
                output
            }
        ),
        (session_id(), text()).prop_map(|(session, reason)| Command::EndSession { session, reason }),
        session_id().prop_map(|session| Command::LeaveRoom { session }),
        any::<u64>().prop_map(|nonce| Command::Ping { nonce }),
        Just(Command::Drain),
        any::<u64>().prop_map(|grace_ms| Command::Shutdown { grace_ms }),
    ]
}

fn level() -> impl Strategy<Value = LogLevel> {
    select(vec![LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error])
}

fn event() -> impl Strategy<Value = SessionEvent> {
    prop_oneof![
        (select(vec![Speaker::User, Speaker::Agent]), text(), any::<(u64, u64)>())
            .prop_map(|(speaker, text, (start_ms, end_ms))| SessionEvent::Turn { speaker, text, start_ms, end_ms }),
        any::<[u64; 4]>().prop_map(|[llm_tokens_in, llm_tokens_out, stt_ms, tts_characters]| {
            SessionEvent::Usage(Usage { llm_tokens_in, llm_tokens_out, stt_ms, tts_characters })
        }),
        (text(), any::<u64>()).prop_map(|(stage, micros)| SessionEvent::Latency { stage, micros }),
        (level(), text()).prop_map(|(level, message)| SessionEvent::Log { level, message }),
        text().prop_map(|state| SessionEvent::State { state }),
        (text(), text()).prop_map(|(name, json)| SessionEvent::Custom { name, json }),
    ]
}

fn wall() -> impl Strategy<Value = WallReport> {
    let wall = select(vec![Wall::Memory, Wall::Uid, Wall::Landlock, Wall::Network]);
    let state = prop_oneof![
        text().prop_map(WallState::Kernel),
        text().prop_map(WallState::Sampled),
        text().prop_map(WallState::Absent),
    ];
    (wall, state).prop_map(|(wall, state)| WallReport { wall, state })
}

pub(crate) fn report() -> impl Strategy<Value = Report> {
    let status = select(vec![EndStatus::Success, EndStatus::Failed, EndStatus::Cancelled]);
    let step = select(vec![SetupStep::Channel, SetupStep::Exec, SetupStep::Landlock, SetupStep::Ready]);
    let snapshot = (vec(session_id(), 0..50), any::<(u64, u64)>()).prop_map(|(sessions, (events_dropped, lag))| {
        Report::Snapshot(HostSnapshot { sessions, events_dropped, loop_lag_micros: lag })
    });
    prop_oneof![
        (any::<u16>(), text(), text())
            .prop_map(|(protocol, program, version)| { Report::Hello(Hello { protocol, program, version }) }),
        vec(wall(), 0..14).prop_map(|walls| Report::Launched { walls }),
        (step, any::<i32>(), text()).prop_map(|(step, errno, detail)| Report::SetupFailed { step, errno, detail }),
        vec(agent(), 0..8).prop_map(|agents| Report::Ready { agents }),
        session_id().prop_map(|session| Report::SessionStarted { session }),
        (session_id(), agent()).prop_map(|(session, agent)| Report::SessionRerouted { session, agent }),
        (session_id(), event()).prop_map(|(session, event)| Report::SessionEvent { session, event }),
        (session_id(), status, option::of(text())).prop_map(|(session, status, error)| Report::SessionEnded {
            session,
            status,
            error
        }),
        (level(), text()).prop_map(|(level, message)| Report::Log { level, message }),
        snapshot,
        any::<u64>().prop_map(|nonce| Report::Pong { nonce }),
        text().prop_map(|reason| Report::Bye { reason }),
    ]
}
