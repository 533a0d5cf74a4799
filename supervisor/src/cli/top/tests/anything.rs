//! The view from states that nobody made up: any snapshot, any size, any keys.

use std::time::Duration;

use clap::ValueEnum;
use openrtc_control_api::{Host, SessionRow, Snapshot, Strength};
use proptest::prelude::*;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::SortKey;
use super::super::once;
use super::super::state::{Settings, State};
use super::{agency, frame, host, settings, wall};

fn words() -> impl Strategy<Value = String> {
    prop_oneof![".{0,40}", "[a-z]{0,12}", Just("漢字かな👨‍👩‍👧e\u{301}".to_owned()), Just("\x1b[2J\u{202e}\n".to_owned())]
}

prop_compose! {
    fn any_row()(id in words(), tenant in words(), agent in words(), room in words(), status in words(),
                 host in prop::option::of("h[0-3]\\.1"), numbers in any::<[f64; 4]>()) -> SessionRow {
        let [duration_s, mem_mb, peak_mb, cpu_pct] = numbers;
        SessionRow { session_id: id, agent_name: agent, tenant, duration_s, mem_mb, peak_mb, cpu_pct, status,
                     pinned: true, host, room }
    }
}

prop_compose! {
    fn any_host()(id in "h[0-3]\\.1", tenant in words(), state in words(), why in prop::option::of(words()),
                  walls in prop::collection::vec(words(), 0..4), bytes in any::<[u64; 4]>(), limit in any::<Option<u64>>(),
                  numbers in any::<[f64; 4]>()) -> Host {
        let mut made = host(&id, &tenant, &[], 0);
        made.walls = walls.iter().map(|name| wall(name, Strength::Absent, name, why.as_deref())).collect();
        Host { state, condemned: why.clone(), spawned_by: why, memory_bytes: bytes[0], memory_peak_bytes: bytes[1],
               memory_max_bytes: limit, born_at_unix_ms: Some(bytes[2]), ready_after_ms: Some(bytes[3]),
               absent_walls: walls, cpu_pct: numbers[0], cpu_s: numbers[1], ping_ms: numbers[2],
               loop_lag_ms: numbers[3], ..made }
    }
}

prop_compose! {
    fn any_snapshot()(sessions in prop::collection::vec(any_row(), 0..12), hosts in prop::collection::vec(any_host(), 0..6),
                      name in words(), history in prop::collection::vec(any::<f64>(), 0..70), numbers in any::<[f64; 5]>(),
                      closes in any::<Option<f64>>(), bytes in any::<[u64; 4]>()) -> Snapshot {
        let mut made = agency();
        made.worker.name = name.clone();
        made.worker.cpu_history = history;
        made.worker.uptime_s = numbers[0];
        made.worker.system.cpu_pct = Some(numbers[1]);
        made.worker.system.load1 = Some(numbers[2]);
        made.worker.system.mem_used_bytes = Some(bytes[0]);
        made.worker.system.mem_total_bytes = Some(bytes[1]);
        made.worker.system.swap_total_bytes = Some(bytes[2]);
        made.timestamp = numbers[3];
        made.breakers[1].closes_in_s = closes;
        made.breakers[1].tenant = name;
        Snapshot { sessions, hosts, ..made }
    }
}

fn any_key() -> impl Strategy<Value = KeyCode> {
    let named = [
        KeyCode::Tab,
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Backspace,
        KeyCode::Left,
        KeyCode::F(1),
    ];
    prop_oneof![
        prop::sample::select(named.to_vec()),
        prop::sample::select("sSf/kepr?yn qh漢".chars().collect::<Vec<_>>()).prop_map(KeyCode::Char),
        any::<char>().prop_map(KeyCode::Char),
    ]
}

proptest! {
    #[test]
    fn no_size_no_snapshot_and_no_keys_make_it_panic(
        (first, second) in (any_snapshot(), any_snapshot()),
        sizes in prop::collection::vec((1_u16..140, 1_u16..50), 1..4),
        codes in prop::collection::vec(any_key(), 0..40),
        sort in prop::sample::select(SortKey::value_variants()),
    ) {
        let mut state = State::new(Settings { sort, ..settings() });
        frame(&state, 80, 24);
        state.take_snapshot(first, Duration::ZERO);
        let mut codes = codes.into_iter();
        for (at, (width, height)) in sizes.into_iter().enumerate() {
            for code in codes.by_ref().take(10) {
                state.press(KeyEvent::new(code, KeyModifiers::NONE));
            }
            let text = frame(&state, width, height);
            prop_assert!(text.lines().all(|line| !line.contains('\x1b')));
            if at == 0 {
                state.take_snapshot(second.clone(), Duration::from_secs(9));
            } else {
                state.take(Err("漢字 it is gone".repeat(30)), Duration::from_secs(9));
            }
        }
        once::text(&state, Some(40));
    }
}
