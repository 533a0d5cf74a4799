//! The worker against a real livekit-server.
//!
//! Owns: what LiveKit itself does with what we say. The server is installed when it is not there, which cannot be known
//! when this is built: a test that cannot have one is reported as ignored, with the reason; hence no test harness.

#[path = "real_server/desk.rs"]
mod desk;
#[path = "real_server/jobs.rs"]
mod jobs;
#[path = "real_server/links.rs"]
mod links;
#[expect(unreachable_pub, reason = "it is public in the harness of all tests")]
#[path = "../../../tests/src/livekit_server.rs"]
mod livekit_server;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_server::LivekitServer;

/// One test; all but the last share a server, and none shares an agent name or a room.
type Test = (&'static str, fn(Arc<LivekitServer>) -> Pin<Box<dyn Future<Output = ()>>>);

/// Longest time for one test.
const PATIENCE: Duration = Duration::from_secs(120);

macro_rules! tests {
    ($($module:ident :: $name:ident,)*) => {
        &[$((stringify!($name), |server| Box::pin($module::$name(server))),)*]
    };
}

const TESTS: &[Test] = tests![
    links::a_worker_registers_and_its_pings_are_answered,
    links::a_wrong_secret_is_refused_with_401_and_tried_again,
    links::a_path_that_is_no_server_is_told_from_a_wrong_key,
    links::a_worker_of_each_type_in_a_deployment_registers,
    jobs::a_simulated_job_is_offered_assigned_and_ended,
    jobs::a_dispatch_carries_its_metadata_and_attributes,
    jobs::a_failed_job_is_recorded_with_its_reason,
    jobs::a_room_created_with_an_agent_offers_it,
    jobs::a_deleted_dispatch_terminates_its_job,
    jobs::what_one_worker_refuses_the_other_gets,
    jobs::what_is_refused_for_everybody_nobody_gets,
    jobs::an_unnamed_worker_never_cancels_what_is_not_its_own,
    jobs::a_full_worker_gets_nothing_and_one_at_its_limit_does,
    jobs::twenty_dispatches_at_once_at_a_cap_of_ten,
    jobs::a_draining_worker_keeps_its_job_and_gets_no_more,
    links::a_killed_server_is_found_again_and_jobs_live_on,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let chosen: Vec<&Test> =
        TESTS.iter().filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str()))).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let server = match LivekitServer::start() {
        Ok(server) => Arc::new(server),
        Err(reason) => {
            chosen.iter().for_each(|(name, _)| println!("test {name} ... ignored, {reason}"));
            println!("\ntest result: ok. 0 passed; 0 failed; {} ignored", chosen.len());
            return ExitCode::SUCCESS;
        }
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut failed = 0;
    for (name, test) in &chosen {
        let start = Instant::now();
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async { tokio::time::timeout(PATIENCE, test(server.clone())).await.expect("in time") })
        }));
        println!("test {name} ... {} ({:.1?})", if ended.is_ok() { "ok" } else { "FAILED" }, start.elapsed());
        failed += u32::from(ended.is_err());
    }
    if failed > 0 {
        println!("the server wrote:\n{}", server.log());
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {} passed; {failed} failed; 0 ignored", chosen.len() - failed as usize);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
