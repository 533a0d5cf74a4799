//! `selftest isolation`: a hostile tenant beside a victim, and which walls held.
//!
//! Owns: the run from start to verdict, and that nothing of it is left behind. Never: touches a supervisor that runs here
//! already: it starts one of its own, in a directory of its own, with the demo's stage, props and agents.

mod attack;
mod judge;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openrtc_control_api::{Snapshot, WallRow};
use serde::Serialize;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::demo::client::{Answer, Ask, Client, ClientError, Happening, What};
use crate::demo::config::{self, HOSTILE, SIBLINGS};
use crate::demo::measure::Lateness;
use crate::demo::props::{self, Play};
use crate::demo::stage::{self, Stage, StageError};
pub use attack::Attack;
pub use judge::Judged;

/// Whose calls are measured.
const VICTIM: &str = SIBLINGS[0];
/// Calls of the victim at once: 100 frames a second.
const CALLS: usize = 2;
/// Longest time that it may take; what is not done then is not judged.
const LIMIT: Duration = Duration::from_secs(55);
/// How long the observer may take to write what has happened.
const EVENTS_DEADLINE: Duration = Duration::from_secs(3);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum SelftestError {
    /// Our own executable cannot be found.
    #[error("find its own executable")]
    Executable(#[source] std::io::Error),
    /// Signals cannot be listened to.
    #[error("listen for signals")]
    Signals(#[source] std::io::Error),
    /// The supervisor could not be started.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The supervisor did not answer: an attack reached it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It took too long.
    #[error("finish within {} s; the machine is too busy for a verdict: try again", LIMIT.as_secs())]
    TooLong,
    /// Somebody ended it.
    #[error("finish: interrupted")]
    Interrupted,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Whether every wall held and the victim was served in time.
    pub passed: bool,
    /// How late the victim's frames were before the attacks.
    pub victim_alone: Option<Lateness>,
    /// How late they may be at most beside one, p99 in microseconds.
    pub allowed_p99_micros: u64,
    /// Calls of the victim, and how many of them did not end well.
    pub victim_calls: usize,
    /// Of those.
    pub victim_calls_lost: usize,
    /// Attack by attack.
    pub attacks: Vec<Judged>,
    /// The walls that a host gets on this machine.
    pub walls: Vec<WallRow>,
    /// From start to verdict.
    pub seconds: f64,
}

/// What was seen.
#[derive(Debug, Default)]
struct Evidence {
    calls: Vec<Answer>,
    attacks: Vec<Seen>,
    happenings: Vec<Happening>,
    walls: Vec<WallRow>,
    began_unix_ms: u64,
}

/// One attack as it was seen from outside.
#[derive(Debug)]
struct Seen {
    attack: Attack,
    answer: Answer,
    began_unix_ms: u64,
    ended_unix_ms: u64,
    dropped: u64,
    log_bytes: u64,
}

/// Runs it, and leaves nothing behind.
///
/// # Errors
/// When no verdict can be given.
pub async fn run(told: impl Fn(&str)) -> Result<Report, SelftestError> {
    let started = Instant::now();
    let on = |kind| signal(kind).map_err(SelftestError::Signals);
    let (mut interrupt, mut terminate) = (on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
    let executable = std::env::current_exe().map_err(SelftestError::Executable)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let dir = stage::directory()?;
    let text = props::lay_selftest(dir.path(), &executable, cores)?;
    let mut stage = Stage::set(dir, &executable, &text)?;
    let play = async {
        stage.ready().await?;
        Ok(played(&stage, &told).await?)
    };
    let evidence = tokio::select! {
        evidence = play => evidence,
        () = sleep(LIMIT) => Err(SelftestError::TooLong),
        _ = interrupt.recv() => Err(SelftestError::Interrupted),
        _ = terminate.recv() => Err(SelftestError::Interrupted),
    };
    stage.strike().await;
    let mut report = judge::judge(&evidence?, config::cpu_max_pct(cores));
    report.seconds = (started.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    Ok(report)
}

async fn played(stage: &Stage, told: &impl Fn(&str)) -> Result<Evidence, ClientError> {
    told("the victim alone; 6 s");
    let began_unix_ms = unix_ms();
    let mut calls = at_once(stage, Play::Alone).await?;
    let over = AtomicBool::new(false);
    let beside = async {
        let mut calls = Vec::new();
        while !over.load(Ordering::Relaxed) {
            calls.extend(at_once(stage, Play::Beside).await?);
        }
        Ok::<_, ClientError>(calls)
    };
    let attacking = async {
        let mut seen = Vec::new();
        for attack in Attack::ALL {
            told(&format!("beside it: {}", attack.name()));
            seen.push(attacked(stage, attack).await?);
        }
        over.store(true, Ordering::Relaxed);
        Ok::<_, ClientError>(seen)
    };
    let (more, attacks) = tokio::try_join!(beside, attacking)?;
    calls.extend(more);
    let walls = stage.client.snapshot().await?.walls;
    let happenings = happenings(&stage.client, &calls).await?;
    Ok(Evidence { calls, attacks, happenings, walls, began_unix_ms })
}

/// The victim's calls, until the last has ended.
async fn at_once(stage: &Stage, play: Play) -> Result<Vec<Answer>, ClientError> {
    let calls = (1..=CALLS).map(|call| {
        let client = stage.client.clone();
        let input = Some(play.file(stage.dir()));
        let room = format!("{VICTIM}_support-{call}");
        async move { client.dispatch(&Ask { tenant: VICTIM, agent: "support", room, metadata: json!({}), input }).await }
    });
    futures_util::future::try_join_all(calls).await
}

/// One attack, from its dispatch to its end. A host that is still being replaced is waited for.
async fn attacked(stage: &Stage, attack: Attack) -> Result<Seen, ClientError> {
    let before = stage.client.snapshot().await?;
    let metadata = attack.metadata(stage.supervisor_pid(), victims_pid(&before), stage.dir());
    let began_unix_ms = unix_ms();
    let log_before = log_bytes(stage.dir());
    let answer = loop {
        let (room, metadata) = (format!("{HOSTILE}_{}-1", attack.agent()), metadata.clone());
        let ask = Ask { tenant: HOSTILE, agent: attack.agent(), room, metadata, input: None };
        match stage.client.dispatch(&ask).await? {
            Answer::Rejected { reason, retry_after_ms } if reason == "host_unavailable" => {
                sleep(Duration::from_millis(retry_after_ms.unwrap_or(100).clamp(50, 2_000))).await;
            }
            answer => break answer,
        }
    };
    let after = stage.client.snapshot().await?;
    let dropped = after.hosts.iter().filter(|host| host.tenant == HOSTILE).map(|host| host.dropped).sum();
    let log_bytes = log_bytes(stage.dir()).saturating_sub(log_before);
    Ok(Seen { attack, answer, began_unix_ms, ended_unix_ms: unix_ms(), dropped, log_bytes })
}

fn victims_pid(snapshot: &Snapshot) -> i32 {
    snapshot.hosts.iter().find(|host| host.tenant == VICTIM).and_then(|host| host.pid).unwrap_or_default()
}

fn log_bytes(dir: &Path) -> u64 {
    std::fs::metadata(dir.join("supervisor.log")).map_or(0, |found| found.len())
}

/// What happened, once the ends of the calls were written or the observer is late.
async fn happenings(client: &Client, calls: &[Answer]) -> Result<Vec<Happening>, ClientError> {
    let deadline = Instant::now() + EVENTS_DEADLINE;
    loop {
        let happenings = client.happenings().await?;
        let ended = |answer: &Answer| match answer {
            Answer::Ended { session, .. } => {
                happenings.iter().any(|it| it.what == What::Ended && it.session == *session)
            }
            Answer::Rejected { .. } => true,
        };
        if calls.iter().all(ended) || Instant::now() > deadline {
            return Ok(happenings);
        }
        sleep(LOOK_EVERY).await;
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
