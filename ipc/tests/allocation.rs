//! What a peer merely claims is never reserved: hostile bytes make us hold what came, and one frame at most for a claim.
//!
//! A binary of its own, with one test, because it counts every allocation of the process.

use openrtc_ipc::frame::{FRAME_BYTES_MAX, ORDINARY_BYTES_MAX, header};
use openrtc_ipc::{FrameReader, Lane, decode_command, decode_report};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// For error texts and the reader's own first buffer.
const SLACK: usize = 64 * 1024;

/// The most held at once while doing this, above what was held before.
fn peak(work: impl FnOnce()) -> usize {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    work();
    ALLOCATED.peak_usage().saturating_sub(before)
}

fn framed(lane: Lane, body: &[u8]) -> Vec<u8> {
    let mut bytes = header(lane, body.len()).unwrap().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

fn read(bytes: &[u8]) {
    let (mut reports, mut commands) = (FrameReader::new(), FrameReader::new());
    for piece in bytes.chunks(4096) {
        reports.push(piece);
        let _ = reports.next_report();
    }
    drop(reports);
    for piece in bytes.chunks(4096) {
        commands.push(piece);
        let _ = commands.next_command();
    }
    drop(commands);
    let mut reader = FrameReader::new();
    for piece in bytes.chunks(4096) {
        reader.push(piece);
        if let Ok(Some(frame)) = reader.next_frame() {
            let _ = decode_report(&frame);
            let _ = decode_command(&frame);
        }
    }
}

/// Every variant number, then a length in each of the codec's widths, then a little of anything.
fn length_bombs() -> Vec<Vec<u8>> {
    let lengths: [&[u8]; 6] = [
        &[251, 0xff, 0xff],
        &[252, 0xff, 0xff, 0x0f, 0],
        &[252, 0xff, 0xff, 0xff, 0xff],
        &[253, 0, 0, 0, 0, 1, 0, 0, 0],
        &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    ];
    let mut bombs = Vec::new();
    for variant in 0..16_u8 {
        for length in lengths {
            for before in 0..4 {
                let mut body = vec![variant];
                body.extend(std::iter::repeat_n(1, before));
                body.extend(length.repeat(4));
                bombs.push(body);
            }
        }
    }
    bombs
}

#[test]
fn hostile_bytes_make_us_hold_what_came_and_never_what_they_claim() {
    let held = peak(|| read(&[0xff; 4]));
    assert!(held < SLACK, "a header of 0xffffffff: {held} bytes");

    let claim = header(Lane::Bulk, FRAME_BYTES_MAX).unwrap();
    let held = peak(|| read(&claim));
    assert!(held < SLACK, "a header that claims a whole frame: {held} bytes");

    for bomb in length_bombs() {
        for lane in [Lane::Ordinary, Lane::Bulk] {
            let bytes = framed(lane, &bomb);
            let held = peak(|| read(&bytes));
            let held_max = if lane == Lane::Ordinary { 2 * ORDINARY_BYTES_MAX } else { FRAME_BYTES_MAX };
            assert!(held <= held_max + SLACK, "{lane:?} {bomb:02x?}: {held} bytes");
        }
    }

    // A full frame of the smallest entries: the frame itself, and what it may become.
    for variant in 0..16_u8 {
        let mut body = vec![variant, 253, 0, 0, 4, 0, 0, 0, 0, 0];
        body.resize(FRAME_BYTES_MAX, 1);
        let bytes = framed(Lane::Bulk, &body);
        let held = peak(|| read(&bytes));
        assert!(held <= 3 * FRAME_BYTES_MAX + SLACK, "variant {variant}: {held} bytes");
    }
}
