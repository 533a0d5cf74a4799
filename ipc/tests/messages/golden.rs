//! The bytes of every variant are those that were checked in: an old host still understands us.
//!
//! `UPDATE_GOLDEN=1 cargo test -p openrtc-ipc` writes them anew; a changed line means a new `PROTOCOL` number.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use openrtc_ipc::{FrameReader, decode_command, decode_report, encode_command, encode_report};

use crate::samples::{command_name, commands, report_name, reports};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/messages/golden.txt")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn now() -> BTreeMap<&'static str, String> {
    let commands = commands();
    let reports = reports();
    let commands = commands.iter().map(|command| (command_name(command), hex(&encode_command(command).unwrap())));
    commands.chain(reports.iter().map(|report| (report_name(report), hex(&encode_report(report).unwrap())))).collect()
}

fn checked_in() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap()).map(|(name, hex)| (name.into(), hex.into())).collect()
}

#[test]
fn the_bytes_of_every_variant_are_those_checked_in() {
    let now = now();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let mut text = "# The frame of each sample in samples.rs, in hexadecimal. Never edited by hand.\n".to_owned();
        now.iter().for_each(|(name, hex)| text.push_str(&format!("{name} {hex}\n")));
        std::fs::write(path(), text).unwrap();
    }
    let checked_in = checked_in();
    for (name, hex) in &now {
        assert_eq!(checked_in.get(*name), Some(hex), "{name}");
    }
    assert_eq!(checked_in.len(), now.len(), "a variant is gone");
}

#[test]
fn the_bytes_checked_in_are_read_as_the_samples() {
    let checked_in = checked_in();
    let frame = |name: &str| {
        let mut reader = FrameReader::new();
        reader.push(&unhex(&checked_in[name]));
        reader.next_frame().unwrap().unwrap()
    };
    for command in commands() {
        assert_eq!(decode_command(&frame(command_name(&command))).unwrap(), command);
    }
    for report in reports() {
        assert_eq!(decode_report(&frame(report_name(&report))).unwrap(), report);
    }
}
