//! How processes end, and what is left of them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openrtc_policy::WaitStatus;
use openrtc_supervisor::host::{reap, tree};
use openrtc_supervisor::spawn::{ChildTable, How};
use openrtc_supervisor::wall::Counters;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::program::{self, Host, until};

const BOTH: [How; 2] = [How::Cold, How::Zygote];
const NO_CGROUP: Option<fn() -> std::io::Result<()>> = None;

pub(crate) async fn exit_codes_are_read_of_both_kinds_before_and_at_reaping() {
    let spawner = program::with_zygote().await;
    for how in BOTH {
        let mut host = Host::new(&spawner, how).await;
        assert_eq!(reap::look(&host.process), None, "it runs");
        assert_eq!(reap::reap(&host.process), None, "it runs");
        host.say("exit 42");
        let (first, second) = tokio::join!(reap::wait(&host.process), reap::wait(&host.process));
        first.and(second).expect("both are told");
        assert!(std::fs::exists(format!("/proc/{}/status", host.process.pid())).unwrap(), "still a zombie");
        for _ in 0..2 {
            assert_eq!(reap::look(&host.process).unwrap().wait, WaitStatus::Exited(42), "{how:?}");
        }
        assert!(ChildTable::of_this_process().holds(host.process.pid()));
        assert_eq!(reap::reap(&host.process).unwrap().wait, WaitStatus::Exited(42));
        assert!(!ChildTable::of_this_process().holds(host.process.pid()));
        assert_eq!(reap::reap(&host.process).unwrap().wait, WaitStatus::Unknown, "there is nothing left to read");
    }
}

pub(crate) async fn signals_are_read_of_both_kinds() {
    let spawner = program::with_zygote().await;
    for how in BOTH {
        for signal in [Signal::KILL, Signal::TERM, Signal::ABORT] {
            let mut host = Host::new(&spawner, how).await;
            host.ask("describe");
            host.process.signal(signal).unwrap();
            reap::wait(&host.process).await.unwrap();
            let death = reap::reap(&host.process).unwrap();
            assert_eq!(death.wait, WaitStatus::Signalled(signal.as_raw()), "{how:?}");
        }
        let mut host = Host::new(&spawner, how).await;
        host.ask("describe");
        host.process.signal(Signal::STOP).unwrap();
        host.process.terminate().unwrap();
        reap::wait(&host.process).await.unwrap();
        assert_eq!(
            reap::reap(&host.process).unwrap().wait,
            WaitStatus::Signalled(libc::SIGTERM),
            "a stopped one hears it"
        );
    }
}

pub(crate) async fn processor_time_is_in_the_death() {
    let spawner = program::with_zygote().await;
    for how in BOTH {
        let mut host = Host::new(&spawner, how).await;
        host.ask("spin");
        host.say("exit 0");
        reap::wait(&host.process).await.unwrap();
        let death = reap::reap(&host.process).unwrap();
        let evidence = death.evidence(None, Counters::default(), Some("last words".to_owned()));
        let micros = evidence.cpu_micros.expect("known");
        assert!((20_000..10_000_000).contains(&micros), "{micros} µs of processor time for 200 ms of spinning");
        let counted = Counters { cpu_micros: Some(77), oom_kills: 1, ..Counters::default() };
        let evidence = death.evidence(None, counted, None);
        assert_eq!((evidence.cpu_micros, evidence.oom_kills), (Some(77), 1), "the cgroup knows better");
    }
}

pub(crate) async fn sixteen_daemons_are_killed_with_their_host_without_a_cgroup() {
    let spawner = program::with_zygote().await;
    let mut bystander = Host::new(&spawner, How::Zygote).await;
    let sleep = program::long_sleep(1);
    // Each has a session of its own, and no living parent but us once its host is dead.
    let daemons =
        format!("shell i=0; while [ $i -lt 16 ]; do (setsid {sleep} >/dev/null 2>&1 3>&- &); i=$((i+1)); done");
    for how in BOTH {
        let mut host = Host::new(&spawner, how).await;
        assert_eq!(host.ask(&daemons), true);
        until("sixteen daemons", || program::running(&sleep).len() == 16).await;
        let process = host.process.clone();
        let kill = move || tree::kill_tree(&process, NO_CGROUP, program::DEADLINE);
        let swept = tokio::task::spawn_blocking(kill).await.unwrap();
        assert_eq!((swept.left, swept.ended), (0, true), "{how:?}");
        assert!(swept.escapees >= 16, "{swept:?}");
        assert_eq!(program::running(&sleep), Vec::<i32>::new());
        assert_eq!(reap::reap(&host.process).unwrap().wait, WaitStatus::Signalled(libc::SIGKILL), "left to its reaper");
    }
    assert_eq!(bystander.ask("describe")["pid"], bystander.process.pid());
    bystander.end();
}

pub(crate) async fn daemons_that_fork_for_ever_are_killed_too() {
    let spawner = program::with_zygote().await;
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("runaway");
    // Each generation lives only long enough to start the next in a session of its own.
    std::fs::write(&script, "trap '' TERM HUP INT\nsetsid /bin/sh \"$0\" &\nexit 0\n").unwrap();
    let mut host = Host::new(&spawner, How::Zygote).await;
    let start =
        format!("shell for i in 1 2 3 4; do (setsid /bin/sh {} >/dev/null 2>&1 3>&- &); done", script.display());
    assert_eq!(host.ask(&start), true);
    let process = host.process.clone();
    let kill = move || tree::kill_tree(&process, NO_CGROUP, program::DEADLINE);
    let swept = tokio::task::spawn_blocking(kill).await.unwrap();
    assert_eq!((swept.left, swept.ended), (0, true), "{swept:?}");
    assert!(swept.escapees >= 1, "{swept:?}");
    assert_eq!(program::running(&format!("/bin/sh {}", script.display())), Vec::<i32>::new());
    reap::reap(&host.process).unwrap();
}

pub(crate) async fn a_sweep_leaves_hosts_zygotes_and_helpers_alone() {
    let spawner = program::with_zygote().await;
    let zygote = program::zygote_pid();
    let mut hosts = [Host::new(&spawner, How::Cold).await, Host::new(&spawner, How::Zygote).await];
    let argv = ["/bin/sh", "-c", "read line; echo \"$line\""].map(String::from);
    let done = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&done);
    let sweeping = tokio::task::spawn_blocking(move || {
        let mut sweeps = 0;
        while !told.load(Ordering::Relaxed) {
            assert_eq!(tree::sweep(std::time::Instant::now() + program::DEADLINE), tree::Swept::default());
            sweeps += 1;
        }
        sweeps
    });
    // While sweeps go on, so do births.
    for round in 0..60 {
        let how = if round % 2 == 0 { How::Zygote } else { How::Cold };
        let input = Some(b"kept\n".to_vec());
        let (host, output) = tokio::join!(Host::new(&spawner, how), spawner.run(&argv, input, program::DEADLINE));
        assert_eq!(&output.expect("helper").stdout[..], b"kept\n");
        std::mem::replace(&mut hosts[round % 2], host).end();
    }
    done.store(true, Ordering::Relaxed);
    assert!(sweeping.await.unwrap() > 0);
    assert_eq!(program::zygote_pid(), zygote);
    for mut host in hosts {
        assert_eq!(host.ask("describe")["pid"], host.process.pid());
        host.end();
    }
}

pub(crate) async fn a_failing_cgroup_kill_does_not_stop_the_sweep() {
    let spawner = program::with_zygote().await;
    let mut host = Host::new(&spawner, How::Cold).await;
    let sleep = program::long_sleep(2);
    assert_eq!(host.ask(&format!("shell (setsid {sleep} >/dev/null 2>&1 3>&- &)")), true);
    until("a daemon", || !program::running(&sleep).is_empty()).await;
    let kill = || Err(std::io::Error::from_raw_os_error(libc::EROFS));
    let swept = tree::kill_tree(&host.process, Some(kill), program::DEADLINE);
    assert_eq!((swept.left, swept.ended), (0, true));
    assert_eq!(program::running(&sleep), Vec::<i32>::new());
    reap::reap(&host.process).unwrap();
    let again = tree::kill_tree(&host.process, NO_CGROUP, Duration::from_secs(1));
    assert_eq!((again.escapees, again.left, again.ended), (0, 0, true), "a second kill finds nothing");
}

pub(crate) async fn a_killed_supervisor_takes_its_zygote_and_hosts_along() {
    let sleep = program::long_sleep(3);
    let mut supervisor = Command::new(std::env::current_exe().unwrap())
        .args([program::SUPERVISOR_ARGUMENT, sleep.trim_start_matches("sleep ")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(supervisor.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pids: Vec<i32> = serde_json::from_str(&line).expect("three pids");
    assert_eq!(pids.len(), 3);
    until("its helper runs", || !program::running(&sleep).is_empty()).await;
    let open = |pid: &i32| rustix::process::pidfd_open(Pid::from_raw(*pid).unwrap(), PidfdFlags::empty()).unwrap();
    let pidfds: Vec<_> = pids.iter().map(open).collect();
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    for (pid, pidfd) in pids.iter().zip(&pidfds) {
        assert!(program::is_readable(pidfd), "{pid} lives on");
    }
    until("its helper is dead", || program::running(&sleep).is_empty()).await;
    // They were adopted by this process, which is a subreaper.
    tree::sweep(std::time::Instant::now() + program::DEADLINE);
}

pub(crate) async fn a_child_that_was_there_before_us_is_left_alone() {
    let sleep = program::long_sleep(4);
    let heir = std::env::current_exe().unwrap();
    let script = format!("{sleep} & exec {} {} '{sleep}'", heir.display(), program::HEIR_ARGUMENT);
    let heir = Command::new("/bin/sh").arg("-c").arg(script).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&heir.stdout).trim(), "1 before, 1 after", "{heir:?}");
    tree::sweep(std::time::Instant::now() + program::DEADLINE);
}
