//! The view from states that are made up.
//!
//! Frames are compared with those in `golden/`; `UPDATE_GOLDEN=1` writes them anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use openrtc_control_api::{
    Breaker, EndedSession, Host, SessionRow, Snapshot, Strength, System, WallRow, Worker, Zygote,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::keys::Deed;
use super::once;
use super::state::{List, Look, LookedHost, Order, Settings, State};
use super::{SortKey, StatusFilter, view};

mod anything;

const MIB: u64 = 1 << 20;

fn settings() -> Settings {
    Settings {
        sort: SortKey::MemMb,
        status: StatusFilter::All,
        agent: None,
        tenant: None,
        period: Duration::from_secs(1),
        color: true,
    }
}

fn row(number: u64, tenant: &str, host: &str, mem_mb: f64, status: &str) -> SessionRow {
    SessionRow {
        session_id: format!("s-1a2b3c4d-{number}"),
        agent_name: if number.is_multiple_of(2) { "support" } else { "appointment-line" }.to_owned(),
        tenant: tenant.to_owned(),
        duration_s: 12.5 * number as f64,
        mem_mb,
        peak_mb: mem_mb * 1.5,
        cpu_pct: 3.5 * number as f64,
        status: status.to_owned(),
        pinned: false,
        host: Some(host.to_owned()),
        room: format!("{tenant}_support-{number}"),
    }
}

fn wall(wall: &str, strength: Strength, by: &str, remedy: Option<&str>) -> WallRow {
    WallRow {
        wall: wall.to_owned(),
        strength,
        by: by.to_owned(),
        evidence: "observed".to_owned(),
        remedy: remedy.map(str::to_owned),
        required: false,
    }
}

fn host(id: &str, tenant: &str, sessions: &[&str], memory_mb: u64) -> Host {
    Host {
        host: id.to_owned(),
        tenant: tenant.to_owned(),
        runtime: "agency".to_owned(),
        scope: "tenant".to_owned(),
        state: "ready".to_owned(),
        condemned: None,
        intent: None,
        pid: Some(4711),
        spawned_by: Some("zygote".to_owned()),
        born_at_unix_ms: Some(1_795_387_000_000),
        ready_after_ms: Some(42),
        sessions: sessions.iter().map(|id| (*id).to_owned()).collect(),
        memory_bytes: memory_mb * MIB,
        memory_peak_bytes: memory_mb * MIB * 5 / 4,
        memory_max_bytes: Some(1024 * MIB),
        cpu_pct: 12.5,
        cpu_s: 3.75,
        processes: 9,
        ping_ms: 0.4,
        loop_lag_ms: 1.2,
        dropped: 0,
        old_keys: false,
        absent_walls: vec!["network".to_owned()],
        walls: vec![
            wall("memory", Strength::Kernel, "cgroup v2: 1024 MiB", None),
            wall("uid", Strength::Kernel, "uid 200000", None),
            wall("cpu", Strength::Sampled, "lowered priority", None),
            wall("network", Strength::Absent, "no namespace", None),
        ],
    }
}

fn agency() -> Snapshot {
    let mut globex = host("h2.1", "globex", &["s-1a2b3c4d-3"], 990);
    globex.spawned_by = Some("cold (thread 'grpc' runs)".to_owned());
    globex.loop_lag_ms = 81.0;
    let mut initech = host("h3.4", "initech", &[], 12);
    initech.state = "condemned".to_owned();
    initech.condemned = Some("memory_limit".to_owned());
    initech.memory_max_bytes = None;
    let breaker = |tenant: &str, state: &str, closes_in_s| Breaker {
        tenant: tenant.to_owned(),
        state: state.to_owned(),
        failures: 5,
        samples: 6,
        closes_in_s,
        cooldown_s: 30.0,
    };
    Snapshot {
        timestamp: 1_795_387_185.0,
        active_sessions: 4,
        deployment_version: Some("v1.0.0".to_owned()),
        worker: Worker {
            name: "agency-1".to_owned(),
            uptime_s: 7_440.0,
            active_sessions: 4,
            max_sessions: Some(50),
            started: 120,
            failed: 6,
            draining: false,
            system: System {
                available: true,
                cpu_pct: Some(34.0),
                vcpus: Some(4),
                mem_used_bytes: Some(2048 * MIB),
                mem_total_bytes: Some(8192 * MIB),
                swap_used_bytes: Some(0),
                swap_total_bytes: Some(0),
                load1: Some(0.52),
                load5: Some(0.4),
                load15: Some(0.33),
                net_rate_bps: Some(1200.0),
            },
            cpu_history: (0..60).map(|at| f64::from(at * 37 % 100)).collect(),
        },
        sessions: vec![
            row(1, "acme-corp", "h1.1", 120.4, "active"),
            row(2, "acme-corp", "h1.1", 120.4, "active"),
            row(3, "globex", "h2.1", 990.0, "slow"),
            SessionRow { host: None, ..row(4, "globex", "h2.1", 0.0, "starting") },
        ],
        hosts: vec![host("h1.1", "acme-corp", &["s-1a2b3c4d-1", "s-1a2b3c4d-2"], 241), globex, initech],
        breakers: vec![breaker("acme-corp", "closed", None), breaker("initech", "open", Some(12.4))],
        rejections: BTreeMap::from([
            ("circuit_open".to_owned(), 3),
            ("tenant_cap".to_owned(), 11),
            ("draining".to_owned(), 0),
        ]),
        zygotes: vec![Zygote {
            runtime: "command".to_owned(),
            spawn: "zygote".to_owned(),
            remedy: None,
            idle_hosts: 0,
        }],
        walls: vec![wall("network", Strength::Absent, "no namespace", Some("run as root, or allow user namespaces"))],
        ..Snapshot::default()
    }
}

fn watching() -> State {
    let mut state = State::new(settings());
    state.take_snapshot(agency(), Duration::from_secs(9));
    state
}

fn keys(state: &mut State, codes: &[KeyCode]) -> Vec<Deed> {
    codes.iter().map(|code| state.press(KeyEvent::new(*code, KeyModifiers::NONE))).collect()
}

fn typed(state: &mut State, text: &str) -> Vec<Deed> {
    keys(state, &text.chars().map(KeyCode::Char).collect::<Vec<_>>())
}

fn frame(state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(state, Duration::from_secs(10), frame.buffer_mut())).unwrap();
    once::as_text(terminal.backend().buffer())
}

#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/top/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(text, kept, "{name}: `UPDATE_GOLDEN=1 cargo test` writes it anew\n{text}");
}

/// What a look into a host tells.
fn looked_into(state: &mut State, id: &str) {
    let snapshot = agency();
    let host = snapshot.hosts.iter().find(|host| host.host == id).cloned();
    let ended = EndedSession {
        session_id: "s-1a2b3c4d-0".to_owned(),
        agent_name: "support".to_owned(),
        tenant: "acme-corp".to_owned(),
        room: "r".to_owned(),
        host: Some(id.to_owned()),
        status: "failed".to_owned(),
        reason: "host_exit".to_owned(),
        reason_detail: serde_json::json!({"reason": "host_exit", "code": 3}),
        error: Some("the program ended with 3".to_owned()),
        blame: "tenant".to_owned(),
        started: true,
        duration_ms: 3_400,
        ended_at_unix_ms: 0,
        usage: None,
        exit: None,
        evidence: Some(serde_json::json!({"last_stderr": "KeyError: 'order'"})),
    };
    let detail = Some(LookedHost { id: id.to_owned(), host, ended: Some(vec![ended]) });
    state.take(Ok(Look { snapshot, detail }), Duration::from_secs(9));
}

#[test]
fn the_frames_are_those_checked_in() {
    for (width, height) in [(80, 24), (120, 40)] {
        let name = |what: &str| format!("{what}-{width}x{height}.txt");
        let mut state = watching();
        golden(&name("sessions"), &frame(&state, width, height));
        keys(&mut state, &[KeyCode::Tab]);
        golden(&name("hosts"), &frame(&state, width, height));
        keys(&mut state, &[KeyCode::Char('k')]);
        golden(&name("confirm"), &frame(&state, width, height));
        keys(&mut state, &[KeyCode::Char('n'), KeyCode::Char('?')]);
        golden(&name("help"), &frame(&state, width, height));
        keys(&mut state, &[KeyCode::Esc, KeyCode::Char('s'), KeyCode::Char('s'), KeyCode::Enter]);
        looked_into(&mut state, "h1.1");
        golden(&name("host"), &frame(&state, width, height));
        state.take(Err("the supervisor is gone".to_owned()), Duration::from_secs(10));
        golden(&name("gone"), &frame(&state, width, height));
    }
}

#[test]
fn one_frame_as_text_has_every_row_and_nothing_a_terminal_obeys() {
    let mut state = watching();
    state.snapshot.as_mut().unwrap().hosts[0].tenant = "ac\x1b[2Jme".to_owned();
    let text = once::text(&state, None);
    golden("once.txt", &text);
    assert!(!text.contains('\x1b'));
    let json = serde_json::to_value(once::data(&state)).unwrap();
    assert_eq!(json["worker"]["max_sessions"], 50);
    assert_eq!(json["sessions"][0]["session_id"], "s-1a2b3c4d-3");
    assert_eq!(json["rejections"]["tenant_cap"], 11);
}

#[test]
fn only_y_gives_an_order_and_it_is_for_the_host_asked_about() {
    for other in [KeyCode::Char('n'), KeyCode::Esc, KeyCode::Enter, KeyCode::Char('k'), KeyCode::Char('q')] {
        let mut state = watching();
        let deeds = keys(&mut state, &[KeyCode::Tab, KeyCode::Char('k'), other]);
        assert!(deeds.iter().all(|deed| *deed == Deed::Nothing), "{other:?} {deeds:?}");
    }
    let mut state = watching();
    keys(&mut state, &[KeyCode::Tab, KeyCode::Char('k')]);
    // The order of rows changes while the question stands.
    let mut later = agency();
    later.hosts[0].memory_bytes = 2000 * MIB;
    state.take_snapshot(later, Duration::from_secs(10));
    let order = Order::Kill { host: "h2.1".to_owned(), tenant: "globex".to_owned(), sessions: 1 };
    assert_eq!(keys(&mut state, &[KeyCode::Char('y')]), [Deed::Give(order)]);
}

#[test]
fn a_session_is_ended_and_its_host_killed_from_the_list_of_sessions() {
    let mut state = watching();
    keys(&mut state, &[KeyCode::Down]);
    let end = Order::End { session: "s-1a2b3c4d-1".to_owned(), tenant: "acme-corp".to_owned() };
    assert_eq!(typed(&mut state, "ey"), [Deed::Nothing, Deed::Give(end)]);
    let kill = Order::Kill { host: "h1.1".to_owned(), tenant: "acme-corp".to_owned(), sessions: 2 };
    assert_eq!(typed(&mut state, "ky"), [Deed::Nothing, Deed::Give(kill)]);
    keys(&mut state, &[KeyCode::End]);
    assert_eq!(typed(&mut state, "ky"), [Deed::Nothing, Deed::Nothing], "it waits for a host");
}

#[test]
fn the_cursor_stays_with_its_row() {
    let mut state = watching();
    keys(&mut state, &[KeyCode::Down]);
    assert_eq!(state.under_cursor().as_deref(), Some("s-1a2b3c4d-1"));
    let mut later = agency();
    later.sessions.remove(2);
    state.take_snapshot(later, Duration::from_secs(10));
    assert_eq!(state.under_cursor().as_deref(), Some("s-1a2b3c4d-1"));
    keys(&mut state, &[KeyCode::Char('S')]);
    assert_eq!(state.under_cursor().as_deref(), Some("s-1a2b3c4d-1"));
}

#[test]
fn filters_narrow_by_tenant_agent_status_and_words() {
    let shown = |state: &State| state.ids().into_iter().map(|id| id[11..].to_owned()).collect::<Vec<_>>();
    for (text, ids) in [
        ("acme", vec!["1", "2"]),
        ("tenant:globex", vec!["3", "4"]),
        ("agent:support tenant:acme", vec!["2"]),
        ("status:slow", vec!["3"]),
        ("ACME agent:APP", vec!["1"]),
        ("nobody", vec![]),
    ] {
        let mut state = watching();
        typed(&mut state, &format!("/{text}"));
        assert_eq!(shown(&state), ids, "while it is typed: {text}");
        keys(&mut state, &[KeyCode::Enter]);
        assert_eq!(shown(&state), ids, "{text}");
        keys(&mut state, &[KeyCode::Esc]);
        assert_eq!(shown(&state).len(), 4);
    }
    let mut state = State::new(Settings { status: StatusFilter::Errored, ..settings() });
    state.take_snapshot(agency(), Duration::ZERO);
    state.list = List::Hosts;
    assert_eq!(state.ids(), ["h3.4"]);
    let mut state = State::new(Settings { agent: Some("support".to_owned()), ..settings() });
    state.take_snapshot(agency(), Duration::ZERO);
    state.list = List::Hosts;
    assert_eq!(state.ids(), ["h1.1"]);
}

#[test]
fn every_sort_key_puts_the_greatest_number_or_the_first_word_first() {
    for (sort, first) in [
        (SortKey::MemMb, "3"),
        (SortKey::CpuPct, "4"),
        (SortKey::DurationS, "4"),
        (SortKey::LagMs, "3"),
        (SortKey::AgentName, "1"),
        (SortKey::Tenant, "1"),
        (SortKey::SessionId, "1"),
    ] {
        let mut state = State::new(Settings { sort, ..settings() });
        state.take_snapshot(agency(), Duration::ZERO);
        assert_eq!(state.ids()[0], format!("s-1a2b3c4d-{first}"), "{sort:?}");
    }
}

#[test]
fn what_is_old_is_called_so_and_what_is_paused_is_not() {
    let mut state = watching();
    assert_eq!(state.stale(Duration::from_secs(10)), None);
    assert_eq!(state.stale(Duration::from_secs(21)), Some(Duration::from_secs(12)));
    keys(&mut state, &[KeyCode::Char('p')]);
    assert_eq!(state.stale(Duration::from_secs(21)), None);
    assert!(state.query().paused && frame(&state, 80, 24).contains("paused"));
}

#[test]
fn control_c_leaves_from_everywhere() {
    for before in ["", "/", "?", "k", "/x"] {
        let mut state = watching();
        typed(&mut state, before);
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(state.press(key), Deed::Quit, "{before:?}");
    }
}
