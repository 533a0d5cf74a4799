//! A zygote is warm, forks hosts that are the spawner's own children, and ends with its socket.

use std::io::Read;

use openrtc_ipc::{Report, ZygoteReply, decode_report};

use crate::spawner::Spawned;
use crate::supervisor::wait_until;

#[test]
fn a_zygote_forks_hosts_that_say_hello_and_are_children_of_the_spawner() {
    let mut zygote = Spawned::start(&["zygote"]);
    assert_eq!(zygote.answer().0, ZygoteReply::Ready);
    for _ in 0..2 {
        let (pid, mut channel) = zygote.fork();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert_eq!(field(&status, "PPid"), std::process::id().to_string());
        let mut header = [0; 4];
        channel.read_exact(&mut header).unwrap();
        let mut body = vec![0; header[0].into()];
        channel.read_exact(&mut body).unwrap();
        let frame = openrtc_ipc::Frame { lane: openrtc_ipc::Lane::Ordinary, body: body.into() };
        assert!(matches!(decode_report(&frame).unwrap(), Report::Hello(_)));
        drop(channel);
        let ended = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), Some(nix::sys::wait::WaitPidFlag::__WALL));
        assert!(matches!(ended, Ok(nix::sys::wait::WaitStatus::Exited(_, 0))), "{ended:?}");
    }
    zygote.socket = None;
    let status = wait_until("the zygote ends with its socket", || zygote.child.try_wait().unwrap());
    assert!(status.success(), "{}", zygote.stderr());
}

/// A field of `/proc/PID/status`.
pub(crate) fn field(status: &str, name: &str) -> String {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
}
