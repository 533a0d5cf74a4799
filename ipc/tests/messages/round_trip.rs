//! What one side says is what the other side reads, however the bytes are cut.

use openrtc_ipc::{Frame, FrameReader, WireError, decode_command, decode_report, encode_command, encode_report};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies::{command, report};

/// Pushes the bytes in pieces of these sizes, over and over, and takes every frame as soon as it is there.
pub(crate) fn frames(bytes: &[u8], sizes: &[usize]) -> Vec<Frame> {
    taken(bytes, sizes, FrameReader::next_frame)
}

fn taken<T>(bytes: &[u8], sizes: &[usize], next: impl Fn(&mut FrameReader) -> Result<Option<T>, WireError>) -> Vec<T> {
    let (mut reader, mut taken, mut rest) = (FrameReader::new(), Vec::new(), bytes);
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, later) = rest.split_at((*size).clamp(1, rest.len()));
        reader.push(piece);
        while let Some(one) = next(&mut reader).unwrap() {
            taken.push(one);
        }
        rest = later;
    }
    assert!(!reader.is_partial(), "bytes are left over");
    taken
}

proptest! {
    #[test]
    fn commands_arrive_as_they_were_sent(commands in vec(command(), 1..4), sizes in vec(1_usize..700, 1..6)) {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode_command(command).unwrap()).collect();
        let read: Vec<_> = frames(&bytes, &sizes).iter().map(|frame| decode_command(frame).unwrap()).collect();
        prop_assert_eq!(&read, &commands);
        prop_assert_eq!(taken(&bytes, &sizes, FrameReader::next_command), commands);
    }

    #[test]
    fn reports_arrive_as_they_were_sent(reports in vec(report(), 1..4), sizes in vec(1_usize..700, 1..6)) {
        let bytes: Vec<u8> = reports.iter().flat_map(|report| encode_report(report).unwrap()).collect();
        let read: Vec<_> = frames(&bytes, &sizes).iter().map(|frame| decode_report(frame).unwrap()).collect();
        prop_assert_eq!(&read, &reports);
        prop_assert_eq!(taken(&bytes, &sizes, FrameReader::next_report), reports);
    }
}
