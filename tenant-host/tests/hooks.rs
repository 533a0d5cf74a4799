//! Around each fork of a zygote its hooks run, in their order and on their side, and no fork is made beside a second thread.
//!
//! Has a main of its own: a zygote must have one thread, and libtest's processes have more. It is its own zygote.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use openrtc_ipc::zygote::MESSAGE_BYTES_MAX;
use openrtc_ipc::{Need, ZygoteFork, ZygoteReply, fds};
use openrtc_tenant_host::zygote::{ForkHooks, Zygote};

/// Remembers what ran.
#[derive(Default)]
struct Memory(Vec<&'static str>);

impl ForkHooks for Memory {
    fn before(&mut self) {
        self.0.push("before");
    }

    fn after_in_zygote(&mut self) {
        self.0.push("zygote");
    }

    fn after_in_child(&mut self) {
        self.0.push("child");
    }
}

/// A thread of this name that ends when the sender is dropped.
fn beside(name: &str) -> (Sender<()>, JoinHandle<()>) {
    let (end, ended) = channel::<()>();
    let (started, starts) = channel();
    let run = move || {
        started.send(()).unwrap();
        ended.recv().unwrap_err();
    };
    let thread = std::thread::Builder::new().name(name.into()).spawn(run).unwrap();
    // Only from then on does it bear its name.
    starts.recv().unwrap();
    (end, thread)
}

fn zygote(second: Option<(Sender<()>, JoinHandle<()>)>) {
    let mut memory = Memory::default();
    let zygote = Zygote::inherited().unwrap();
    match zygote.serve(&mut memory, 1).unwrap() {
        Some((mut channel, need)) => write!(channel, "{} {need:?}", memory.0.join(" ")).unwrap(),
        None => println!("{}", memory.0.join(" ")),
    }
    if let Some((end, thread)) = second {
        drop(end);
        thread.join().unwrap();
    }
}

fn start(role: &str) -> (std::process::Child, OwnedFd) {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let child = Command::new("/bin/sh")
        .args(["-c", "exec \"$0\" \"$1\" 3<&0 </dev/null"])
        .arg(std::env::current_exe().unwrap())
        .arg(role)
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(answer(&ours), ZygoteReply::Ready);
    (child, ours)
}

fn answer(socket: &OwnedFd) -> ZygoteReply {
    let mut bytes = [0; MESSAGE_BYTES_MAX];
    let count = fds::receive(socket, &mut bytes, &mut Vec::new()).unwrap();
    ZygoteReply::decode(&bytes[..count]).expect("an answer, not the end")
}

fn fork(socket: &OwnedFd, need: Need) -> (ZygoteReply, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let output = std::fs::File::options().write(true).open("/dev/null").unwrap();
    fds::send(socket, &ZygoteFork { need }.encode(), &[theirs.as_fd(), output.as_fd(), output.as_fd()]).unwrap();
    (answer(socket), ours)
}

fn hooks_run_around_each_fork_on_their_own_side() {
    let (mut child, socket) = start("--zygote");
    for (need, expected) in [(Need::Now, "before child Now"), (Need::Later, "before zygote before child Later")] {
        let (reply, mut channel) = fork(&socket, need);
        let ZygoteReply::Forked { pid } = reply else { panic!("{reply:?}") };
        let mut ran = String::new();
        channel.read_to_string(&mut ran).unwrap();
        assert_eq!(ran, expected);
        let everything = Some(nix::sys::wait::WaitPidFlag::__WALL);
        nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), everything).unwrap();
    }
    drop(socket);
    let mut ran = String::new();
    child.stdout.take().unwrap().read_to_string(&mut ran).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(ran.trim(), "before zygote before zygote");
}

fn beside_a_second_thread_no_hook_runs_and_the_thread_is_named() {
    let (mut child, socket) = start("--zygote-with-thread");
    let refused = ZygoteReply::Refused { threads: 2, names: "onnx-pool".into() };
    assert_eq!(fork(&socket, Need::Now).0, refused);
    drop(socket);
    let mut ran = String::new();
    child.stdout.take().unwrap().read_to_string(&mut ran).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(ran.trim(), "");
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("--zygote") => zygote(None),
        Some("--zygote-with-thread") => zygote(Some(beside("onnx-pool"))),
        _ => {
            hooks_run_around_each_fork_on_their_own_side();
            beside_a_second_thread_no_hook_runs_and_the_thread_is_named();
            println!("test hooks ... ok");
        }
    }
}
