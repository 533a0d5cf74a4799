//! From what was told during the story to the figures of the verdict.
//!
//! Owns: the definition of each figure. Never: holds one against a limit.

use openrtc_control_api::WallRow;
use serde_json::Value;

use super::client::{Answer, Happening, What};
use super::config::WALL_MB;
use super::measure::{Lateness, lateness};
use super::story::Told;
use super::verdict::{Breaker, Call, Findings, Hog, Spin, Unwalled};

/// A stretch of time, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// Begin.
    pub began_unix_ms: u64,
    /// End.
    pub ended_unix_ms: u64,
}

impl Window {
    /// All time.
    const ALWAYS: Self = Self { began_unix_ms: 0, ended_unix_ms: u64::MAX };

    fn holds(self, at_unix_ms: u64) -> bool {
        (self.began_unix_ms..=self.ended_unix_ms).contains(&at_unix_ms)
    }
}

/// Everything that was told.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The siblings' calls alone.
    pub alone: Vec<Told>,
    /// Their calls beside the hostile tenant.
    pub beside: Vec<Told>,
    /// From the hog's dispatch to the first refusal: when the hostile tenant was attacking.
    pub attack: Window,
    /// The hog behind its wall.
    pub hog: Option<Answer>,
    /// The spinner.
    pub spin: Option<Answer>,
    /// The hog without its wall.
    pub unwalled: Option<Answer>,
    /// Where that stops by itself, in MiB.
    pub stop_mb: u64,
    /// What the breaker did.
    pub breaker: Breaker,
    /// The walls around the hostile tenant's host.
    pub walls: Vec<WallRow>,
    /// What the observer wrote.
    pub happenings: Vec<Happening>,
}

fn session_of(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Ended { session, .. } => Some(session),
        Answer::Rejected { .. } => None,
    }
}

impl Evidence {
    /// The sessions whose events matter.
    pub fn sessions(&self) -> Vec<String> {
        let calls = self.alone.iter().chain(&self.beside).map(|told| &told.answer);
        let attacks = [&self.hog, &self.spin, &self.unwalled].into_iter().flatten();
        calls.chain(attacks).filter_map(session_of).map(str::to_owned).collect()
    }

    fn of(&self, answer: Option<&Answer>) -> Vec<&Happening> {
        let Some(session) = answer.and_then(session_of) else { return Vec::new() };
        self.happenings.iter().filter(|happening| happening.session == session).collect()
    }

    /// An agent's own events of this name, with its figures.
    fn customs(&self, answer: Option<&Answer>, wanted: &str) -> Vec<&Value> {
        let mut found = Vec::new();
        for happening in self.of(answer) {
            match &happening.what {
                What::Custom { name, data } if name == wanted => found.push(data),
                _ => {}
            }
        }
        found
    }

    /// How late frames were; only those told within the window.
    fn frames(&self, calls: &[Told], window: Window) -> Option<Lateness> {
        let mut samples = Vec::new();
        for told in calls {
            for happening in self.of(Some(&told.answer)) {
                match &happening.what {
                    What::Latency { stage, micros } if stage == "frame" && window.holds(happening.at_unix_ms) => {
                        samples.push(*micros);
                    }
                    _ => {}
                }
            }
        }
        lateness(samples)
    }

    fn call(&self, told: &Told) -> Call {
        let turns = self.of(Some(&told.answer)).iter().filter(|happening| happening.what == What::Turn).count();
        let outcome = match &told.answer {
            Answer::Ended { status, .. } if status == "success" => status.clone(),
            Answer::Ended { status, reason, .. } => format!("{status} ({reason})"),
            Answer::Rejected { reason, .. } => format!("refused ({reason})"),
        };
        Call {
            tenant: told.tenant.to_owned(),
            outcome,
            turns_spoken: told.play.turns(),
            turns_heard: turns.try_into().unwrap_or(u64::MAX),
        }
    }

    fn wall(&self, name: &str) -> Option<WallRow> {
        self.walls.iter().find(|wall| wall.wall == name).cloned()
    }

    fn hog(&self) -> Hog {
        let answer = self.hog.as_ref();
        let started = self.customs(answer, "hog_started");
        let touched = self.customs(answer, "hog_touched");
        let steps = started.iter().chain(&touched).map(|data| (figure(data, "mb"), figure(data, "at_unix_micros")));
        let within_micros = steps.clone().filter(|(mb, _)| *mb < WALL_MB).map(|(_, micros)| micros).max();
        let ended_ms = self.of(answer).iter().filter(|it| it.what == What::Ended).map(|it| it.at_unix_ms).next();
        let took = within_micros.zip(ended_ms).map(|(micros, ended_ms)| ended_ms.saturating_sub(micros / 1000));
        let (session_reason, host_exit) = match answer {
            Some(Answer::Ended { reason, exit, .. }) => (reason.clone(), exit.clone()),
            Some(Answer::Rejected { reason, .. }) => (format!("refused ({reason})"), None),
            None => (String::new(), None),
        };
        Hog {
            session_reason,
            host_exit,
            touched_mb: steps.map(|(mb, _)| mb).max().unwrap_or(0),
            refused_at_mb: self.customs(answer, "hog_refused").first().map(|data| figure(data, "mb")),
            stopped_within_ms: took,
            wall: self.wall("memory"),
        }
    }

    fn unwalled(&self) -> Unwalled {
        let answer = self.unwalled.as_ref();
        let at = |name: &str| self.customs(answer, name).first().map(|data| figure(data, "at_unix_micros"));
        let touched = self.customs(answer, "hog_touched");
        let last = touched.iter().max_by_key(|data| figure(data, "mb"));
        let took = at("hog_started").zip(last.map(|data| figure(data, "at_unix_micros")));
        Unwalled {
            reached_mb: last.map_or(0, |data| figure(data, "mb")),
            took_ms: took.map_or(0, |(from, to)| to.saturating_sub(from) / 1000),
            stop_mb: self.stop_mb,
        }
    }

    fn spin(&self, limit_pct: u64) -> Spin {
        let stopped = self.customs(self.spin.as_ref(), "spin_stopped");
        let stopped = stopped.first();
        let share = |data: &&Value| (figure(data, "cpu_ms") * 100).checked_div(figure(data, "wall_ms"));
        Spin {
            cpu_pct: stopped.and_then(share),
            limit_pct,
            threads: stopped.map_or(0, |data| figure(data, "threads")),
            wall: self.wall("cpu"),
        }
    }

    /// The figures; the hostile tenant's CPU wall was at `cpu_limit_pct`.
    pub fn findings(&self, cpu_limit_pct: u32) -> Findings {
        Findings {
            hog: self.hog(),
            unwalled: self.unwalled(),
            spin: self.spin(u64::from(cpu_limit_pct)),
            breaker: self.breaker.clone(),
            calls: self.alone.iter().chain(&self.beside).map(|told| self.call(told)).collect(),
            alone: self.frames(&self.alone, Window::ALWAYS),
            beside: self.frames(&self.beside, self.attack),
            walls: self.walls.clone(),
        }
    }
}

fn figure(data: &Value, key: &str) -> u64 {
    data.get(key).and_then(Value::as_u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::props::Play;
    use super::*;

    fn ended(session: &str, status: &str, reason: &str) -> Answer {
        let (session, status, reason) = (session.to_owned(), status.to_owned(), reason.to_owned());
        Answer::Ended { session, status, reason, exit: Some("mem_watchdog".to_owned()) }
    }

    fn happening(session: &str, at_unix_ms: u64, what: What) -> Happening {
        Happening { session: session.to_owned(), at_unix_ms, what }
    }

    fn custom(session: &str, name: &str, data: Value) -> Happening {
        happening(session, 0, What::Custom { name: name.to_owned(), data })
    }

    fn frame(session: &str, at_unix_ms: u64, micros: u64) -> Happening {
        happening(session, at_unix_ms, What::Latency { stage: "frame".to_owned(), micros })
    }

    #[test]
    fn the_hogs_time_runs_from_its_last_step_within_the_wall_to_the_sessions_end() {
        let step = |mb: u64, ms: u64| custom("h", "hog_touched", json!({"mb": mb, "at_unix_micros": ms * 1000}));
        let mut evidence = Evidence { hog: Some(ended("h", "failed", "memory_limit")), ..Evidence::default() };
        evidence.happenings = vec![
            custom("h", "hog_started", json!({"mb": 0, "at_unix_micros": 1_000_000})),
            step(112, 1_100),
            step(WALL_MB, 1_120),
            step(240, 1_200),
            custom("h", "hog_refused", json!({"mb": 240})),
            happening("h", 1_350, What::Ended),
        ];
        let hog = evidence.hog();
        assert_eq!((hog.stopped_within_ms, hog.touched_mb, hog.refused_at_mb), (Some(250), 240, Some(240)));
        assert_eq!(hog.host_exit.as_deref(), Some("mem_watchdog"));
        evidence.happenings.truncate(5);
        assert_eq!(evidence.hog().stopped_within_ms, None);
    }

    #[test]
    fn a_hog_that_was_killed_before_its_first_step_is_timed_from_its_start() {
        let mut evidence = Evidence { hog: Some(ended("h", "failed", "memory_limit")), ..Evidence::default() };
        evidence.happenings = vec![
            custom("h", "hog_started", json!({"mb": 0, "at_unix_micros": 1_000_000})),
            happening("h", 1_080, What::Ended),
        ];
        assert_eq!(evidence.hog().stopped_within_ms, Some(80));
    }

    #[test]
    fn only_frames_within_the_attack_count_as_beside_and_only_those_of_the_calls() {
        let told = |session: &str| Told {
            tenant: "acme-corp",
            play: Play::Beside,
            answer: ended(session, "success", "completed"),
        };
        let evidence = Evidence {
            alone: vec![told("a")],
            beside: vec![told("b")],
            attack: Window { began_unix_ms: 100, ended_unix_ms: 200 },
            happenings: vec![
                frame("a", 5, 10),
                frame("b", 99, 7_777),
                frame("b", 150, 30),
                frame("b", 201, 7_777),
                frame("other", 150, 9_999),
            ],
            ..Evidence::default()
        };
        let findings = evidence.findings(100);
        assert_eq!(findings.alone.map(|it| (it.samples, it.max_micros)), Some((1, 10)));
        assert_eq!(findings.beside.map(|it| (it.samples, it.max_micros)), Some((1, 30)));
    }

    #[test]
    fn a_call_counts_its_own_turns_and_names_its_end() {
        let told = |answer| Told { tenant: "globex", play: Play::Alone, answer };
        let evidence = Evidence {
            alone: vec![
                told(ended("a", "success", "completed")),
                told(ended("b", "failed", "host_exit")),
                told(Answer::Rejected { reason: "draining".to_owned(), retry_after_ms: None }),
            ],
            happenings: vec![
                happening("a", 1, What::Turn),
                happening("a", 2, What::Turn),
                happening("x", 3, What::Turn),
            ],
            ..Evidence::default()
        };
        let calls = evidence.findings(100).calls;
        assert_eq!((calls[0].outcome.as_str(), calls[0].turns_heard, calls[0].turns_spoken), ("success", 2, 3));
        assert_eq!(calls[1].outcome, "failed (host_exit)");
        assert_eq!(calls[2].outcome, "refused (draining)");
    }

    #[test]
    fn the_spinners_share_is_cpu_over_wall_time() {
        let mut evidence = Evidence { spin: Some(ended("s", "success", "completed")), ..Evidence::default() };
        assert_eq!(evidence.spin(100).cpu_pct, None);
        let data = json!({"threads": 2, "wall_ms": 3000, "cpu_ms": 3150});
        evidence.happenings = vec![custom("s", "spin_stopped", data)];
        assert_eq!((evidence.spin(100).cpu_pct, evidence.spin(100).threads), (Some(105), 2));
    }

    #[test]
    fn the_unwalled_hog_reached_its_highest_step() {
        let mut evidence = Evidence { unwalled: Some(ended("u", "success", "completed")), ..Evidence::default() };
        evidence.happenings = vec![
            custom("u", "hog_started", json!({"mb": 0, "at_unix_micros": 1_000_000})),
            custom("u", "hog_touched", json!({"mb": 16, "at_unix_micros": 1_010_000})),
            custom("u", "hog_touched", json!({"mb": 512, "at_unix_micros": 1_300_000})),
        ];
        let unwalled = evidence.findings(100).unwalled;
        assert_eq!((unwalled.reached_mb, unwalled.took_ms), (512, 300));
    }
}
