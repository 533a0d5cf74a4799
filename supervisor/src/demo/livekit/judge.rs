//! The verdict on real calls: what the callers heard, against what was promised.
//!
//! Owns: the figures of each call, the promises and their limits. Never: measures.

use openrtc_control_api::WallRow;
use serde::Serialize;

use super::super::config::HOSTILE;
use super::super::verdict::{Check, Verdict};
use super::callers::Heard;

/// The longest gap that callers of siblings may hear once the hostile tenant's host has died, in milliseconds; or the
/// longest that they heard before, where that is more.
pub const GAP_MS_MAX: u64 = 100;
/// The last sound must be at most so long before a sibling's caller leaves, in milliseconds.
const UNTIL_END_MS: u64 = 1_000;

/// What one caller heard.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Answered {
    /// Whose agent it called.
    pub tenant: String,
    /// How much it heard before the death, in seconds.
    pub heard_before_s: f64,
    /// And after it.
    pub heard_after_s: f64,
    /// The longest gap that it heard before the death, in milliseconds.
    pub gap_before_ms: u64,
    /// And after it.
    pub gap_after_ms: u64,
    /// Whole seconds without a sound between the death and the end of its call.
    pub silent_after_s: u64,
    /// Everything that it told.
    pub caller: Heard,
}

impl Answered {
    /// The figures of one caller; the second in which the death was counts as after it.
    pub fn of(tenant: &str, caller: Heard, death_unix_ms: Option<u64>) -> Self {
        let since = death_unix_ms.map(|at| at.saturating_sub(caller.began_unix_ms) / 1000);
        let split = |values: &[u64]| {
            let at =
                since.map_or(values.len(), |second| usize::try_from(second).unwrap_or(usize::MAX).min(values.len()));
            let (before, after) = values.split_at(at);
            (before.to_vec(), after.to_vec())
        };
        let (before, after) = split(&caller.heard_ms_by_second);
        let (gaps_before, gaps_after) = split(&caller.longest_gap_ms_by_second);
        let seconds = |heard: &[u64]| heard.iter().sum::<u64>() as f64 / 1000.0;
        let longest = |gaps: &[u64]| gaps.iter().copied().max().unwrap_or(0);
        let whole = since.zip(caller.left_ms).map_or(0, |(since, left)| (left / 1000).saturating_sub(since));
        let sounding = after.iter().filter(|ms| **ms > 0).count() as u64;
        Self {
            tenant: tenant.to_owned(),
            heard_before_s: seconds(&before),
            heard_after_s: seconds(&after),
            gap_before_ms: longest(&gaps_before),
            gap_after_ms: longest(&gaps_after),
            silent_after_s: whole.saturating_sub(sounding),
            caller,
        }
    }

    fn gap_limit_ms(&self) -> u64 {
        GAP_MS_MAX.max(self.gap_before_ms)
    }

    fn until_the_end(&self) -> bool {
        let (last, left) = (self.caller.last_audio_ms, self.caller.left_ms);
        last.zip(left).is_some_and(|(last, left)| left.saturating_sub(last) <= UNTIL_END_MS)
    }
}

/// What supervisor and server say of the hostile tenant's first call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Death {
    /// When the supervisor knew of it, in milliseconds since 1970.
    pub at_unix_ms: Option<u64>,
    /// Its session's status.
    pub status: Option<String>,
    /// Its session's reason.
    pub reason: Option<String>,
    /// The sentence that the supervisor told the server.
    pub supervisor_said: Option<String>,
    /// The server's own line on the end of the job.
    pub server_said: Option<String>,
    /// Siblings with a failed session.
    pub siblings_failed: usize,
}

/// Everything that was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Findings {
    /// What the callers heard, the hostile tenant's second one last.
    pub calls: Vec<Answered>,
    /// How the hostile tenant's first call ended.
    pub death: Death,
}

impl Findings {
    fn of(&self, hostile: bool) -> Vec<&Answered> {
        self.calls.iter().filter(|call| (call.tenant == HOSTILE) == hostile).collect()
    }
}

fn told(ms: Option<u64>) -> String {
    ms.map_or("never".to_owned(), |ms| format!("{ms} ms"))
}

fn listed<'a>(calls: impl IntoIterator<Item = &'a Answered>, text: impl Fn(&Answered) -> String) -> String {
    let texts: Vec<String> = calls.into_iter().map(|call| format!("{} {}", call.tenant, text(call))).collect();
    if texts.is_empty() { "nobody called".to_owned() } else { texts.join(", ") }
}

fn answered(findings: &Findings) -> Check {
    let first: Vec<_> = findings.calls.iter().take(3).collect();
    let good = |call: &&Answered| call.caller.first_audio_ms.is_some() && call.caller.error.is_none();
    let of_error = |call: &Answered| call.caller.error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
    Check {
        name: "calls answered",
        passed: first.len() == 3 && first.iter().all(good),
        text: format!(
            "the first sound of the agent after the dispatch: {}",
            listed(first, |call| told(call.caller.first_audio_ms) + &of_error(call))
        ),
    }
}

fn understood(siblings: &[&Answered]) -> Check {
    let took = |call: &Answered| {
        let (spoken, answered) = (call.caller.spoken_ms?, call.caller.answered_ms?);
        Some(answered.saturating_sub(spoken))
    };
    Check {
        name: "callers understood",
        passed: !siblings.is_empty() && siblings.iter().all(|call| took(call).is_some()),
        text: format!(
            "from the caller's last word to the agent's first: {}",
            listed(siblings.iter().copied(), |call| told(took(call)))
        ),
    }
}

fn unheard(siblings: &[&Answered], death: &Death) -> Check {
    let held = |call: &&Answered| call.gap_after_ms <= call.gap_limit_ms() && call.silent_after_s == 0;
    let text = |call: &Answered| {
        let silent =
            if call.silent_after_s > 0 { format!(" and {} s of silence", call.silent_after_s) } else { String::new() };
        format!("{} ms before and {} ms after{silent}", call.gap_before_ms, call.gap_after_ms)
    };
    Check {
        name: "death not heard",
        passed: death.at_unix_ms.is_some() && !siblings.is_empty() && siblings.iter().all(held),
        text: format!(
            "the longest gap that the siblings' callers heard: {} (limit {GAP_MS_MAX} ms, or that of before)",
            listed(siblings.iter().copied(), text)
        ),
    }
}

fn went_on(siblings: &[&Answered], death: &Death) -> Check {
    let good = |call: &&Answered| call.heard_after_s > 0.0 && call.until_the_end();
    Check {
        name: "siblings' calls",
        passed: !siblings.is_empty() && death.siblings_failed == 0 && siblings.iter().all(good),
        text: format!(
            "heard until their callers left: {}; {} failed",
            listed(siblings.iter().copied(), |call| format!(
                "{:.1} s before and {:.1} s after",
                call.heard_before_s, call.heard_after_s
            )),
            death.siblings_failed
        ),
    }
}

fn reported(hostile: Option<&Answered>, death: &Death) -> Check {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
    let failed = death.status.as_deref() == Some("failed");
    let told = death.server_said.as_deref().is_some_and(|said| said.contains("JS_FAILED"));
    Check {
        name: "failed job reported",
        passed: failed && told,
        text: format!(
            "{HOSTILE} was heard for {:.1} s; its session: {}, {}: {}. The server: {}",
            hostile.map_or(0.0, |call| call.heard_before_s + call.heard_after_s),
            text(&death.status),
            text(&death.reason),
            text(&death.supervisor_said),
            if told { "JS_FAILED, with that error" } else { "no failed job" }
        ),
    }
}

fn served_again(again: Option<&Answered>) -> Check {
    let first = again.and_then(|call| call.caller.first_audio_ms);
    Check {
        name: "served again",
        passed: first.is_some(),
        text: format!("{HOSTILE}'s next call, in a new host: heard after {}", told(first)),
    }
}

/// Holds what was heard against what was promised.
pub fn judge(findings: Findings, walls: &[WallRow]) -> Verdict<Findings> {
    let (siblings, hostile) = (findings.of(false), findings.of(true));
    let checks = vec![
        answered(&findings),
        understood(&siblings),
        unheard(&siblings, &findings.death),
        went_on(&siblings, &findings.death),
        reported(hostile.first().copied(), &findings.death),
        served_again(hostile.get(1).copied()),
    ];
    Verdict::of(checks, walls, findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEATH_MS: u64 = 1_000_005_300;

    fn caller(heard: &[u64], gaps: &[u64]) -> Heard {
        Heard {
            began_unix_ms: 1_000_000_000,
            first_audio_ms: Some(700),
            spoken_ms: Some(2_000),
            answered_ms: Some(2_600),
            last_audio_ms: Some(8_900),
            left_ms: Some(9_000),
            heard_ms_by_second: heard.to_vec(),
            longest_gap_ms_by_second: gaps.to_vec(),
            ..Heard::default()
        }
    }

    const WELL: ([u64; 9], [u64; 9]) =
        ([300, 900, 0, 700, 700, 700, 700, 700, 700], [0, 40, 0, 40, 40, 40, 60, 40, 40]);

    fn findings(sibling: Heard) -> Findings {
        let well = caller(&WELL.0, &WELL.1);
        let call = |tenant: &str, caller: &Heard| Answered::of(tenant, caller.clone(), Some(DEATH_MS));
        Findings {
            calls: vec![call("acme-corp", &sibling), call("globex", &well), call(HOSTILE, &well), call(HOSTILE, &well)],
            death: Death {
                at_unix_ms: Some(DEATH_MS),
                status: Some("failed".to_owned()),
                reason: Some("crashed".to_owned()),
                server_said: Some("job ended … JS_FAILED".to_owned()),
                ..Death::default()
            },
        }
    }

    fn failed(sibling: Heard) -> Vec<&'static str> {
        judge(findings(sibling), &[]).failed()
    }

    #[test]
    fn what_was_heard_is_split_at_the_death() {
        let call = &findings(caller(&WELL.0, &WELL.1)).calls[0];
        assert_eq!((call.heard_before_s, call.heard_after_s), (2.6, 2.8));
        assert_eq!((call.gap_before_ms, call.gap_after_ms, call.silent_after_s), (40, 60, 0));
    }

    #[test]
    fn a_call_that_goes_on_passes_and_one_with_a_gap_a_silence_or_an_early_end_does_not() {
        assert_eq!(failed(caller(&WELL.0, &WELL.1)), [""; 0]);
        let mut gaps = WELL.1;
        gaps[6] = 140;
        assert_eq!(failed(caller(&WELL.0, &gaps)), ["death not heard"]);
        let mut heard = WELL.0;
        heard[7] = 0;
        assert_eq!(failed(caller(&heard, &WELL.1)), ["death not heard"]);
        let early = Heard { last_audio_ms: Some(6_000), ..caller(&WELL.0[..6], &WELL.1[..6]) };
        assert_eq!(failed(early), ["death not heard", "siblings' calls"]);
    }

    #[test]
    fn a_death_that_the_server_was_not_told_of_fails() {
        let mut findings = findings(caller(&WELL.0, &WELL.1));
        findings.death.server_said = Some("job ended … JS_SUCCESS".to_owned());
        assert_eq!(judge(findings, &[]).failed(), ["failed job reported"]);
    }
}
