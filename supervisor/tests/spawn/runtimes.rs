//! Runtimes with a zygote of their own, and the interpreters of Python runtimes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use openrtc_ipc::{HostId, RuntimeName};
use openrtc_supervisor::spawn::{
    Absence, ChildTable, HostProgram, How, Interpreter, LaunchArguments, Newborn, Spawner, ZygoteRow, ZygoteState,
};
use rustix::process::{Pid, Signal};

use crate::program::{self, DEADLINE, Host};

const HOST: HostId = HostId { index: 7, generation: 1 };

fn agency() -> RuntimeName {
    RuntimeName::parse("agency").unwrap()
}

/// This program, and a runtime that is made of it with a zygote of its own.
fn two_kinds() -> HostProgram {
    let program = program::this_program();
    let own = program.built_in.clone();
    HostProgram { runtimes: BTreeMap::from([(agency(), own)]), ..program }
}

/// Python as the host program of one runtime, whose zygote runs this script. `None` where there is no Python.
fn python_zygote(script: &str) -> Option<Spawner> {
    let Some(path) = python3() else {
        println!("skipped: there is no python3");
        return None;
    };
    let arguments = |script: &str| vec!["-I".into(), "-c".into(), script.into()];
    let runtime = LaunchArguments { host: arguments("pass"), zygote: arguments(script), idle_hosts: 0 };
    let runtimes = BTreeMap::from([(agency(), runtime)]);
    Some(Spawner::start(HostProgram { path, built_in: LaunchArguments::default(), runtimes }).unwrap())
}

fn python3() -> Option<PathBuf> {
    openrtc_supervisor::wall::resolve("python3")
}

async fn settled(spawner: &Spawner) -> ZygoteState {
    spawner.warm_runtimes().await.unwrap();
    let mut changes = spawner.zygote_changes(&agency());
    let settled = changes.wait_for(|state| !state.is_starting());
    tokio::time::timeout(DEADLINE, settled).await.expect("settled in time").expect("a spawner thread").clone()
}

fn end(newborn: Newborn) {
    Host::from(newborn).end();
}

pub(crate) async fn a_runtime_forks_from_its_own_zygote_and_from_no_other() {
    let spawner = Spawner::start(two_kinds()).unwrap();
    program::warm(&spawner).await;
    let early = spawner.spawn(HOST, &agency(), How::Zygote).await.unwrap();
    assert_eq!((early.how, early.why_cold.clone()), (How::Cold, Some(Absence::Starting)), "it was not asked for yet");
    end(early);
    assert_eq!(settled(&spawner).await, ZygoteState::Warm);
    let [own, other] =
        [agency(), program::runtime()].map(|runtime| ZygoteRow { runtime, state: ZygoteState::Warm, idle_hosts: 0 });
    assert_eq!(spawner.zygote_states(), [other, own]);
    let forked = spawner.spawn(HOST, &agency(), How::Zygote).await.unwrap();
    assert_eq!((forked.how, forked.why_cold.clone()), (How::Zygote, None));
    end(forked);

    // Of the two, the runtime's own is the one with a pipe for its output.
    let own = program::zygote_with_output();
    let mut changes = spawner.zygote_changes(&agency());
    changes.mark_unchanged();
    rustix::process::kill_process(Pid::from_raw(own).unwrap(), Signal::KILL).unwrap();
    let lost = changes.wait_for(|state| matches!(state, ZygoteState::Absent(_)));
    let lost = tokio::time::timeout(DEADLINE, lost).await.expect("noticed").expect("a thread").clone();
    assert_eq!(lost, ZygoteState::Absent(Absence::Died { how: "signal 9".to_owned(), last: String::new() }));
    let built_in = spawner.spawn(HOST, &program::runtime(), How::Zygote).await.unwrap();
    assert_eq!(built_in.how, How::Zygote, "the other zygote is no worse for it");
    end(built_in);
    let warm = changes.wait_for(|state| *state == ZygoteState::Warm);
    tokio::time::timeout(DEADLINE, warm).await.expect("back in time").expect("a thread");
}

pub(crate) async fn an_idle_host_is_taken_first_and_a_dead_one_is_buried_and_replaced() {
    let mut program = two_kinds();
    for arguments in program.runtimes.values_mut() {
        arguments.zygote.push(program::GREETS_ARGUMENT.into());
        arguments.idle_hosts = 1;
    }
    let spawner = Spawner::start(program).unwrap();
    assert_eq!(settled(&spawner).await, ZygoteState::Warm);
    let idle = || spawner.zygote_states().iter().find(|row| row.runtime == agency()).unwrap().idle_hosts;
    let made = async |how: How| {
        let newborn = spawner.spawn(HOST, &agency(), How::Zygote).await.unwrap();
        assert_eq!((newborn.how, &newborn.why_cold), (how, &None));
        newborn
    };
    program::until("one is idle", || idle() == 1).await;
    let waits = program::greeting_hosts();
    let ahead = made(How::Ahead).await;
    assert_eq!((&waits[..], idle()), (&[ahead.process.pid()][..], 0));
    // The next is not due before a second is over.
    [made(How::Zygote).await, ahead].into_iter().for_each(end);

    program::until("another is idle", || idle() == 1).await;
    let waits = program::greeting_hosts();
    assert_eq!(waits.len(), 1, "{waits:?}");
    rustix::process::kill_process(Pid::from_raw(waits[0]).unwrap(), Signal::KILL).unwrap();
    program::until("it is buried", || !ChildTable::of_this_process().holds(waits[0])).await;
    program::until("another is there", || idle() == 1).await;
    let last = program::greeting_hosts();
    assert!(last.len() == 1 && last != waits, "{last:?}");
    let pid = Pid::from_raw(program::zygote_with_output()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    let orphan = made(How::Ahead).await;
    assert_eq!(last, [orphan.process.pid()], "it outlives its zygote");
    end(orphan);
}

pub(crate) async fn an_idle_host_that_closes_its_channel_is_killed_and_not_handed_out() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut program = two_kinds();
    for arguments in program.runtimes.values_mut() {
        arguments.zygote.extend([program::CLOSES_ARGUMENT.into(), file.path().into()]);
        arguments.idle_hosts = 1;
    }
    let spawner = Spawner::start(program).unwrap();
    assert_eq!(settled(&spawner).await, ZygoteState::Warm);
    let made = || -> Vec<i32> {
        let pids = std::fs::read_to_string(file.path()).unwrap();
        pids.lines().map(|pid| pid.parse().unwrap()).collect()
    };
    program::until("another is made later", || made().len() >= 2).await;
    program::until("they are buried", || made().into_iter().all(|pid| !ChildTable::of_this_process().holds(pid))).await;
    let at_once = spawner.spawn(HOST, &agency(), How::Zygote).await.unwrap();
    assert_eq!(at_once.how, How::Zygote);
    end(at_once);
    program::end_zygotes();
}

pub(crate) async fn a_zygote_that_takes_its_time_keeps_nobody_waiting() {
    let Some(spawner) = python_zygote("import sys; print('importing'); sys.stdin.read(); import time; time.sleep(600)")
    else {
        return;
    };
    spawner.warm_runtimes().await.unwrap();
    let begun = Instant::now();
    let newborn = spawner.spawn(HOST, &agency(), How::Zygote).await.unwrap();
    assert!(begun.elapsed() < DEADLINE);
    assert_eq!((newborn.how, newborn.why_cold), (How::Cold, Some(Absence::Starting)));
    openrtc_supervisor::host::reap::wait(&newborn.process).await.unwrap();
    openrtc_supervisor::host::reap::reap(&newborn.process).unwrap();
    assert!(spawner.zygote_state(&agency()).is_starting());
    program::end_zygotes();
}

pub(crate) async fn what_a_python_zygote_said_last_is_why_it_is_not_there() {
    let Some(spawner) = python_zygote("import no_such_plugin") else { return };
    let ZygoteState::Absent(Absence::Died { how, last }) = settled(&spawner).await else { panic!("it cannot be warm") };
    assert_eq!(how, "exit code 1");
    assert!(last.ends_with("No module named 'no_such_plugin'"), "{last}");
    let newborn = spawner.spawn(HOST, &agency(), How::Zygote).await.unwrap();
    let why = newborn.why_cold.expect("a reason").to_string();
    assert!(why.starts_with("it died of exit code 1: ") && why.contains("no_such_plugin"), "{why}");
    openrtc_supervisor::host::reap::wait(&newborn.process).await.unwrap();
    openrtc_supervisor::host::reap::reap(&newborn.process).unwrap();
}

/// A zygote's words as Python: they are the supervisor's half that is tested here.
const WORDS: &str = "import socket, struct\ns = socket.socket(fileno=3)\n\
                     def say(kind, value, text=''): s.send(struct.pack('<Ii', kind, value) + text.encode())\n";

pub(crate) async fn a_zygote_that_is_unfit_says_why() {
    let script = format!("{WORDS}say(6, 0, 'no \\x1b[31mapplication')\ns.recv(1)");
    let Some(spawner) = python_zygote(&script) else { return };
    let ZygoteState::Absent(Absence::Unfit(why)) = settled(&spawner).await else { panic!("it said that it is not") };
    assert!(why.starts_with("no ") && why.ends_with("[31mapplication") && !why.contains('\x1b'), "{why:?}");
}

pub(crate) async fn a_zygote_with_a_second_thread_makes_hosts_cold_and_names_it() {
    let script = format!("{WORDS}say(2, 0)\nwhile s.recv(64): say(4, 2, 'openblas')");
    let Some(spawner) = python_zygote(&script) else { return };
    assert_eq!(settled(&spawner).await, ZygoteState::Warm);
    let newborn = spawner.spawn(HOST, &agency(), How::Zygote).await.unwrap();
    assert_eq!(newborn.how, How::Cold);
    assert_eq!(newborn.why_cold.as_ref().map(ToString::to_string).as_deref(), Some("thread 'openblas'"));
    assert!(newborn.why_cold.unwrap().remedy().unwrap().contains("preload"));
    openrtc_supervisor::host::reap::wait(&newborn.process).await.unwrap();
    openrtc_supervisor::host::reap::reap(&newborn.process).unwrap();
    program::end_zygotes();
}

pub(crate) async fn an_interpreter_that_cannot_be_a_host_is_told_with_its_remedy() {
    let spawner = Spawner::start(HostProgram {
        path: "/bin/true".into(),
        built_in: LaunchArguments::default(),
        runtimes: BTreeMap::new(),
    });
    let spawner = spawner.unwrap();
    let ask = async |path: &Path| Interpreter::ask(&spawner, &agency(), path).await.expect_err("no host").to_string();
    let none = ask(Path::new("/nowhere/python")).await;
    assert!(none.contains("use runtimes.agency.python = /nowhere/python: it cannot be run: "), "{none}");
    assert!(none.ends_with("write the path of a Python 3.11 to 3.13"), "{none}");
    let echo = ask(Path::new("/bin/echo")).await;
    assert!(echo.contains("/bin/echo: it is no Python, and said \"-I -B -c import sys"), "{echo}");
    let Some(python3) = python3() else { return };
    let bare = ask(&python3).await;
    let (ours, pip) = (env!("CARGO_PKG_VERSION"), format!("{} -m pip install ./tenant-host/python", python3.display()));
    let missing = format!("it has no openrtc_host, and openrtc_host {ours} is needed (Python 3.");
    let old = bare.contains("and hosts need Python 3.11 to 3.13");
    assert!(old || (bare.contains(&missing) && bare.ends_with(&format!("; run: {pip}"))), "{bare}");
}
