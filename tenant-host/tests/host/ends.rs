//! A program ends when it is asked to, or when it must, and nothing of it is left.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use openrtc_ipc::{Command, EndStatus, LogLevel, Report};

use crate::supervisor::{Supervised, lives, pid_in, session, start, wait_for_death};

/// Detaches a grandchild twice over, as daemons do; its pid goes into `../orphan`.
const DAEMON: &str = r#"
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open("../orphan.tmp", "w") as file:
            file.write("%d\n" % os.getpid())
        os.rename("../orphan.tmp", "../orphan")
        for fd in range(5):
            try: os.close(fd)
            except OSError: pass
        time.sleep(1000)
    os._exit(0)
os.wait()
while not os.path.exists("../orphan"):
    time.sleep(0.001)
"#;

fn daemon(then: &str) -> Supervised {
    Supervised::serving(&["python3", "-c", &format!("{DAEMON}{then}")])
}

fn end(host: &mut Supervised) {
    host.send(&Command::EndSession { session: session(1), reason: "operator_kill".into() });
}

#[test]
fn asked_to_end_a_program_reads_it_first_and_may_finish() {
    let mut host = Supervised::serving(&[
        "/bin/sh",
        "-c",
        "trap 'echo term' TERM; read -r a; read -r b; echo $b; read c; echo eof",
    ]);
    host.send(&start(1));
    host.until(|report| matches!(report, Report::SessionStarted { .. }));
    end(&mut host);
    let ran = host.ran(1);
    assert_eq!((ran.status, &ran.error), (Some(EndStatus::Cancelled), &None));
    assert_eq!(ran.log(LogLevel::Info), [r#"{"type":"end","reason":"operator_kill"}"#, "eof"]);
}

#[test]
fn one_that_does_not_read_gets_sigterm_even_when_stopped() {
    let script = "trap 'echo term; exit 0' TERM; echo $$ > ../pid; kill -STOP $$; while :; do sleep 0.01; done";
    let mut host = Supervised::configured(&["/bin/sh", "-c", script], |configure| configure.terminate_grace_ms = 3_000);
    host.send(&start(1));
    pid_in(&host.path("pid"));
    end(&mut host);
    let ran = host.ran(1);
    assert_eq!((ran.status, &ran.error), (Some(EndStatus::Cancelled), &None));
    assert_eq!(ran.log(LogLevel::Info), ["term"]);
}

#[test]
fn one_that_ignores_everything_is_killed_after_the_grace_with_its_whole_group() {
    let script = "trap '' TERM INT HUP; sh -c 'echo $$ > ../pid; while :; do sleep 0.01; done' & wait; wait; while :; do sleep 0.01; done";
    let mut host = Supervised::configured(&["/bin/sh", "-c", script], |configure| configure.terminate_grace_ms = 300);
    host.send(&start(1));
    let child = pid_in(&host.path("pid"));
    assert!(lives(child));
    let asked = Instant::now();
    end(&mut host);
    let ran = host.ran(1);
    assert!(asked.elapsed() >= Duration::from_millis(300), "killed after {:?}", asked.elapsed());
    assert_eq!((ran.status, ran.error.as_deref()), (Some(EndStatus::Cancelled), Some("signal 9 (SIGKILL)")));
    assert!(!lives(child));
}

#[test]
fn a_shutdown_brings_an_end_forward() {
    let script = "trap '' TERM; echo $$ > ../pid; while :; do sleep 0.01; done";
    let mut host =
        Supervised::configured(&["/bin/sh", "-c", script], |configure| configure.terminate_grace_ms = 600_000);
    host.send(&start(1));
    pid_in(&host.path("pid"));
    end(&mut host);
    host.send(&Command::Shutdown { grace_ms: 2_000 });
    let ran = host.ran(1);
    assert_eq!((ran.status, ran.error.as_deref()), (Some(EndStatus::Cancelled), Some("signal 9 (SIGKILL)")));
    assert_eq!(host.next(), Report::Bye { reason: "shutdown".into() });
    assert!(host.wait().success());
}

#[test]
fn a_daemon_dies_with_its_session() {
    let mut host = daemon("");
    let ran = host.run();
    assert_eq!((ran.status, &ran.error), (Some(EndStatus::Success), &None));
    assert!(!lives(pid_in(&host.path("orphan"))));
}

#[test]
fn behind_narrow_walls_where_proc_cannot_be_read_a_daemon_still_dies() {
    let proc_is_denied = "\ntry: os.listdir('/proc')\nexcept PermissionError: print('denied')\n";
    let mut host = Supervised::narrow().with(&["python3", "-c", &format!("{DAEMON}{proc_is_denied}")], |_| {});
    let ran = host.run();
    assert_eq!((ran.status, ran.log(LogLevel::Info)), (Some(EndStatus::Success), vec!["denied"]));
    assert!(!lives(pid_in(&host.path("orphan"))));
}

#[test]
fn a_background_process_that_holds_the_output_does_not_hold_the_session() {
    let mut host = Supervised::serving(&["/bin/sh", "-c", "sleep 1000 & echo $! > ../pid; echo done"]);
    let ran = host.run();
    assert_eq!((ran.status, ran.log(LogLevel::Info)), (Some(EndStatus::Success), vec!["done"]));
    assert!(!lives(pid_in(&host.path("pid"))));
}

#[test]
fn a_storm_of_forking_orphans_dies_with_its_session() {
    let script = r#"
import os, time
def flee():
    for _ in range(200):
        if os.fork():
            os._exit(0)
        os.setsid()
    time.sleep(1000)
for _ in range(8):
    if os.fork() == 0:
        flee()
"#;
    let mut host = Supervised::serving(&["python3", "-c", script]);
    assert_eq!(host.run().status, Some(EndStatus::Success));
    let children = format!("/proc/{0}/task/{0}/children", host.child.id());
    assert_eq!(std::fs::read_to_string(children).unwrap(), "");
}

#[test]
fn an_orphan_dies_when_a_sibling_s_program_ends() {
    let mut host =
        daemon("\nimport sys\nline = sys.stdin.readline()\nif 's-00000007-1' in line: sys.stdin.readline()\n");
    host.send(&start(1));
    let orphan = pid_in(&host.path("orphan"));
    host.send(&start(2));
    host.ran(2);
    wait_for_death(orphan);
}

#[test]
fn the_end_of_the_channel_kills_programs_and_their_orphans() {
    let mut host = daemon("\nopen('../pid','w').write('%d\\n' % os.getpid())\ntime.sleep(1000)\n");
    host.send(&start(1));
    let (program, orphan) = (pid_in(&host.path("pid")), pid_in(&host.path("orphan")));
    assert!(lives(program) && lives(orphan));
    host.socket = None;
    assert!(host.wait().success());
    assert!(!lives(program) && !lives(orphan));
}

#[test]
fn a_program_dies_with_a_host_that_is_killed() {
    let mut host = Supervised::serving(&["/bin/sh", "-c", "echo $$ > ../pid; exec sleep 1000"]);
    host.send(&start(1));
    let program = pid_in(&host.path("pid"));
    kill(Pid::from_raw(host.child.id() as i32), Signal::SIGKILL).unwrap();
    wait_for_death(program);
}
