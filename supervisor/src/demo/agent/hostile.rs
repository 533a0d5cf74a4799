//! What a hostile tenant does to its neighbours: takes memory, takes CPU, crashes.
//!
//! Owns: the three attacks, and reporting how far each came. Never: goes on without an end of its own; the demo runs
//! on a person's machine, and once with a wall taken down.

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;
use serde_json::json;

use super::{AgentError, Emitter, Session, pass};

/// Bytes taken in one step.
const STEP_BYTES: usize = 16 << 20;
const MIB: usize = 1 << 20;
/// Most memory that is ever taken, in MiB, whatever the metadata say.
const STOP_MB_MAX: f64 = 2048.0;
/// How long memory is held when there is no more to be had, or it is enough, in seconds.
const HOLD_S_MAX: f64 = 10.0;
/// Longest spin, in seconds.
const SPIN_S_MAX: f64 = 30.0;

/// Takes memory as fast as it can until it has `stop_mb`, `seconds` are over, or no more is given; then holds it for
/// `hold_s`. Says `hog_started`, `hog_touched` with the MiB after each step, and at the end `hog_refused` or
/// `hog_stopped`.
///
/// # Errors
/// When an event cannot be written.
pub fn hog<W: Write>(session: &Session, emitter: &mut Emitter<W>) -> Result<(), AgentError> {
    let stop_bytes = session.number("stop_mb", 512.0).clamp(0.0, STOP_MB_MAX) as usize * MIB;
    let deadline = Instant::now() + Duration::from_secs_f64(session.number("seconds", 2.0).clamp(0.0, HOLD_S_MAX));
    let hold = Duration::from_secs_f64(session.number("hold_s", 0.0).clamp(0.0, HOLD_S_MAX));
    emitter.custom("hog_started", json!({"mb": 0}))?;
    // Copied in blocks, because that is as fast in an unoptimised build.
    let block = vec![1_u8; MIB];
    let mut held: Vec<Vec<u8>> = Vec::new();
    let mut end = "hog_stopped";
    while held.len() * STEP_BYTES < stop_bytes && Instant::now() < deadline {
        let mut step: Vec<u8> = Vec::new();
        if step.try_reserve_exact(STEP_BYTES).is_err() {
            end = "hog_refused";
            break;
        }
        while step.len() < STEP_BYTES {
            step.extend_from_slice(&block);
        }
        held.push(black_box(step));
        emitter.custom("hog_touched", json!({"mb": held.len() * STEP_BYTES / MIB}))?;
    }
    emitter.custom(end, json!({"mb": held.len() * STEP_BYTES / MIB}))?;
    pass(hold);
    drop(black_box(held));
    Ok(())
}

/// Cores that this process may run on, whatever share of them it is given.
fn cores() -> usize {
    let allowed = sched_getaffinity(Pid::from_raw(0));
    let count = allowed.map(|set| (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).count());
    count.unwrap_or(1).max(1)
}

/// CPU time of this process so far, of all its threads.
fn cpu_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let micros = |time: nix::sys::time::TimeVal| (time.tv_sec() * 1_000_000 + time.tv_usec()).max(0) as u64;
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}

/// Spins on every core for `seconds`, then says in `spin_stopped` how much CPU it was given.
///
/// # Errors
/// When an event cannot be written.
pub fn spin<W: Write>(session: &Session, emitter: &mut Emitter<W>) -> Result<(), AgentError> {
    let length = Duration::from_secs_f64(session.number("seconds", 3.0).clamp(0.0, SPIN_S_MAX));
    let threads = cores();
    emitter.custom("spin_started", json!({"threads": threads}))?;
    let (started, cpu_before) = (Instant::now(), cpu_time());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            // A thread that is refused is a wall that holds; the others spin on.
            let spawned = std::thread::Builder::new().spawn_scoped(scope, || {
                let mut number = 0_u64;
                while started.elapsed() < length {
                    (0..10_000).for_each(|_| number = black_box(number.wrapping_mul(31).wrapping_add(1)));
                }
            });
            drop(spawned);
        }
    });
    let (wall, cpu) = (started.elapsed(), cpu_time().saturating_sub(cpu_before));
    let data = json!({"threads": threads, "wall_ms": wall.as_millis() as u64, "cpu_ms": cpu.as_millis() as u64});
    emitter.custom("spin_stopped", data)
}

/// Ends by a signal of its own making, as a program with a bug does.
pub fn crash() -> ! {
    eprintln!("demo: crashing on purpose");
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn session(metadata: Value) -> Session {
        Session { metadata: metadata.as_object().unwrap().clone() }
    }

    fn events(run: impl FnOnce(&mut Emitter<&mut Vec<u8>>)) -> Vec<Value> {
        let mut lines = Vec::new();
        run(&mut Emitter::new(&mut lines));
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[test]
    fn the_hog_says_each_step_and_stops_where_it_was_told() {
        let events = events(|emitter| hog(&session(json!({"stop_mb": "48"})), emitter).unwrap());
        let names: Vec<&str> = events.iter().map(|event| event["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["hog_started", "hog_touched", "hog_touched", "hog_touched", "hog_stopped"]);
        assert_eq!(events[3]["data"]["mb"], 48);
        assert!(events[3]["data"]["at_unix_micros"].as_u64().unwrap() > 1_600_000_000_000_000);
    }

    #[test]
    fn the_spinner_says_what_it_was_given() {
        let events = events(|emitter| spin(&session(json!({"seconds": "0.2"})), emitter).unwrap());
        let data = &events.last().unwrap()["data"];
        assert!(data["wall_ms"].as_u64().unwrap() >= 200);
        assert!(data["threads"].as_u64().unwrap() >= 1);
    }
}
