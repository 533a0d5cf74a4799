//! A host program that breaks the protocol in one chosen way: the tenant's code, written to harm.
//!
//! Owns: scenarios 12 to 16, 18 and 19 as a program. Never: used by the product.

use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;

use openrtc_ipc::blocking::Channel;
use openrtc_ipc::{
    AgentName, Command, EndStatus, Hello, PROTOCOL, Report, SessionEvent, SessionId, Usage, encode_report,
};

fn main() {
    let mode = std::env::args().nth(1).expect("a mode");
    // SAFETY: descriptor 3 is the channel that the supervisor gave us, and nothing else here uses it.
    let socket = unsafe { UnixStream::from_raw_fd(3) };
    let raw = socket.try_clone().expect("clone the channel");
    let mut channel = Channel::new(socket);
    if mode == "mute" {
        wait_for_ever();
    }
    if mode == "die_before_hello" {
        std::process::exit(7);
    }
    let protocol = if mode == "version" { PROTOCOL + 1 } else { PROTOCOL };
    let hello = Hello { protocol, program: "rogue".to_owned(), version: "1".to_owned() };
    channel.report(&Report::Hello(hello)).expect("say hello");
    if mode == "early_event" {
        let event = SessionEvent::State { state: "early".to_owned() };
        let _ = channel.report(&Report::SessionEvent { session: SessionId { run: 1, seq: 1 }, event });
        wait_for_ever();
    }
    loop {
        match channel.command() {
            Ok(Command::Configure(configure)) => {
                if mode == "never_ready" {
                    wait_for_ever();
                }
                let agents: Vec<AgentName> = configure.agents.into_iter().map(|agent| agent.name).collect();
                channel.report(&Report::Ready { agents }).expect("say ready");
            }
            Ok(Command::StartSession { info, .. }) => {
                channel.report(&Report::SessionStarted { session: info.session }).expect("start");
                misbehave(&mode, &mut channel, &raw, info.session);
            }
            Ok(Command::Ping { nonce }) => channel.report(&Report::Pong { nonce }).expect("pong"),
            Ok(_) => {}
            Err(_) => std::process::exit(0),
        }
    }
}

fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

fn misbehave(mode: &str, channel: &mut Channel, mut raw: &UnixStream, session: SessionId) {
    let stranger = SessionId { run: session.run, seq: session.seq + 1000 };
    let end = |session| Report::SessionEnded { session, status: EndStatus::Success, error: None };
    match mode {
        "behave" => channel.report(&end(session)).expect("end"),
        "garbage" => {
            raw.write_all(&[16, 0, 0, 0, 0xfe, 0xfd, 0xfc, 0xfb, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).expect("write")
        }
        "oversized" => raw.write_all(&[0xff, 0xff, 0xff, 0x00]).expect("write"),
        "unknown_lane" => raw.write_all(&[0xff, 0xff, 0xff, 0xff]).expect("write"),
        "slow" => {
            raw.write_all(&[200]).expect("write");
            wait_for_ever();
        }
        "trailing" => {
            let mut frame = encode_report(&Report::Pong { nonce: 0 }).expect("encode").to_vec();
            frame[0] += 3;
            frame.extend_from_slice(&[0, 0, 0]);
            raw.write_all(&frame).expect("write");
        }
        "strangers_event" => {
            let event = SessionEvent::Usage(Usage { tts_characters: 1_000_000, ..Usage::default() });
            channel.report(&Report::SessionEvent { session: stranger, event }).expect("report");
        }
        "strangers_end" => channel.report(&end(stranger)).expect("report"),
        "second_ready" => channel.report(&Report::Ready { agents: Vec::new() }).expect("report"),
        "pong_from_the_future" => channel.report(&Report::Pong { nonce: u64::MAX }).expect("report"),
        "hang_up" => {
            raw.shutdown(std::net::Shutdown::Both).expect("hang up");
            wait_for_ever();
        }
        "never_read" => wait_for_ever(),
        "flood" => loop {
            let event = SessionEvent::Custom { name: "flood".to_owned(), json: "{}".to_owned() };
            if channel.report(&Report::SessionEvent { session, event }).is_err() {
                std::process::exit(0);
            }
        },
        "descriptors" => {
            let mut drained = [0; 1];
            let zero = std::fs::File::open("/dev/null").expect("open");
            let pong = encode_report(&Report::Log {
                level: openrtc_ipc::LogLevel::Info,
                message: "with descriptors".to_owned(),
            })
            .expect("encode");
            for _ in 0..100 {
                use std::os::fd::AsFd;
                openrtc_ipc::fds::send(raw, &pong, &[zero.as_fd(); 8]).expect("send descriptors");
            }
            channel.report(&end(session)).expect("end");
            let _ = raw.read(&mut drained);
        }
        other => panic!("unknown mode {other}"),
    }
    if mode != "behave" {
        wait_for_ever();
    }
}
