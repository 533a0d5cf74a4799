//! What was seen, against what was promised.
//!
//! Owns: when a wall held, and when the victim was served in time. Never: measures.

use serde::Serialize;
use serde_json::Value;

use super::attack::stop_mb;
use super::{Attack, Evidence, Report, Seen};
use crate::demo::client::{Answer, Happening, What};
use crate::demo::measure::{Lateness, lateness};
use crate::demo::verdict::{P99_FACTOR_MAX, P99_MICROS_ALLOWED};
use openrtc_control_api::Strength;

/// CPU measured over some seconds may exceed its wall by this share, in percent.
const CPU_SLACK_PCT: u64 = 25;
/// Bytes of one flood that may reach the log: 1 MiB a second of its host, and what it began with.
const LOG_BYTES_MAX: u64 = 8 << 20;
/// With fewer samples there is no p99 to speak of.
const SAMPLES_MIN: usize = 20;

/// The verdict on one attack.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// Which.
    pub attack: Attack,
    /// Whether its wall held and the victim was served in time.
    pub passed: bool,
    /// Whether its wall held.
    pub held: bool,
    /// What held it, or how far it came.
    pub by: String,
    /// How late the victim's frames were meanwhile; none where it was over too soon to tell.
    pub victim: Option<Lateness>,
}

pub(super) fn judge(evidence: &Evidence, cpu_max_pct: u32) -> Report {
    let first = evidence.attacks.first().map_or(u64::MAX, |seen| seen.began_unix_ms);
    let victim_alone = victims(evidence, evidence.began_unix_ms, first);
    let alone_p99 = victim_alone.map_or(0, |alone| alone.p99_micros);
    let allowed_p99_micros = (alone_p99 * P99_FACTOR_MAX).max(P99_MICROS_ALLOWED);
    let attacks: Vec<Judged> = evidence
        .attacks
        .iter()
        .map(|seen| {
            let (held, by) = held(seen, evidence, cpu_max_pct);
            let victim = victims(evidence, seen.began_unix_ms, seen.ended_unix_ms);
            let in_time = victim.is_none_or(|victim| victim.p99_micros <= allowed_p99_micros);
            Judged { attack: seen.attack, passed: held && in_time, held, by, victim }
        })
        .collect();
    let lost = |answer: &&Answer| !matches!(answer, Answer::Ended { status, .. } if status == "success");
    let victim_calls_lost = evidence.calls.iter().filter(lost).count();
    let passed = victim_calls_lost == 0 && victim_alone.is_some() && attacks.iter().all(|attack| attack.passed);
    Report {
        passed,
        victim_alone,
        allowed_p99_micros,
        victim_calls: evidence.calls.len(),
        victim_calls_lost,
        attacks,
        walls: evidence.walls.clone(),
        seconds: 0.0,
    }
}

/// How late the victim's frames were in a window; none where there are too few.
fn victims(evidence: &Evidence, from: u64, to: u64) -> Option<Lateness> {
    let own = |session: &str| {
        evidence.calls.iter().any(|call| matches!(call, Answer::Ended { session: known, .. } if known == session))
    };
    let samples = evidence.happenings.iter().filter(|it| (from..to).contains(&it.at_unix_ms) && own(&it.session));
    let micros = samples.filter_map(|it| match &it.what {
        What::Latency { stage, micros } if stage == "frame" => Some(*micros),
        _ => None,
    });
    let micros: Vec<u64> = micros.collect();
    if micros.len() < SAMPLES_MIN { None } else { lateness(micros) }
}

/// What the attacker said under this name, in its own session.
fn said<'a>(seen: &'a Seen, happenings: &'a [Happening], wanted: &'static str) -> impl Iterator<Item = &'a Value> {
    let own = match &seen.answer {
        Answer::Ended { session, .. } => session.as_str(),
        Answer::Rejected { .. } => "",
    };
    happenings.iter().filter(move |it| it.session == own).filter_map(move |it| match &it.what {
        What::Custom { name, data } if name == wanted => Some(data),
        _ => None,
    })
}

fn held(seen: &Seen, evidence: &Evidence, cpu_max_pct: u32) -> (bool, String) {
    let (status, reason, exit) = match &seen.answer {
        Answer::Ended { status, reason, exit, .. } => (status.as_str(), reason.as_str(), exit.as_deref().unwrap_or("")),
        Answer::Rejected { reason, .. } => return (false, format!("the attack was refused: {reason}")),
    };
    let happenings = &evidence.happenings;
    let last = |name| said(seen, happenings, name).last();
    match seen.attack {
        Attack::Memory => {
            let reached = last("hog_touched").and_then(|data| data["mb"].as_u64()).unwrap_or(0);
            let refused = last("hog_refused").is_some();
            let by = if status == "failed" { format!("ended with {exit}") } else { reason.to_owned() };
            (status == "failed" || refused, format!("{by} at {reached} MiB of {}", stop_mb()))
        }
        Attack::Cpu => cpu(last("spin_stopped"), evidence, cpu_max_pct),
        Attack::Forks => match last("forks_stopped") {
            Some(data) => {
                let refused = data["refused"].as_bool() == Some(true);
                let word = if refused { "refused after" } else { "not refused:" };
                (refused, format!("{word} {} processes", data["children"]))
            }
            None => (status == "failed", format!("{status}: {reason} {exit}")),
        },
        Attack::LogFlood => {
            // Under its own flood the event itself may be dropped.
            let wrote = last("lines_stopped").map_or_else(String::new, |data| format!("{} KiB written, ", data["kib"]));
            (seen.log_bytes <= LOG_BYTES_MAX, format!("{wrote}{} KiB in the log", seen.log_bytes / 1024))
        }
        Attack::EventFlood => {
            let told = said(seen, happenings, "flood").count();
            let held = seen.dropped > 0 || status == "failed";
            (held, format!("{told} events told, {} dropped", seen.dropped))
        }
        Attack::MalformedFrames => {
            (status == "failed" && reason.starts_with("protocol_violation"), format!("{status}: {reason}"))
        }
        Attack::Escape => escape(said(seen, happenings, "escape_tried")),
    }
}

fn cpu(stopped: Option<&Value>, evidence: &Evidence, cpu_max_pct: u32) -> (bool, String) {
    let Some(data) = stopped else { return (false, "it did not say how much it had".to_owned()) };
    let wall_ms = data["wall_ms"].as_u64().unwrap_or(1).max(1);
    let percent = data["cpu_ms"].as_u64().unwrap_or(0) * 100 / wall_ms;
    let by_kernel = evidence.walls.iter().any(|wall| wall.wall == "cpu" && wall.strength == Strength::Kernel);
    let limit = u64::from(cpu_max_pct);
    match by_kernel {
        true => {
            (percent <= limit + limit * CPU_SLACK_PCT / 100, format!("{percent} % of a core, the wall is {limit} %"))
        }
        // Without a quota its priority is lowered: what counts is what the victim felt.
        false => (true, format!("{percent} % of a core, at a lower priority")),
    }
}

fn escape<'a>(tried: impl Iterator<Item = &'a Value>) -> (bool, String) {
    let tried: Vec<&Value> = tried.collect();
    let worked: Vec<&str> =
        tried.iter().filter(|it| it["worked"] == true).filter_map(|it| it["way"].as_str()).collect();
    match (tried.is_empty(), worked.is_empty()) {
        (true, _) => (false, "nothing was tried".to_owned()),
        (false, true) => (true, format!("{} ways out, all denied", tried.len())),
        (false, false) => (false, format!("it could {}", worked.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(attack: Attack, status: &str, reason: &str) -> Seen {
        let (session, exit) = ("s-2".to_owned(), None);
        let answer = Answer::Ended { session, status: status.to_owned(), reason: reason.to_owned(), exit };
        Seen { attack, answer, began_unix_ms: 1_000, ended_unix_ms: 2_000, dropped: 0, log_bytes: 0 }
    }

    fn told(session: &str, at_unix_ms: u64, what: What) -> Happening {
        Happening { session: session.to_owned(), at_unix_ms, what }
    }

    fn frame(at_unix_ms: u64, micros: u64) -> Happening {
        told("s-1", at_unix_ms, What::Latency { stage: "frame".to_owned(), micros })
    }

    fn evidence(attacks: Vec<Seen>, more: Vec<Happening>) -> Evidence {
        let (session, status, reason) = ("s-1".to_owned(), "success".to_owned(), "completed".to_owned());
        let mut happenings: Vec<Happening> = (0..50).map(|at| frame(at, 100)).collect();
        happenings.extend(more);
        let calls = vec![Answer::Ended { session, status, reason, exit: None }];
        Evidence { calls, attacks, happenings, walls: Vec::new(), began_unix_ms: 0 }
    }

    #[test]
    fn a_way_out_that_worked_fails_the_test_and_is_named() {
        let tried = |way: &str, worked: bool| {
            let data = json!({"way": way, "worked": worked});
            told("s-2", 1_500, What::Custom { name: "escape_tried".to_owned(), data })
        };
        let attack = || vec![seen(Attack::Escape, "success", "completed")];
        let good = judge(&evidence(attack(), vec![tried("a", false), tried("b", false)]), 100);
        assert!(good.passed, "{good:?}");
        let bad = judge(&evidence(attack(), vec![tried("read a sibling's memory", true), tried("b", false)]), 100);
        assert!(!bad.passed && bad.attacks[0].by.contains("read a sibling's memory"), "{bad:?}");
        assert!(!judge(&evidence(attack(), Vec::new()), 100).passed);
    }

    #[test]
    fn a_victim_that_is_served_late_fails_the_attack_though_its_wall_held() {
        let attack = || vec![seen(Attack::MalformedFrames, "failed", "protocol_violation{malformed}")];
        let late = |micros| (0..50).map(|at| frame(1_000 + at, micros)).collect();
        assert!(judge(&evidence(attack(), late(P99_MICROS_ALLOWED)), 100).passed);
        let bad = judge(&evidence(attack(), late(P99_MICROS_ALLOWED + 1)), 100);
        assert_eq!((bad.passed, bad.attacks[0].held, bad.attacks[0].passed), (false, true, false));
    }

    #[test]
    fn a_call_of_the_victim_that_is_lost_fails_the_test() {
        let mut evidence = evidence(Vec::new(), Vec::new());
        assert!(judge(&evidence, 100).passed);
        evidence.calls.push(Answer::Rejected { reason: "global_cap".to_owned(), retry_after_ms: None });
        assert!(!judge(&evidence, 100).passed);
    }

    #[test]
    fn a_wall_that_did_not_hold_is_told_with_how_far_the_attack_came() {
        for (attack, name, data, part) in [
            (Attack::Memory, "hog_touched", json!({"mb": 256}), "at 256 MiB of 256"),
            (Attack::Forks, "forks_stopped", json!({"children": 200, "refused": false}), "not refused: 200"),
        ] {
            let more = vec![told("s-2", 1_500, What::Custom { name: name.to_owned(), data })];
            let report = judge(&evidence(vec![seen(attack, "success", "completed")], more), 100);
            assert!(!report.passed && report.attacks[0].by.contains(part), "{report:?}");
        }
    }
}
