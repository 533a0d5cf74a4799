//! Real processes, made both ways, watched, killed and reaped.
//!
//! Owns: the promises of `spawn/` and of `host/{reap,tree}.rs`. The same executable is the test, the host program, the
//! zygote, a supervisor to be killed and one with a past, told apart by its first argument, which is why it has no test harness.

mod births;
mod ends;
mod helpers;
mod program;
mod runtimes;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::process::ExitCode;

/// One test.
type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

macro_rules! tests {
    ($($module:ident :: $name:ident,)*) => {
        &[$((stringify!($name), || Box::pin($module::$name())),)*]
    };
}

const TESTS: &[Test] = tests![
    births::a_cold_host_is_our_child_and_has_nothing_but_its_channel_and_output,
    births::a_zygote_host_is_our_child_and_has_nothing_but_its_channel_and_output,
    births::a_cold_program_starts_with_default_signals,
    births::a_missing_program_names_the_step_and_the_errno,
    births::a_program_that_may_not_be_executed_is_told_from_a_missing_one,
    births::hosts_are_made_cold_while_the_zygote_is_gone_and_it_comes_back,
    births::a_host_outlives_its_zygote,
    births::a_host_outlives_the_thread_that_asked_for_it,
    births::an_abandoned_request_leaves_no_process,
    births::many_requests_at_once_are_all_answered,
    ends::exit_codes_are_read_of_both_kinds_before_and_at_reaping,
    ends::signals_are_read_of_both_kinds,
    ends::processor_time_is_in_the_death,
    ends::sixteen_daemons_are_killed_with_their_host_without_a_cgroup,
    ends::daemons_that_fork_for_ever_are_killed_too,
    ends::a_sweep_leaves_hosts_zygotes_and_helpers_alone,
    ends::a_failing_cgroup_kill_does_not_stop_the_sweep,
    ends::a_child_that_was_there_before_us_is_left_alone,
    ends::a_killed_supervisor_takes_its_zygote_and_hosts_along,
    helpers::a_helper_gets_its_input_and_only_the_passed_variables,
    helpers::a_failing_helper_tells_its_code_and_what_it_complained_of,
    helpers::a_slow_helper_is_killed_with_its_group,
    helpers::a_talkative_helper_is_killed,
    helpers::a_helper_that_leaves_a_child_behind_is_not_waited_for,
    helpers::a_missing_helper_names_the_step_and_the_errno,
    runtimes::a_runtime_forks_from_its_own_zygote_and_from_no_other,
    runtimes::an_idle_host_is_taken_first_and_a_dead_one_is_buried_and_replaced,
    runtimes::an_idle_host_that_closes_its_channel_is_killed_and_not_handed_out,
    runtimes::a_zygote_that_takes_its_time_keeps_nobody_waiting,
    runtimes::what_a_python_zygote_said_last_is_why_it_is_not_there,
    runtimes::a_zygote_that_is_unfit_says_why,
    runtimes::a_zygote_with_a_second_thread_makes_hosts_cold_and_names_it,
    runtimes::an_interpreter_that_cannot_be_a_host_is_told_with_its_remedy,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(openrtc_tenant_host::HOST_ARGUMENT) => program::cold(),
        Some(openrtc_tenant_host::ZYGOTE_ARGUMENT) => match arguments.get(1).map(String::as_str) {
            Some(program::GREETS_ARGUMENT) => openrtc_tenant_host::zygote::run(program::greeting_host),
            Some(program::CLOSES_ARGUMENT) => openrtc_tenant_host::zygote::run(program::closing_host),
            _ => openrtc_tenant_host::zygote::run(program::host),
        },
        Some(program::HEIR_ARGUMENT) => program::heir(),
        Some(program::SUPERVISOR_ARGUMENT) => program::supervisor(),
        _ => run(arguments.iter().find(|argument| !argument.starts_with('-')).map(String::as_str)),
    }
}

fn run(filter: Option<&str>) -> ExitCode {
    openrtc_supervisor::host::tree::become_subreaper().expect("become a subreaper");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter))) {
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async { tokio::time::timeout(program::DEADLINE * 3, test()).await.expect("in time") })
        }));
        println!("test {name} ... {}", if ended.is_ok() { "ok" } else { "FAILED" });
        failed += u32::from(ended.is_err());
        // A failed test must not leave its processes to the next one.
        openrtc_supervisor::host::tree::sweep(std::time::Instant::now() + program::DEADLINE);
    }
    println!("{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
