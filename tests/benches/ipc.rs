//! Cost of the wire: ping-pong latency and event throughput, against a raw socketpair, interleaved in one run.
//!
//! Owns: `cargo bench -p openrtc-tests --bench ipc`. Never: asserts a time.
//!
//! The other end of every pair is a thread that answers or drains with blocking calls: on the asker's core for the
//! latency, free for the throughput. CPU is both ends summed, from the process's CPU clock.

#[path = "measure/mod.rs"]
mod measure;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use measure::Series;
use openrtc_ipc::{FrameReader, Report, SessionEvent, SessionId, Usage, encode_report, encode_report_into};

const ROUNDS: usize = 15;
const PINGS: usize = 2_000;
const EVENTS: usize = 200_000;
/// What one write carries when events are batched, in bytes.
const BATCH_BYTES: usize = 64 * 1024;

fn event() -> Report {
    let usage = Usage { llm_tokens_in: 1200, llm_tokens_out: 300, stt_ms: 61_000, tts_characters: 900 };
    Report::SessionEvent { session: SessionId { run: 0x1a2b_3c4d, seq: 77 }, event: SessionEvent::Usage(usage) }
}

fn main() {
    if measure::only_tests() {
        return;
    }
    let frame = encode_report(&event()).expect("encode");
    println!("one event is {} bytes on the wire", frame.len());
    let mut latency: [Series; 2] = Default::default();
    let mut throughput: [Series; 3] = Default::default();
    for _ in 0..ROUNDS {
        latency[0].extend(measure::on_one_core(|| {
            ping_pong(frame.len(), |socket, bytes| {
                socket.write_all(bytes).expect("write");
                socket.read_exact(bytes).expect("read");
            })
        }));
        latency[1].extend(measure::on_one_core(framed_ping_pong));
        throughput[0].push(one_way(1, false));
        throughput[1].push(one_way(BATCH_BYTES / frame.len(), false));
        throughput[2].push(one_way(BATCH_BYTES / frame.len(), true));
    }
    let base = latency[0].median();
    for (name, rows) in ["raw socketpair", "frame and codec, both ways"].iter().zip(&latency) {
        println!("ping-pong      {name:<28} us/round trip: {rows}   {:>5.2} x raw", rows.median() / base);
    }
    let base = throughput[0].median();
    let names = ["raw, one write per event", "raw bytes, 64 KiB writes", "encoded, framed, decoded, 64 KiB writes"];
    for (name, rows) in names.iter().zip(&throughput) {
        let value = rows.median();
        println!("events         {name:<40} {:>8.2} M per CPU second   {:>6.1} x raw", value / 1e6, value / base);
    }
}

/// CPU of this whole process so far, in seconds.
fn cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Microseconds of each round trip of `bytes`, echoed by another thread.
fn ping_pong(bytes: usize, mut exchange: impl FnMut(&mut UnixStream, &mut [u8])) -> Vec<f64> {
    let (mut asker, mut answerer) = UnixStream::pair().expect("socketpair");
    let echo = std::thread::spawn(move || {
        let mut buffer = vec![0; bytes];
        while answerer.read_exact(&mut buffer).is_ok() {
            answerer.write_all(&buffer).expect("echo");
        }
    });
    let mut buffer = vec![0; bytes];
    let mut trips = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let start = Instant::now();
        exchange(&mut asker, &mut buffer);
        trips.push(start.elapsed().as_secs_f64() * 1e6);
    }
    drop(asker);
    echo.join().expect("echo ends");
    trips
}

fn framed_ping_pong() -> Vec<f64> {
    let (mut asker, mut answerer) = UnixStream::pair().expect("socketpair");
    let echo = std::thread::spawn(move || {
        let mut reader = FrameReader::new();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = answerer.read(&mut bytes) {
            reader.push(&bytes[..count]);
            while let Some(report) = reader.next_report().expect("report") {
                answerer.write_all(&encode_report(&report).expect("encode")).expect("echo");
            }
        }
    });
    let (message, mut reader, mut bytes) = (event(), FrameReader::new(), [0; 4096]);
    let mut trips = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let start = Instant::now();
        asker.write_all(&encode_report(&message).expect("encode")).expect("write");
        let report = loop {
            if let Some(report) = reader.next_report().expect("report") {
                break report;
            }
            let count = asker.read(&mut bytes).expect("read");
            reader.push(&bytes[..count]);
        };
        std::hint::black_box(report);
        trips.push(start.elapsed().as_secs_f64() * 1e6);
    }
    drop(asker);
    echo.join().expect("echo ends");
    trips
}

/// Events per second of CPU, both ends summed.
fn one_way(per_write: usize, with_codec: bool) -> f64 {
    let (mut sender, mut receiver) = UnixStream::pair().expect("socketpair");
    let frame = encode_report(&event()).expect("encode");
    let expected = frame.len() * EVENTS;
    let start = cpu_s();
    let drain = std::thread::spawn(move || {
        let (mut reader, mut bytes, mut seen, mut events) = (FrameReader::new(), vec![0; BATCH_BYTES], 0, 0);
        while seen < expected {
            let count = receiver.read(&mut bytes).expect("read");
            seen += count;
            if with_codec {
                reader.push(&bytes[..count]);
                while let Some(report) = reader.next_report().expect("report") {
                    std::hint::black_box(report);
                    events += 1;
                }
            }
        }
        events
    });
    let message = event();
    let mut batch = bytes::BytesMut::with_capacity(BATCH_BYTES + frame.len());
    for sent in 1..=EVENTS {
        if with_codec {
            encode_report_into(&message, &mut batch).expect("encode");
        } else {
            batch.extend_from_slice(&frame);
        }
        if sent % per_write == 0 || sent == EVENTS {
            sender.write_all(&batch).expect("write");
            batch.clear();
        }
    }
    let events = drain.join().expect("drained");
    assert!(!with_codec || events == EVENTS, "lost events");
    EVENTS as f64 / (cpu_s() - start)
}
