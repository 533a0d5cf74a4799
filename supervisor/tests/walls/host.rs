//! The host under test: says hello, raises its walls, waits for the green light, does what it was made for.
//!
//! Owns: the child's side of the protocol's first steps. Never: more of it than the walls need.

use std::hint::black_box;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use openrtc_ipc::blocking::Channel;
use openrtc_ipc::{Command, Hello, PROTOCOL, Report};
use openrtc_tenant_host::lockdown::{self, Inherited};

use crate::attacks;

/// Descriptor of the channel: standard input.
fn channel() -> Channel {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().expect("duplicate standard input");
    Channel::new(UnixStream::from(stdin))
}

/// `what` and its arguments, done after the green light.
pub(crate) fn run(what: &[String]) -> ExitCode {
    // As if a zygote had forked it: what a fork inherits is the same process's here.
    let inherited = if what.iter().any(|word| word == "zygote") {
        lockdown::preset_zygote().expect("preset the zygote");
        Inherited::Zygote
    } else {
        Inherited::Nothing
    };
    let mut channel = channel();
    let hello = Hello { protocol: PROTOCOL, program: "walls".into(), version: "0".into() };
    channel.report(&Report::Hello(hello)).expect("say hello");
    let mut keep = Vec::new();
    if let Some(bytes) = what.iter().find_map(|word| word.strip_prefix("inherit=")) {
        keep = touched(bytes.parse().expect("bytes"));
    }
    let Ok(Command::Welcome(welcome)) = channel.command() else { panic!("no welcome") };
    let walls = match welcome.lockdown.map(|lockdown| lockdown::apply(&lockdown, channel.take_fds(), inherited)) {
        None => Vec::new(),
        Some(Ok(walls)) => walls,
        Some(Err(error)) => {
            let failed = Report::SetupFailed { step: error.step, errno: error.errno, detail: error.detail };
            channel.report(&failed).expect("report the failure");
            return ExitCode::FAILURE;
        }
    };
    channel.report(&Report::Launched { walls }).expect("report the walls");
    let Ok(Command::Proceed { .. }) = channel.command() else { panic!("no green light") };
    act(what, &mut channel, &mut keep)
}

fn touched(bytes: usize) -> Vec<u8> {
    let mut memory = vec![0_u8; bytes];
    rewrite(&mut memory);
    memory
}

fn rewrite(memory: &mut [u8]) {
    for page in memory.chunks_mut(4096) {
        page[0] = page[0].wrapping_add(1);
    }
    black_box(memory);
}

fn act(what: &[String], channel: &mut Channel, keep: &mut [u8]) -> ExitCode {
    let mut held = Vec::new();
    let number = |at: usize| what[at].parse::<usize>().expect("a number");
    match what[0].as_str() {
        "wait" => {}
        "attack" => println!("{}", attacks::all(&what[1..])),
        "hold" => {
            held = touched(number(1));
            say(());
        }
        "exec" => {
            let error = std::process::Command::new(&what[1]).args(&what[2..]).exec();
            println!("exec failed: {error}");
            return ExitCode::FAILURE;
        }
        "run" => {
            let mut command = std::process::Command::new(&what[1]);
            let child = command.args(&what[2..]).stdin(std::process::Stdio::null()).spawn();
            say(child.is_ok());
        }
        "rewrite" => {
            rewrite(keep);
            say(());
        }
        "spin" => loop {
            black_box(0);
        },
        other => panic!("no such act: {other}"),
    }
    // Until the supervisor closes the channel.
    let _ = channel.command();
    black_box(&mut held);
    ExitCode::SUCCESS
}

fn say<T>(value: T) -> T {
    println!("done");
    std::io::stdout().flush().expect("say that it is done");
    value
}
