//! The real policy in a random, hostile and forgetful world, for at least 100 000 steps a seed.
//!
//! Owns: the seeds, the eras and the failure that can be replayed. Never: lets chance in but through the seed.
//!
//! One run is several eras. Each has its own rules, its own kinds of faults and a fresh policy; it ends by finding out
//! that nothing leaked. To replay a failure: `OPENRTC_SIM_SEED=<seed> cargo test -p openrtc-tests --test simulation`.

mod agency;
mod model;
mod world;

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use fastrand::Rng;

use crate::world::{Faults, World};

const STEPS_PER_ERA: u64 = 10_000;
const ERAS: u64 = 10;
/// Always run, so that a test run means the same on every machine.
const FIXED_SEED: u64 = 0x0bad_cafe;
/// And so many that nobody has run before.
const FRESH_SEEDS: u64 = 3;

/// Names seed, era and step when anything panics, in the policy or in a check.
struct Replay {
    seed: u64,
    era: u64,
    step: u64,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, era, step } = self;
            eprintln!("simulation failed at seed {seed}, era {era}, step {step}");
            eprintln!("replay: OPENRTC_SIM_SEED={seed} cargo test -p openrtc-tests --test simulation");
        }
    }
}

/// Gives everything of note that happened, by name.
fn run(seed: u64) -> BTreeSet<String> {
    let mut replay = Replay { seed, era: 0, step: 0 };
    let mut rng = Rng::with_seed(seed);
    let mut seen = BTreeSet::new();
    for era in 0..ERAS {
        replay.era = era;
        let faults = [Faults::Any, Faults::OursOnly, Faults::None][usize::try_from(era % 3).expect("below three")];
        let mut world = World::new(rng.fork(), faults);
        for step in 0..STEPS_PER_ERA {
            replay.step = step;
            world.step();
        }
        seen.extend(world.come_to_rest().seen);
    }
    seen
}

fn seeds() -> Vec<u64> {
    if let Ok(seed) = std::env::var("OPENRTC_SIM_SEED") {
        return vec![seed.parse().expect("OPENRTC_SIM_SEED is a number")];
    }
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let fresh = u64::try_from(clock & u128::from(u64::MAX)).expect("masked");
    (0..FRESH_SEEDS).map(|n| fresh.wrapping_add(n)).chain([FIXED_SEED]).collect()
}

/// What must have happened at least once. The fixed seed sees to it that it does.
const WORTH_SEEING: [&str; 33] = [
    "BreakerOpened",
    "BreakerProbing",
    "DrainHost",
    "RestartBackedOff",
    "concluded DrainTimeout",
    "concluded Error",
    "concluded HostSignal",
    "concluded InitTimeout",
    "concluded ProtocolViolation",
    "concluded SetupFailed",
    "concluded SupervisorShutdown",
    "condemned draining",
    "condemned idle",
    "condemned memory",
    "condemned served",
    "condemned session_over",
    "condemned session_stuck",
    "condemned unresponsive",
    "end caller_left",
    "end duration_limit",
    "end operator_kill",
    "kill ChannelClosed",
    "kill Heartbeat",
    "kill Operator",
    "kill Protocol",
    "kill Setup",
    "rejected agent_cap",
    "rejected circuit_open",
    "rejected global_cap",
    "rejected host_unavailable",
    "rejected tenant_cap",
    "rejected tenant_suspended",
    "terminate DrainTimeout",
];

#[test]
fn policy_keeps_its_promises_in_a_random_world() {
    let seeds = seeds();
    let replaying = seeds.len() == 1;
    let runs: Vec<_> = seeds.into_iter().map(|seed| std::thread::spawn(move || run(seed))).collect();
    let mut seen = BTreeSet::new();
    for run in runs {
        seen.extend(run.join().expect("the seed to replay stands above"));
    }
    let unseen: Vec<_> = WORTH_SEEING.into_iter().filter(|name| !seen.contains(*name)).collect();
    assert!(replaying || unseen.is_empty(), "a world without these proves little: {unseen:?}");
}
