//! The story: the siblings alone, then beside a hostile tenant, then the hog without its wall.
//!
//! Owns: the order of what is asked of the supervisor, and when. Never: measures by anything but what the supervisor
//! and its agents told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::client::{Answer, Ask, Client, ClientError, What};
use super::config::{COOLDOWN_S, HOSTILE, SIBLINGS, UNWALLED, WALL_MB};
use super::findings::{Evidence, Window};
use super::props::Play;
use super::stage::Stage;
use super::table::Board;
use super::verdict::Breaker;

/// Calls that each sibling handles at once.
const CALLS_EACH: u64 = 2;
/// Crashes that are tried at most before the breaker should have opened.
const CRASHES_MAX: u64 = 12;
/// How long a refusal for want of a host is waited out.
const HOST_DEADLINE: Duration = Duration::from_secs(10);
/// How often the supervisor is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long the observer may take to write what has happened.
const EVENTS_DEADLINE: Duration = Duration::from_secs(3);
/// How long the hostile tenant spins, in seconds.
const SPIN_S: u64 = 3;

/// A call of a sibling: what was asked, and what came of it.
#[derive(Debug, Clone)]
pub struct Told {
    /// Whose.
    pub tenant: &'static str,
    /// What was played.
    pub play: Play,
    /// How it came out.
    pub answer: Answer,
}

fn how(answer: &Answer) -> String {
    match answer {
        Answer::Ended { status, reason, .. } if status == "success" => format!("success: {reason}"),
        Answer::Ended { status, reason, .. } => format!("{status}: {reason}"),
        Answer::Rejected { reason, .. } => format!("refused: {reason}"),
    }
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn calls(stage: &Stage, board: &Board, play: Play) -> JoinSet<Result<Told, ClientError>> {
    let mut calls = JoinSet::new();
    for tenant in SIBLINGS {
        for call in 1..=CALLS_EACH {
            let (client, board) = (stage.client.clone(), board.clone());
            let ask = Ask {
                tenant,
                agent: "support",
                room: format!("{tenant}_support-{call}"),
                metadata: json!({"tenant": tenant}),
                input: Some(play.file(stage.dir())),
            };
            calls.spawn(async move {
                let answer = client.dispatch(&ask).await?;
                board.ended(tenant, how(&answer));
                Ok(Told { tenant, play, answer })
            });
        }
    }
    calls
}

async fn gathered(mut calls: JoinSet<Result<Told, ClientError>>) -> Result<Vec<Told>, ClientError> {
    let mut told = Vec::new();
    while let Some(call) = calls.join_next().await {
        match call {
            Ok(call) => told.push(call?),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    Ok(told)
}

/// One tenant doing harm.
struct Attacker<'a> {
    stage: &'a Stage,
    board: &'a Board,
    tenant: &'static str,
}

impl Attacker<'_> {
    async fn once(&self, agent: &'static str, metadata: serde_json::Value) -> Result<Answer, ClientError> {
        let input = (agent == "support").then(|| Play::Good.file(self.stage.dir()));
        let room = format!("{}_{agent}-1", self.tenant);
        let answer = self.stage.client.dispatch(&Ask { tenant: self.tenant, agent, room, metadata, input }).await?;
        self.board.ended(self.tenant, format!("{agent} {}", how(&answer)));
        Ok(answer)
    }

    /// Asks again while there is no host because the last one has just died.
    async fn act(&self, agent: &'static str, metadata: serde_json::Value) -> Result<Answer, ClientError> {
        let deadline = Instant::now() + HOST_DEADLINE;
        loop {
            match self.once(agent, metadata.clone()).await? {
                Answer::Rejected { reason, retry_after_ms }
                    if reason == "host_unavailable" && Instant::now() < deadline =>
                {
                    sleep(Duration::from_millis(retry_after_ms.unwrap_or(200).clamp(50, 2_000))).await;
                }
                answer => return Ok(answer),
            }
        }
    }

    /// Crashes until it is refused.
    async fn crash(&self, breaker: &mut Breaker) -> Result<(), ClientError> {
        for _ in 0..CRASHES_MAX {
            match self.act("crash", json!({})).await? {
                Answer::Ended { status, .. } => breaker.failed_sessions += u64::from(status == "failed"),
                Answer::Rejected { reason, retry_after_ms } => {
                    breaker.refused_with = Some(reason);
                    breaker.retry_after_ms = retry_after_ms;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Waits the cooldown out and behaves.
    async fn behave(&self, breaker: &mut Breaker) -> Result<(), ClientError> {
        let deadline = Instant::now() + Duration::from_secs(2 * COOLDOWN_S + 1);
        let mut wait_ms = breaker.retry_after_ms.unwrap_or(COOLDOWN_S * 1000);
        loop {
            sleep(Duration::from_millis(wait_ms.clamp(100, 2 * COOLDOWN_S * 1000))).await;
            let answer = self.act("support", json!({})).await?;
            breaker.good_call = Some(match &answer {
                Answer::Ended { status, .. } => status.clone(),
                Answer::Rejected { reason, .. } => reason.clone(),
            });
            match answer {
                Answer::Rejected { reason, retry_after_ms }
                    if reason == "circuit_open" && Instant::now() < deadline =>
                {
                    wait_ms = retry_after_ms.unwrap_or(200);
                }
                _ => return Ok(()),
            }
        }
    }
}

/// Where the hog stops by itself, in MiB: four times the wall, less on a machine that has little to spare.
fn stop_mb() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kb: Option<u64> = available.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let spare_mb = kb.unwrap_or(0) / 1024 / 2;
    spare_mb.clamp(2 * WALL_MB, 4 * WALL_MB)
}

/// Phase 2: the attack, while the siblings work. The window closes when the breaker has opened.
async fn attack(stage: &Stage, board: &Board, evidence: &mut Evidence) -> Result<(), ClientError> {
    let attacker = Attacker { stage, board, tenant: HOSTILE };
    let began_unix_ms = unix_ms();
    // Held, so that a wall that samples has something to see after RLIMIT_DATA refused more.
    let greed = json!({"stop_mb": (2 * stop_mb()).to_string(), "seconds": "3", "hold_s": "3"});
    let hog = attacker.act("hog", greed).await?;
    evidence.breaker.failed_sessions = u64::from(matches!(&hog, Answer::Ended { status, .. } if status == "failed"));
    evidence.hog = Some(hog);
    evidence.spin = Some(attacker.act("spin", json!({"seconds": SPIN_S.to_string()})).await?);
    attacker.crash(&mut evidence.breaker).await?;
    evidence.attack = Window { began_unix_ms, ended_unix_ms: unix_ms() };
    attacker.behave(&mut evidence.breaker).await
}

/// Waits until the observer has written the end of each session that had one.
async fn happenings(client: &Client, sessions: &[String]) -> Result<Vec<super::client::Happening>, ClientError> {
    let deadline = Instant::now() + EVENTS_DEADLINE;
    loop {
        let happenings = client.happenings().await?;
        let ended = |session: &String| happenings.iter().any(|it| it.what == What::Ended && it.session == *session);
        if sessions.iter().all(ended) || Instant::now() > deadline {
            return Ok(happenings);
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn scenes(stage: &Stage, board: &Board) -> Result<Evidence, ClientError> {
    let mut evidence = Evidence { stop_mb: stop_mb(), ..Evidence::default() };
    board.phase("1/3  acme-corp and globex alone: two calls each, 6 s");
    evidence.alone = gathered(calls(stage, board, Play::Alone)).await?;
    board.phase("2/3  beside initech, which takes memory, spins and crashes; about 11 s");
    let beside = calls(stage, board, Play::Beside);
    attack(stage, board, &mut evidence).await?;
    evidence.beside = gathered(beside).await?;
    board.phase("3/3  initech's memory hog once more, without its wall; about 1 s");
    let attacker = Attacker { stage, board, tenant: UNWALLED };
    let greed = json!({"stop_mb": evidence.stop_mb.to_string(), "seconds": "2", "hold_s": "0.5"});
    evidence.unwalled = Some(attacker.act("hog", greed).await?);
    evidence.happenings = happenings(&stage.client, &evidence.sessions()).await?;
    evidence.walls = board.walls(HOSTILE);
    Ok(evidence)
}

/// Shows the supervisor's view on the table until it cannot be asked any more.
pub(super) async fn watch(client: &Client, board: &Board) -> ClientError {
    loop {
        match client.snapshot().await {
            Ok(snapshot) => board.update(&snapshot),
            Err(error) => return error,
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Plays the story to its end while the table shows it.
///
/// # Errors
/// When the supervisor cannot be asked any more.
pub async fn play(stage: &Stage, board: &Board) -> Result<Evidence, ClientError> {
    tokio::select! {
        evidence = scenes(stage, board) => evidence,
        error = watch(&stage.client, board) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hog_stops_past_the_wall_and_within_four_times_it() {
        assert!((2 * WALL_MB..=4 * WALL_MB).contains(&stop_mb()));
    }
}
