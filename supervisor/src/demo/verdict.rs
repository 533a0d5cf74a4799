//! The verdict: what was measured, against what was promised.
//!
//! Owns: the promises, each with its limit, and the exit code. Never: measures.

use std::process::ExitCode;

use openrtc_control_api::{Strength, WallRow};
use serde::Serialize;

use super::config::{COOLDOWN_DEFAULT_S, COOLDOWN_S, HOSTILE, WALL_MB};
use super::measure::Lateness;

/// The siblings' p99 may grow by this factor, …
pub const P99_FACTOR_MAX: u64 = 5;
/// … or to this, in microseconds: one voice frame, which any receiver's jitter buffer hides.
pub const P99_MICROS_ALLOWED: u64 = 20_000;
/// The hog must be stopped within this, in milliseconds.
pub const STOP_MS_MAX: u64 = 1_000;
/// CPU measured over some seconds may exceed its wall by this share, in percent: periods at both ends.
const CPU_SLACK_PCT: u64 = 25;

/// What the hog came to behind its wall.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Hog {
    /// How its session ended.
    pub session_reason: String,
    /// How its host exited: `oom_own_limit` is the kernel's doing, `mem_watchdog` the sampler's.
    pub host_exit: Option<String>,
    /// The last it said it had touched, in MiB.
    pub touched_mb: u64,
    /// Where the kernel refused it more address space, in MiB.
    pub refused_at_mb: Option<u64>,
    /// From the last step that it said was within the wall to the end of its session as the supervisor told it, in
    /// milliseconds: an upper bound, since it crossed the wall after that step.
    pub stopped_within_ms: Option<u64>,
    /// The memory wall of its host.
    pub wall: Option<WallRow>,
}

/// What the spinner came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Spin {
    /// CPU that the kernel gave its process, over its life, 100 being one core.
    pub cpu_pct: Option<u64>,
    /// Its wall.
    pub limit_pct: u64,
    /// Threads that spun.
    pub threads: u64,
    /// The CPU wall of its host.
    pub wall: Option<WallRow>,
}

/// What the breaker did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Breaker {
    /// Failed sessions until it opened.
    pub failed_sessions: u64,
    /// Reason of the first refusal after them.
    pub refused_with: Option<String>,
    /// When that refusal said to ask again, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// Status of the good call after the cooldown, or the reason why it was refused.
    pub good_call: Option<String>,
}

/// What the hog came to without its wall.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Unwalled {
    /// How much it had, in MiB.
    pub reached_mb: u64,
    /// In so many milliseconds.
    pub took_ms: u64,
    /// Where it stops by itself, in MiB.
    pub stop_mb: u64,
}

/// One call of a sibling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Whose.
    pub tenant: String,
    /// How it ended: `success`, or what it came to instead.
    pub outcome: String,
    /// Turns in its recording.
    pub turns_spoken: u64,
    /// Turns that its agent told and the observer received.
    pub turns_heard: u64,
}

/// Everything that was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Findings {
    /// The hog behind its wall.
    pub hog: Hog,
    /// The hog without it.
    pub unwalled: Unwalled,
    /// The spinner.
    pub spin: Spin,
    /// The breaker.
    pub breaker: Breaker,
    /// The siblings' calls.
    pub calls: Vec<Call>,
    /// How late the siblings' frames were alone.
    pub alone: Option<Lateness>,
    /// And while the hostile tenant attacked.
    pub beside: Option<Lateness>,
    /// The walls around the hostile tenant's host.
    pub walls: Vec<WallRow>,
}

/// One promise, kept or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Whether it was kept.
    pub passed: bool,
    /// The figures.
    pub text: String,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict<F = Findings> {
    /// Whether every promise was kept.
    pub passed: bool,
    /// The promises.
    pub checks: Vec<Check>,
    /// Walls that are weaker than the kernel's, or absent, on this machine.
    pub weaker_walls: Vec<WallRow>,
    /// The figures.
    pub findings: F,
}

impl<F> Verdict<F> {
    /// Of these promises and figures, and of the walls around the hostile tenant's host.
    pub fn of(checks: Vec<Check>, walls: &[WallRow], findings: F) -> Self {
        // A zygote makes hosts faster; it isolates nothing.
        let weaker = |wall: &&WallRow| wall.strength != Strength::Kernel && wall.wall != "zygote";
        let weaker_walls = walls.iter().filter(weaker).cloned().collect();
        Self { passed: checks.iter().all(|check| check.passed), checks, weaker_walls, findings }
    }

    /// 0 if every promise was kept, else 1.
    pub fn exit_code(&self) -> ExitCode {
        if self.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Names of the promises that were not kept.
    pub fn failed(&self) -> Vec<&'static str> {
        self.checks.iter().filter(|check| !check.passed).map(|check| check.name).collect()
    }
}

/// A strength as it is told.
pub fn told(strength: Strength) -> &'static str {
    match strength {
        Strength::Kernel => "kernel",
        Strength::Sampled => "sampled",
        Strength::Absent => "absent",
    }
}

fn described(wall: Option<&WallRow>) -> String {
    wall.map_or("not told".to_owned(), |wall| format!("{}: {}", told(wall.strength), wall.by))
}

fn memory(hog: &Hog) -> Check {
    let by = match hog.host_exit.as_deref() {
        Some("oom_own_limit") => "the kernel (oom_own_limit)".to_owned(),
        Some("mem_watchdog") => "the supervisor's sampling (mem_watchdog)".to_owned(),
        Some(other) => other.to_owned(),
        None => "no wall".to_owned(),
    };
    let within = hog.stopped_within_ms.map_or("an unknown time".to_owned(), |ms| format!("{ms} ms"));
    let refused = hog.refused_at_mb.map(|mb| format!(", after RLIMIT_DATA refused it more than {mb} MB"));
    let walled = hog.wall.as_ref().is_some_and(|wall| wall.strength != Strength::Absent);
    let stopped = hog.session_reason == "memory_limit" && hog.stopped_within_ms.is_some_and(|ms| ms <= STOP_MS_MAX);
    Check {
        name: "memory wall",
        passed: walled && stopped,
        text: format!(
            "{HOSTILE}'s hog crossed {WALL_MB} MB and its session was over within {within} (limit {STOP_MS_MAX} ms): \
             {}, stopped by {by}{}; it last told of {} MB. Wall: {}",
            hog.session_reason,
            refused.unwrap_or_default(),
            hog.touched_mb,
            described(hog.wall.as_ref()),
        ),
    }
}

fn without(unwalled: &Unwalled) -> Check {
    Check {
        name: "without the memory wall",
        passed: unwalled.reached_mb >= 2 * WALL_MB,
        text: format!(
            "the same hog reached {} MB in {} ms, {:.1} times the wall, and nothing stopped it: it stops by itself at \
             {} MB or after 2 s, for this machine's sake",
            unwalled.reached_mb,
            unwalled.took_ms,
            unwalled.reached_mb as f64 / WALL_MB as f64,
            unwalled.stop_mb
        ),
    }
}

fn cpu(spin: &Spin) -> Check {
    let enforced = spin.wall.as_ref().is_some_and(|wall| wall.strength == Strength::Kernel);
    let held = spin.cpu_pct.is_some_and(|pct| pct * 100 <= spin.limit_pct * (100 + CPU_SLACK_PCT));
    let given = spin.cpu_pct.map_or("an unknown share".to_owned(), |pct| format!("{pct}% CPU"));
    Check {
        name: "CPU wall",
        passed: held || !enforced,
        text: format!(
            "{}{} spinning threads were given {given}; the wall is at {}% (100% is one core). Wall: {}",
            if enforced { "" } else { "not the kernel's on this machine, so not held against it: " },
            spin.threads,
            spin.limit_pct,
            described(spin.wall.as_ref())
        ),
    }
}

fn breaker(breaker: &Breaker) -> [Check; 2] {
    let refused = breaker.refused_with.as_deref().unwrap_or("never");
    let retry = breaker.retry_after_ms.map(|ms| format!(", retry after {:.1} s", ms as f64 / 1000.0));
    let good = breaker.good_call.as_deref().unwrap_or("not made");
    [
        Check {
            name: "breaker opened",
            passed: refused == "circuit_open",
            text: format!(
                "after {} failed sessions {HOSTILE} was refused: {refused}{}",
                breaker.failed_sessions,
                retry.unwrap_or_default()
            ),
        },
        Check {
            name: "breaker recovered",
            passed: refused == "circuit_open" && good == "success",
            text: format!(
                "a good call of {HOSTILE} after the cooldown: {good} (cooldown {COOLDOWN_S} s here, \
                 {COOLDOWN_DEFAULT_S} s by default)"
            ),
        },
    ]
}

fn siblings(calls: &[Call]) -> Check {
    let good = |call: &&Call| call.outcome == "success" && call.turns_heard == call.turns_spoken;
    let (kept, spoken) = (calls.iter().filter(good).count(), calls.iter().map(|call| call.turns_spoken).sum::<u64>());
    let heard: u64 = calls.iter().map(|call| call.turns_heard).sum();
    let lost = calls.iter().filter(|call| !good(call)).map(|call| {
        format!("; {}: {}, {} of {} turns", call.tenant, call.outcome, call.turns_heard, call.turns_spoken)
    });
    Check {
        name: "siblings' sessions",
        passed: !calls.is_empty() && kept == calls.len(),
        text: format!(
            "{kept} of {} calls ended well, {heard} of {spoken} turns were heard{}",
            calls.len(),
            lost.collect::<String>()
        ),
    }
}

fn p99(alone: Option<&Lateness>, beside: Option<&Lateness>) -> Check {
    let name = "siblings' p99";
    let (Some(alone), Some(beside)) = (alone, beside) else {
        return Check { name, passed: false, text: "no frames were measured".to_owned() };
    };
    let limit = (alone.p99_micros * P99_FACTOR_MAX).max(P99_MICROS_ALLOWED);
    let ms = |micros: u64| micros as f64 / 1000.0;
    Check {
        name,
        passed: beside.p99_micros <= limit,
        text: format!(
            "a 20 ms frame was dealt with {:.2} ms late alone and {:.2} ms late beside {HOSTILE}, a ratio of {:.2} \
             ({} and {} frames; limit {:.1} ms: {P99_FACTOR_MAX} times alone, or one frame, which a jitter buffer hides)",
            ms(alone.p99_micros),
            ms(beside.p99_micros),
            beside.p99_micros as f64 / alone.p99_micros.max(1) as f64,
            alone.samples,
            beside.samples,
            ms(limit)
        ),
    }
}

/// Holds what was measured against what was promised.
pub fn judge(findings: Findings) -> Verdict {
    let [opened, recovered] = breaker(&findings.breaker);
    let checks = vec![
        memory(&findings.hog),
        without(&findings.unwalled),
        cpu(&findings.spin),
        opened,
        recovered,
        siblings(&findings.calls),
        p99(findings.alone.as_ref(), findings.beside.as_ref()),
    ];
    let walls = findings.walls.clone();
    Verdict::of(checks, &walls, findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(name: &str, strength: Strength) -> WallRow {
        let (wall, by, evidence) = (name.to_owned(), "so".to_owned(), "observed".to_owned());
        WallRow { wall, strength, by, evidence, remedy: None, required: false }
    }

    fn lateness(p99_micros: u64) -> Lateness {
        Lateness { samples: 100, p50_micros: 1, p99_micros, max_micros: p99_micros }
    }

    fn call() -> Call {
        Call { tenant: "acme-corp".to_owned(), outcome: "success".to_owned(), turns_spoken: 3, turns_heard: 3 }
    }

    fn good() -> Findings {
        Findings {
            hog: Hog {
                session_reason: "memory_limit".to_owned(),
                host_exit: Some("oom_own_limit".to_owned()),
                touched_mb: 112,
                refused_at_mb: None,
                stopped_within_ms: Some(40),
                wall: Some(wall("memory", Strength::Kernel)),
            },
            unwalled: Unwalled { reached_mb: 512, took_ms: 300, stop_mb: 512 },
            spin: Spin { cpu_pct: Some(101), limit_pct: 100, threads: 2, wall: Some(wall("cpu", Strength::Kernel)) },
            breaker: Breaker {
                failed_sessions: 4,
                refused_with: Some("circuit_open".to_owned()),
                retry_after_ms: Some(3_000),
                good_call: Some("success".to_owned()),
            },
            calls: vec![call(), call()],
            alone: Some(lateness(1_000)),
            beside: Some(lateness(2_000)),
            walls: vec![
                wall("memory", Strength::Kernel),
                wall("cpu", Strength::Kernel),
                wall("zygote", Strength::Absent),
            ],
        }
    }

    /// What fails when the findings are spoilt so.
    fn failed(spoil: impl FnOnce(&mut Findings)) -> Vec<&'static str> {
        let mut findings = good();
        spoil(&mut findings);
        let verdict = judge(findings);
        assert_eq!(verdict.passed, verdict.failed().is_empty());
        assert_eq!(verdict.exit_code(), if verdict.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        verdict.failed()
    }

    #[test]
    fn good_findings_pass_and_name_no_weaker_wall() {
        assert_eq!(failed(|_| ()), Vec::<&str>::new());
        assert_eq!(judge(good()).weaker_walls, vec![]);
    }

    #[test]
    fn a_hog_that_was_not_stopped_by_the_memory_wall_in_time_fails() {
        let fails = vec!["memory wall"];
        assert_eq!(failed(|it| it.hog.session_reason = "completed".to_owned()), fails);
        assert_eq!(failed(|it| it.hog.session_reason = "host_signal".to_owned()), fails);
        assert_eq!(failed(|it| it.hog.stopped_within_ms = Some(STOP_MS_MAX + 1)), fails);
        assert_eq!(failed(|it| it.hog.stopped_within_ms = None), fails);
        assert_eq!(failed(|it| it.hog.wall = Some(wall("memory", Strength::Absent))), fails);
        assert_eq!(failed(|it| it.hog.wall = None), fails);
    }

    #[test]
    fn a_sampled_memory_wall_passes_and_is_named() {
        let mut findings = good();
        findings.hog.wall = Some(wall("memory", Strength::Sampled));
        findings.hog.host_exit = Some("mem_watchdog".to_owned());
        findings.walls[0] = wall("memory", Strength::Sampled);
        let verdict = judge(findings);
        assert!(verdict.passed);
        assert_eq!(verdict.weaker_walls, vec![wall("memory", Strength::Sampled)]);
        assert!(verdict.checks[0].text.contains("sampling (mem_watchdog)"), "{}", verdict.checks[0].text);
    }

    #[test]
    fn a_comparison_in_which_the_unwalled_hog_did_not_pass_the_wall_fails() {
        assert_eq!(failed(|it| it.unwalled.reached_mb = WALL_MB), vec!["without the memory wall"]);
    }

    #[test]
    fn a_spinner_over_a_wall_of_the_kernel_fails_and_without_such_a_wall_does_not() {
        assert_eq!(failed(|it| it.spin.cpu_pct = Some(126)), vec!["CPU wall"]);
        assert_eq!(failed(|it| it.spin.cpu_pct = None), vec!["CPU wall"]);
        assert!(
            failed(|it| {
                it.spin.cpu_pct = Some(200);
                it.spin.wall = Some(wall("cpu", Strength::Absent));
            })
            .is_empty()
        );
    }

    #[test]
    fn a_breaker_that_did_not_open_or_did_not_recover_fails() {
        assert_eq!(failed(|it| it.breaker.refused_with = None), vec!["breaker opened", "breaker recovered"]);
        let other = |it: &mut Findings| it.breaker.refused_with = Some("host_unavailable".to_owned());
        assert_eq!(failed(other), vec!["breaker opened", "breaker recovered"]);
        assert_eq!(failed(|it| it.breaker.good_call = Some("circuit_open".to_owned())), vec!["breaker recovered"]);
        assert_eq!(failed(|it| it.breaker.good_call = None), vec!["breaker recovered"]);
    }

    #[test]
    fn a_lost_call_a_lost_turn_and_no_calls_at_all_fail() {
        let fails = vec!["siblings' sessions"];
        assert_eq!(failed(|it| it.calls[1].outcome = "failed (host_exit)".to_owned()), fails);
        assert_eq!(failed(|it| it.calls[0].turns_heard = 2), fails);
        assert_eq!(failed(|it| it.calls.clear()), fails);
    }

    #[test]
    fn the_p99_may_grow_fivefold_or_to_one_frame_and_no_further() {
        assert!(failed(|it| it.beside = Some(lateness(20_000))).is_empty());
        assert_eq!(failed(|it| it.beside = Some(lateness(20_001))), vec!["siblings' p99"]);
        assert!(failed(|it| (it.alone, it.beside) = (Some(lateness(6_000)), Some(lateness(30_000)))).is_empty());
        assert_eq!(failed(|it| it.beside = None), vec!["siblings' p99"]);
        assert_eq!(failed(|it| it.alone = None), vec!["siblings' p99"]);
    }
}
