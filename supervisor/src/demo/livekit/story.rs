//! The story: each tenant's caller is answered, the hostile tenant's host crashes in mid-call, and it is called again.
//!
//! Owns: who calls when, and what is asked of supervisor and server afterwards. Never: judges.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::client::ClientError;
use super::super::config::{HOSTILE, SIBLINGS};
use super::super::stage::Stage;
use super::super::story::watch;
use super::super::table::Board;
use super::callers::{self, Call, Heard};
use super::judge::{Answered, Death, Findings};
use super::server::Server;
use super::{Found, LivekitError};

/// How long the siblings' callers stay, in seconds.
const CALL_S: f64 = 17.0;
/// When the hostile tenant's host crashes, in seconds since its agent came.
const CRASH_AFTER_S: f64 = 8.0;
/// How long after that it is called again: a host that has just died is not made anew at once.
const AGAIN_AFTER: Duration = Duration::from_millis(1_500);
/// How long that call lasts, in seconds.
const AGAIN_S: f64 = 4.0;
/// Longest wait for the worker to be registered: its zygote imports the frameworks first.
const REGISTERED_DEADLINE: Duration = Duration::from_secs(60);
/// How long server and observer may take to write what has happened.
const WORD_DEADLINE: Duration = Duration::from_secs(5);
/// How often the supervisor is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

fn room(tenant: &str, number: u32) -> String {
    format!("{tenant}_support-{number}")
}

fn calls() -> Vec<Call> {
    let first = |tenant| Call { tenant, room: room(tenant, 1), seconds: CALL_S, crash_after_s: None };
    vec![first(SIBLINGS[0]), first(SIBLINGS[1]), Call { crash_after_s: Some(CRASH_AFTER_S), ..first(HOSTILE) }]
}

/// Calls the hostile tenant again once its host has died; nobody does if it does not die while the others call.
async fn again(stage: &Stage, found: &Found, url: &str) -> Result<Option<(Call, Heard)>, LivekitError> {
    let deadline = Instant::now() + Duration::from_secs_f64(CALL_S + WORD_DEADLINE.as_secs_f64());
    while failed(&stage.client.rows().await?, HOSTILE).is_none() {
        if Instant::now() > deadline {
            return Ok(None);
        }
        sleep(LOOK_EVERY).await;
    }
    sleep(AGAIN_AFTER).await;
    let call = Call { tenant: HOSTILE, room: room(HOSTILE, 2), seconds: AGAIN_S, crash_after_s: None };
    let heard = callers::call(&found.python, stage.dir(), url, std::slice::from_ref(&call)).await?;
    Ok(heard.into_iter().next().map(|heard| (call, heard)))
}

/// Waits until the server can offer calls; the longest part of it is the zygote's.
async fn registered(stage: &Stage) -> Result<(), ClientError> {
    let deadline = Instant::now() + REGISTERED_DEADLINE;
    loop {
        let snapshot = stage.client.snapshot().await?;
        if snapshot.livekit.is_some_and(|livekit| livekit.dispatchable) || Instant::now() > deadline {
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Shows how sessions ended, until the events cannot be read any more.
async fn show_ends(stage: &Stage, board: &Board) -> ClientError {
    let mut shown = 0;
    loop {
        match stage.client.rows().await {
            Ok(rows) => {
                let ends: Vec<_> = rows.iter().filter(|row| row["kind"] == "session_end").collect();
                for end in &ends[shown.min(ends.len())..] {
                    if let Some(tenant) = super::config::TENANTS.into_iter().find(|tenant| end["tenant"] == *tenant) {
                        let word = |key: &str| end["payload"][key].as_str().unwrap_or_default().to_owned();
                        board.ended(tenant, format!("{}: {}", word("status"), word("reason")));
                    }
                }
                shown = ends.len();
            }
            Err(error) => return error,
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The first end of a session of this tenant that failed.
fn failed<'a>(rows: &'a [Value], tenant: &str) -> Option<&'a Value> {
    let is =
        |row: &&Value| row["kind"] == "session_end" && row["tenant"] == tenant && row["payload"]["status"] == "failed";
    rows.iter().find(is)
}

/// What the server wrote of the end of a job, if it did.
fn job_ended(log: &str, job: &str) -> Option<String> {
    let of_job = |line: &&str| line.contains("job ended") && line.contains(job);
    log.lines().find(of_job).map(str::to_owned)
}

/// What supervisor and server say of the hostile tenant's first call.
async fn death(stage: &Stage, server: &Server) -> Result<Death, ClientError> {
    let deadline = Instant::now() + WORD_DEADLINE;
    let room = room(HOSTILE, 1);
    loop {
        let rows = stage.client.rows().await?;
        let offer = stage.client.livekit_check(&room).await?.last_offer;
        let server_said = offer.as_ref().and_then(|offer| job_ended(&server.log(), &offer.job));
        let end = failed(&rows, HOSTILE);
        if (end.is_some() && server_said.is_some()) || Instant::now() > deadline {
            let word = |key: &str| end.and_then(|end| end["payload"][key].as_str()).map(str::to_owned);
            return Ok(Death {
                at_unix_ms: end.and_then(|end| end["at_unix_ms"].as_u64()),
                status: word("status"),
                reason: word("reason"),
                supervisor_said: offer.and_then(|offer| offer.error).or_else(|| word("error")),
                server_said,
                siblings_failed: SIBLINGS.iter().filter(|tenant| failed(&rows, tenant).is_some()).count(),
            });
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn scenes(stage: &Stage, server: &Server, found: &Found, board: &Board) -> Result<Findings, LivekitError> {
    registered(stage).await?;
    board.phase("2/3  a caller each for acme-corp, globex and initech, who speak and listen; initech crashes; 20 s");
    let (calls, url) = (calls(), server.url());
    let first = async { Ok(callers::call(&found.python, stage.dir(), &url, &calls).await?) };
    let (heard, again) = tokio::select! {
        heard = async { tokio::try_join!(first, again(stage, found, &url)) } => heard?,
        error = show_ends(stage, board) => return Err(error.into()),
    };
    board.phase("3/3  what supervisor and server say of it");
    let death = death(stage, server).await?;
    let answered = |(call, heard): (Call, Heard)| Answered::of(call.tenant, heard, death.at_unix_ms);
    Ok(Findings { calls: calls.into_iter().zip(heard).chain(again).map(answered).collect(), death })
}

/// Plays the story to its end while the table shows it.
///
/// # Errors
/// When supervisor or callers do not say what is asked.
pub async fn play(stage: &Stage, server: &Server, found: &Found, board: &Board) -> Result<Findings, LivekitError> {
    tokio::select! {
        findings = scenes(stage, server, found, board) => findings,
        error = watch(&stage.client, board) => Err(error.into()),
    }
}
