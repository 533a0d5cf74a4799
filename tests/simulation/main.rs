//! The real policy in a random, hostile and forgetful world, for at least 100 000 steps a seed.
//!
//! Owns: the seeds, the eras and the failure that can be replayed. Never: lets chance in but through the seed.
//!
//! One run is several eras. Each has its own rules, its own kinds of faults and a fresh policy; it ends by finding out
//! that nothing leaked. To replay a failure: `OPENRTC_SIM_SEED=<seed> cargo test -p openrtc-tests --test simulation`.

mod agency;
mod model;
mod world;

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

/// Gives the sessions that ran, so that a world in which nothing happens is noticed.
fn run(seed: u64) -> u64 {
    let mut replay = Replay { seed, era: 0, step: 0 };
    let mut rng = Rng::with_seed(seed);
    let mut sessions = 0;
    for era in 0..ERAS {
        replay.era = era;
        let faults = [Faults::Any, Faults::OursOnly, Faults::None][usize::try_from(era % 3).expect("below three")];
        let mut world = World::new(rng.fork(), faults);
        for step in 0..STEPS_PER_ERA {
            replay.step = step;
            world.step();
        }
        sessions += world.come_to_rest();
    }
    sessions
}

fn seeds() -> Vec<u64> {
    if let Ok(seed) = std::env::var("OPENRTC_SIM_SEED") {
        return vec![seed.parse().expect("OPENRTC_SIM_SEED is a number")];
    }
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let fresh = u64::try_from(clock & u128::from(u64::MAX)).expect("masked");
    (0..FRESH_SEEDS).map(|n| fresh.wrapping_add(n)).chain([FIXED_SEED]).collect()
}

#[test]
fn policy_keeps_its_promises_in_a_random_world() {
    let runs: Vec<_> = seeds().into_iter().map(|seed| std::thread::spawn(move || run(seed))).collect();
    for run in runs {
        let sessions = run.join().expect("the seed to replay stands above");
        assert!(sessions > 1_000, "a world in which only {sessions} sessions ran proves nothing");
    }
}
