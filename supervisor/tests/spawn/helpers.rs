//! Secret commands.

use std::time::{Duration, Instant};

use openrtc_ipc::SetupStep;
use openrtc_policy::WaitStatus;
use openrtc_supervisor::spawn::{ChildTable, SpawnError};

use crate::program::{self, until};

fn shell(script: &str) -> [String; 3] {
    ["/bin/sh", "-c", script].map(String::from)
}

pub(crate) async fn a_helper_gets_its_input_and_only_the_passed_variables() {
    let spawner = program::with_zygote().await;
    let known = ChildTable::of_this_process().len();
    let argv = ["sh", "-c", "read line; echo \"$line\" $#; env | cut -d= -f1"].map(String::from);
    let output = spawner.run(&argv, Some(b"a line\n".to_vec()), program::DEADLINE).await.expect("output");
    assert_eq!(output.status, WaitStatus::Exited(0));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("a line 0"));
    // The shell itself adds the last three.
    let passed = ["PATH", "LANG", "TZ", "PWD", "SHLVL", "_", "OLDPWD"];
    assert!(lines.all(|name| passed.contains(&name)), "{text}");
    assert!(!format!("{output:?}").contains("a line"), "nothing printed is shown");
    assert_eq!(ChildTable::of_this_process().len(), known);
}

pub(crate) async fn a_failing_helper_tells_its_code_and_what_it_complained_of() {
    let spawner = program::with_zygote().await;
    let script = "i=0; while [ $i -lt 2000 ]; do echo padding >&2; i=$((i+1)); done; echo no such key >&2; exit 3";
    let output = spawner.run(&shell(script), None, program::DEADLINE).await.expect("output");
    assert_eq!(output.status, WaitStatus::Exited(3));
    assert!(output.stderr.ends_with("padding\nno such key"), "{}", output.stderr);
    assert!(output.stderr.len() <= 4096);
}

pub(crate) async fn a_slow_helper_is_killed_with_its_group() {
    let spawner = program::with_zygote().await;
    let known = ChildTable::of_this_process().len();
    let sleep = program::long_sleep(5);
    let argv = shell(&format!("{sleep} & {sleep}"));
    let error = spawner.run(&argv, None, Duration::from_millis(300)).await.expect_err("too slow");
    assert!(matches!(error, SpawnError::HelperSlow { limit_ms: 300, .. }), "{error:?}");
    until("the group is dead", || program::running(&sleep).is_empty()).await;
    assert_eq!(ChildTable::of_this_process().len(), known);
}

pub(crate) async fn a_talkative_helper_is_killed() {
    let spawner = program::with_zygote().await;
    let fits = shell("head -c 65536 /dev/zero");
    let output = spawner.run(&fits, None, program::DEADLINE).await.expect("just fits");
    assert_eq!(output.stdout.len(), 65536);
    let sleep = program::long_sleep(6);
    let endless = shell(&format!("trap '' PIPE; cat /dev/zero; {sleep}"));
    let begun = Instant::now();
    let error = spawner.run(&endless, None, program::DEADLINE).await;
    assert!(matches!(error, Err(SpawnError::HelperTalkative { bytes_max: 65536, .. })), "{error:?}");
    assert!(begun.elapsed() < program::DEADLINE);
    until("it is dead", || program::running(&sleep).is_empty()).await;
}

pub(crate) async fn a_helper_that_leaves_a_child_behind_is_not_waited_for() {
    let spawner = program::with_zygote().await;
    let sleep = program::long_sleep(7);
    let output = spawner.run(&shell(&format!("{sleep} & echo key")), None, program::DEADLINE).await.expect("output");
    assert_eq!(&output.stdout[..], b"key\n");
    until("the child is dead", || program::running(&sleep).is_empty()).await;
}

pub(crate) async fn a_missing_helper_names_the_step_and_the_errno() {
    let spawner = program::with_zygote().await;
    let bare = spawner.run(&["no-such-program-anywhere".to_owned()], None, program::DEADLINE).await;
    assert_eq!(bare.expect_err("missing").step(), SetupStep::Exec);
    for argv in [vec!["/nowhere/key".to_owned()], Vec::new()] {
        let error = spawner.run(&argv, None, program::DEADLINE).await.expect_err("missing");
        assert_eq!((error.step(), error.errno()), (SetupStep::Exec, libc::ENOENT), "{argv:?}");
    }
}
