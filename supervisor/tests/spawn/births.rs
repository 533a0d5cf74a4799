//! How processes are born, and what with.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use openrtc_ipc::{HostId, SetupStep};
use openrtc_supervisor::host::reap;
use openrtc_supervisor::spawn::{Absence, ChildTable, HostProgram, How, LaunchArguments, Spawner, ZygoteState};
use rustix::io::FdFlags;
use rustix::process::{Pid, PidfdFlags};

use crate::program::{self, Host, until};

async fn is_our_child_with_four_descriptors(how: How) {
    let spawner = program::with_zygote().await;
    let canary = std::fs::File::open("/dev/zero").unwrap();
    rustix::io::fcntl_setfd(&canary, FdFlags::empty()).unwrap();
    assert!(canary.as_raw_fd() > 2);
    assert!(std::env::vars().any(|(name, _)| name.starts_with("CARGO")), "run by cargo, which sets what must not pass");

    let mut host = Host::new(&spawner, how).await;
    let told = host.ask("describe");
    assert_eq!(told["fds"], serde_json::json!([0, 1, 2, 3]), "{how:?}: {told}");
    assert_eq!(told["ppid"], std::process::id(), "{how:?}");
    assert_eq!(told["pid"], host.process.pid());
    assert_eq!(told["tid"], host.process.pid());
    assert_eq!(told["session"], host.process.pid(), "leader of its own session");
    assert_eq!(told["stdin"], "/dev/null");
    assert_eq!(told["directory"], "/");
    assert!(told["channel"].as_str().unwrap().starts_with("socket:"));
    let passed = ["PATH", "LANG", "TZ"];
    let variables = told["variables"].as_array().unwrap();
    assert!(variables.iter().all(|name| passed.contains(&name.as_str().unwrap())), "{variables:?}");
    assert!(variables.contains(&"PATH".into()));
    assert_eq!(told["SigBlk"], "0000000000000000");
    assert_eq!(told["SigIgn"], "0000000000001000", "SIGPIPE alone, as the runtime of every Rust program has it");
    assert_eq!(told["Threads"], "1");
    assert!(ChildTable::of_this_process().holds(host.process.pid()));

    assert_eq!(host.ask("print heard"), true);
    for (output, word) in [(&host.stdout, "heard\n"), (&host.stderr, "heard!\n")] {
        assert!(program::is_readable(output));
        let mut bytes = [0; 32];
        let count = rustix::io::read(output, &mut bytes).unwrap();
        assert_eq!(&bytes[..count], word.as_bytes());
        assert_eq!(rustix::io::read(output, &mut bytes), Err(rustix::io::Errno::AGAIN), "it does not block");
    }
    host.end();
}

pub(crate) async fn a_cold_host_is_our_child_and_has_nothing_but_its_channel_and_output() {
    is_our_child_with_four_descriptors(How::Cold).await;
}

pub(crate) async fn a_zygote_host_is_our_child_and_has_nothing_but_its_channel_and_output() {
    is_our_child_with_four_descriptors(How::Zygote).await;
}

/// A program without a zygote.
fn only_cold(path: PathBuf, arguments: &[&str]) -> HostProgram {
    let host = arguments.iter().map(OsString::from).collect();
    let built_in = LaunchArguments { host, ..LaunchArguments::default() };
    HostProgram { path, built_in, runtimes: BTreeMap::new() }
}

fn shell(script: &str) -> HostProgram {
    only_cold("/bin/sh".into(), &["-c", script])
}

const HOST: HostId = HostId { index: 9, generation: 1 };

pub(crate) async fn a_cold_program_starts_with_default_signals() {
    // This process ignores SIGPIPE, as every Rust program does; what it executes must not.
    let ours = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = ours.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    assert_ne!(u64::from_str_radix(ignored, 16).unwrap() & 0x1000, 0);
    let spawner =
        Spawner::start(shell("while read line; do case $line in Sig*) echo $line;; esac; done </proc/self/status"))
            .unwrap();
    assert!(matches!(spawner.zygote_state(&program::runtime()), ZygoteState::Absent(_)));
    let newborn = spawner.spawn(HOST, &program::runtime(), How::Cold).await.unwrap();
    reap::wait(&newborn.process).await.unwrap();
    let mut bytes = [0; 1024];
    let count = rustix::io::read(&newborn.stdout, &mut bytes).unwrap();
    let told = String::from_utf8_lossy(&bytes[..count]).into_owned();
    assert!(told.contains("SigIgn: 0000000000000000") && told.contains("SigBlk: 0000000000000000"), "{told}");
    reap::reap(&newborn.process).unwrap();
}

pub(crate) async fn a_missing_program_names_the_step_and_the_errno() {
    let mut missing = only_cold("/nowhere/host".into(), &[]);
    missing.built_in.zygote = vec!["zygote".into()];
    let spawner = Spawner::start(missing).unwrap();
    let known = ChildTable::of_this_process().len();
    for how in [How::Cold, How::Zygote] {
        let error = spawner.spawn(HOST, &program::runtime(), how).await.expect_err("no such program");
        assert_eq!((error.step(), error.errno(), error.retry()), (SetupStep::Exec, libc::ENOENT, false), "{error:?}");
        assert_eq!(error.to_string(), "execute /nowhere/host");
    }
    assert_eq!(ChildTable::of_this_process().len(), known);
    let mut changes = spawner.zygote_changes(&program::runtime());
    let why = |state: &ZygoteState| matches!(state, ZygoteState::Absent(Absence::NotMade(why)) if why.contains("/nowhere/host"));
    tokio::time::timeout(program::DEADLINE, changes.wait_for(why)).await.expect("says so").expect("a thread");
}

pub(crate) async fn a_program_that_may_not_be_executed_is_told_from_a_missing_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host");
    std::fs::write(&path, "no program").unwrap();
    let spawner = Spawner::start(only_cold(path, &[])).unwrap();
    let error = spawner.spawn(HOST, &program::runtime(), How::Cold).await.expect_err("not executable");
    assert_eq!((error.step(), error.errno()), (SetupStep::Exec, libc::EACCES));
}

pub(crate) async fn hosts_are_made_cold_while_the_zygote_is_gone_and_it_comes_back() {
    let spawner = program::with_zygote().await;
    let old = program::zygote_pid();
    let mut changes = spawner.zygote_changes(&program::runtime());
    changes.mark_unchanged();
    rustix::process::kill_process(Pid::from_raw(old).unwrap(), rustix::process::Signal::KILL).unwrap();
    // Whether or not the spawner has noticed, there is a host.
    let newborn = spawner.spawn(HOST, &program::runtime(), How::Zygote).await.expect("a host all the same");
    assert_eq!(newborn.how, How::Cold);
    Host::from(newborn).end();
    program::warm(&spawner).await;
    assert_ne!(program::zygote_pid(), old);
    assert!(!ChildTable::of_this_process().holds(old), "the dead zygote was reaped");
    Host::new(&spawner, How::Zygote).await.end();
}

pub(crate) async fn a_host_outlives_its_zygote() {
    let spawner = program::with_zygote().await;
    let mut host = Host::new(&spawner, How::Zygote).await;
    assert_eq!(host.ask("die_with_parent"), true);
    let zygote = Pid::from_raw(program::zygote_pid()).unwrap();
    let pidfd = rustix::process::pidfd_open(zygote, PidfdFlags::empty()).unwrap();
    rustix::process::kill_process(zygote, rustix::process::Signal::KILL).unwrap();
    assert!(program::is_readable(&pidfd));
    program::warm(&spawner).await;
    assert_eq!(host.ask("describe")["ppid"], std::process::id());
    host.end();
}

pub(crate) async fn a_host_outlives_the_thread_that_asked_for_it() {
    let spawner = program::with_zygote().await;
    for how in [How::Cold, How::Zygote] {
        let spawner = spawner.clone();
        let asking = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut host = runtime.block_on(Host::new(&spawner, how));
            assert_eq!(host.ask("die_with_parent"), true);
            (host, rustix::thread::gettid())
        });
        let (mut host, thread) = asking.join().unwrap();
        let gone = format!("/proc/self/task/{}", thread.as_raw_nonzero());
        until("the thread is gone", || !std::path::Path::new(&gone).exists()).await;
        assert_eq!(host.ask("describe")["ppid"], std::process::id());
        host.end();
    }
}

pub(crate) async fn an_abandoned_request_leaves_no_process() {
    let spawner = program::with_zygote().await;
    let known = ChildTable::of_this_process().len();
    let runtime = program::runtime();
    for round in 0..40 {
        let how = if round % 2 == 0 { How::Cold } else { How::Zygote };
        let mut spawning = Box::pin(spawner.spawn(HOST, &runtime, how));
        // Polled once, so that the request is on its way, then dropped at some point of it.
        tokio::select! { biased; _ = &mut spawning => panic!("at once"), () = std::future::ready(()) => {} }
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        drop(spawning);
    }
    // The thread is done with all of them when it answers this one.
    Host::new(&spawner, How::Cold).await.end();
    until("every one disowned", || ChildTable::of_this_process().len() == known).await;
    let swept = openrtc_supervisor::host::tree::sweep(std::time::Instant::now() + program::DEADLINE);
    assert_eq!(swept.left, 0);
}

pub(crate) async fn many_requests_at_once_are_all_answered() {
    let spawner = program::with_zygote().await;
    let asking: Vec<_> = (0..100)
        .map(|index| {
            let spawner = spawner.clone();
            let how = if index % 4 == 0 { How::Cold } else { How::Zygote };
            tokio::spawn(async move {
                spawner.spawn(HostId { index, generation: 1 }, &program::runtime(), how).await.expect("a newborn")
            })
        })
        .collect();
    for (index, newborn) in asking.into_iter().enumerate() {
        let newborn = newborn.await.unwrap();
        assert_eq!(newborn.host.index as usize, index);
        Host::from(newborn).end();
    }
}
