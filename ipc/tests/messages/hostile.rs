//! Any bytes give a message or a `WireError`: never a panic, and each kind of wrong has its own name.

use openrtc_ipc::frame::{FRAME_BYTES_MAX, ORDINARY_BYTES_MAX, header};
use openrtc_ipc::report::READY_AGENTS_MAX;
use openrtc_ipc::snapshot::SNAPSHOT_SESSIONS_MAX;
use openrtc_ipc::{
    Frame, FrameReader, HostSnapshot, Lane, LogLevel, Report, SessionId, WireError, decode_command, decode_report,
    encode_command, encode_report,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::samples::{agent, commands, reports};
use crate::strategies::report;

/// Reads as a supervisor and as a host would, until the first error.
fn read(bytes: &[u8], size: usize) {
    read_frames(bytes, size);
    read_messages(bytes, size, FrameReader::next_report);
    read_messages(bytes, size, FrameReader::next_command);
}

fn read_messages<M>(bytes: &[u8], size: usize, next: impl Fn(&mut FrameReader) -> Result<Option<M>, WireError>) {
    let mut reader = FrameReader::new();
    for piece in bytes.chunks(size.max(1)) {
        reader.push(piece);
        loop {
            match next(&mut reader) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return assert!(error.to_string().len() < 400, "{error}"),
            }
        }
    }
}

fn read_frames(bytes: &[u8], size: usize) {
    let mut reader = FrameReader::new();
    for piece in bytes.chunks(size.max(1)) {
        reader.push(piece);
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => {
                    for error in [decode_report(&frame).err(), decode_command(&frame).err()].into_iter().flatten() {
                        assert!(error.to_string().len() < 400, "{error}");
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

fn frame(bytes: &[u8]) -> Result<Option<Frame>, WireError> {
    let mut reader = FrameReader::new();
    reader.push(bytes);
    reader.next_frame()
}

fn body(lane: Lane, body: &[u8]) -> Frame {
    let mut bytes = header(lane, body.len()).unwrap().to_vec();
    bytes.extend_from_slice(body);
    frame(&bytes).unwrap().unwrap()
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_read_or_refused(bytes in vec(any::<u8>(), 0..600), size in 1_usize..80) {
        read(&bytes, size);
    }

    #[test]
    fn any_body_behind_a_good_header_is_read_or_refused(bytes in vec(any::<u8>(), 0..300), bulk in any::<bool>()) {
        let lane = if bulk { Lane::Bulk } else { Lane::Ordinary };
        let mut whole = header(lane, bytes.len()).unwrap().to_vec();
        whole.extend_from_slice(&bytes);
        read(&whole, 7);
    }

    #[test]
    fn a_good_report_with_one_byte_changed_is_read_or_refused(
        report in report(), at in any::<prop::sample::Index>(), to in any::<u8>(),
    ) {
        let mut bytes = encode_report(&report).unwrap().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        read(&bytes, 11);
    }

    #[test]
    fn a_truncated_body_is_refused(report in report(), at in any::<prop::sample::Index>()) {
        let bytes = encode_report(&report).unwrap();
        let whole = &bytes[4..];
        let cut = &whole[..at.index(whole.len())];
        let lane = frame(&bytes).unwrap().unwrap().lane;
        let refused = matches!(decode_report(&body(lane, cut)), Err(WireError::Malformed { .. }));
        prop_assert!(refused);
    }
}

#[test]
fn a_header_alone_is_enough_to_refuse() {
    assert!(matches!(frame(&[0xff; 4]), Err(WireError::UnknownLane { lane: 0xff })));
    assert!(
        matches!(frame(&[0xff, 0xff, 0xff, 1]), Err(WireError::Oversized { bytes: 0xff_ffff, bytes_max }) if bytes_max == FRAME_BYTES_MAX)
    );
    let one_more = ((ORDINARY_BYTES_MAX + 1) as u32).to_le_bytes();
    assert!(matches!(frame(&one_more), Err(WireError::Oversized { bytes_max: ORDINARY_BYTES_MAX, .. })));
    let at_most = (ORDINARY_BYTES_MAX as u32).to_le_bytes();
    assert!(matches!(frame(&at_most), Ok(None)));
}

#[test]
fn a_message_on_the_lane_of_another_is_refused() {
    for report in reports() {
        let frame = frame(&encode_report(&report).unwrap()).unwrap().unwrap();
        let other = if frame.lane == Lane::Bulk { Lane::Ordinary } else { Lane::Bulk };
        assert!(matches!(decode_report(&Frame { lane: other, ..frame }), Err(WireError::WrongLane)), "{report:?}");
    }
    for command in commands() {
        let frame = frame(&encode_command(&command).unwrap()).unwrap().unwrap();
        let other = if frame.lane == Lane::Bulk { Lane::Ordinary } else { Lane::Bulk };
        assert!(matches!(decode_command(&Frame { lane: other, ..frame }), Err(WireError::WrongLane)), "{command:?}");
    }
}

#[test]
fn bytes_after_a_message_are_refused_with_their_number() {
    for report in reports() {
        let frame = frame(&encode_report(&report).unwrap()).unwrap().unwrap();
        let mut longer = frame.body.to_vec();
        longer.extend_from_slice(&[0, 1, 2]);
        let error = decode_report(&body(frame.lane, &longer)).unwrap_err();
        assert!(matches!(error, WireError::Trailing { bytes: 3 }), "{report:?}: {error}");
    }
}

#[test]
fn a_message_longer_than_its_lane_is_not_sent() {
    let message = "x".repeat(ORDINARY_BYTES_MAX);
    let error = encode_report(&Report::Log { level: LogLevel::Info, message }).unwrap_err();
    assert!(matches!(error, WireError::Oversized { bytes_max: ORDINARY_BYTES_MAX, .. }), "{error}");
}

#[test]
fn a_message_as_long_as_its_lane_arrives() {
    let overhead =
        encode_report(&Report::Log { level: LogLevel::Info, message: "x".repeat(60_000) }).unwrap().len() - 60_004;
    let message = "x".repeat(ORDINARY_BYTES_MAX - overhead);
    let report = Report::Log { level: LogLevel::Info, message };
    let bytes = encode_report(&report).unwrap();
    assert_eq!(decode_report(&frame(&bytes).unwrap().unwrap()).unwrap(), report);
}

#[test]
fn lists_end_at_their_bounds() {
    let snapshot = |count: usize| {
        let sessions = (0..count as u64).map(|seq| SessionId { run: u32::MAX, seq: u64::MAX - seq }).collect();
        let report = Report::Snapshot(HostSnapshot { sessions, ..HostSnapshot::default() });
        decode_report(&frame(&encode_report(&report).unwrap()).unwrap().unwrap())
    };
    assert!(snapshot(SNAPSHOT_SESSIONS_MAX).is_ok());
    assert!(matches!(snapshot(SNAPSHOT_SESSIONS_MAX + 1), Err(WireError::Malformed { .. })));
    let ready = |count: usize| {
        let report = Report::Ready { agents: vec![agent(); count] };
        decode_report(&frame(&encode_report(&report).unwrap()).unwrap().unwrap())
    };
    assert!(ready(READY_AGENTS_MAX).is_ok());
    assert!(matches!(ready(READY_AGENTS_MAX + 1), Err(WireError::Malformed { .. })));
}

#[test]
fn what_is_wrong_is_told_in_a_bounded_text() {
    // A reroute to an agent whose name is 60 kB of characters that take ten bytes each when shown.
    let mut bytes =
        encode_report(&Report::SessionStarted { session: SessionId { run: 1, seq: 1 } }).unwrap()[4..].to_vec();
    bytes[0] += 1;
    let name = "\u{10ffff}".repeat(15_000);
    bytes.push(251);
    bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
    let error = decode_report(&body(Lane::Ordinary, &bytes)).unwrap_err();
    let WireError::Malformed { detail } = error else { panic!("{error}") };
    assert!(detail.contains("agent name") && detail.len() <= 256, "{detail}");
}
