//! Recordings of calls, synthesised: bursts of voice-like sound between pauses, in a known number.
//!
//! Owns: the generator and the WAV it is written as (16 kHz, mono, 16 bit). Never: uses a function whose last bit
//! differs between machines (no libm: the sine is a polynomial), so that the same seed gives the same bytes anywhere.

use std::io::{self, Cursor};

/// Samples a second.
pub const SAMPLE_RATE_HZ: u32 = 16_000;
const SAMPLES_PER_MS: u64 = SAMPLE_RATE_HZ as u64 / 1000;
/// Peak of a burst, of 32 767.
const VOICE_PEAK: f64 = 9_000.0;
/// Peak of the noise under everything.
const NOISE_PEAK: f64 = 60.0;
/// Centre and width of the formants, in Hz: roughly an open vowel.
const FORMANTS_HZ: [(f64, f64); 3] = [(700.0, 130.0), (1220.0, 180.0), (2600.0, 260.0)];
/// Frequency above which no harmonic is made.
const VOICE_HZ_MAX: f64 = 4_000.0;

/// Where a turn was put, in milliseconds from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Begin.
    pub start_ms: u64,
    /// End.
    pub end_ms: u64,
}

/// A recording and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// 16 kHz, mono.
    pub samples: Vec<i16>,
    /// The turns spoken in it, in order.
    pub turns: Vec<Span>,
}

/// Numbers that look random and are the same everywhere (splitmix64).
struct Dice(u64);

impl Dice {
    /// From 0 to below 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }
}

/// Sine of `turns` whole turns, good to 4e-6; sums and products only.
fn sine(turns: f64) -> f64 {
    let mut x = turns - turns.floor();
    let sign = if x >= 0.5 { -1.0 } else { 1.0 };
    if x >= 0.5 {
        x -= 0.5;
    }
    if x > 0.25 {
        x = 0.5 - x;
    }
    let a = x * std::f64::consts::TAU;
    let s = a * a;
    sign * a * (1.0 - s / 6.0 * (1.0 - s / 20.0 * (1.0 - s / 42.0 * (1.0 - s / 72.0))))
}

/// How loud a harmonic at this frequency is in an open vowel.
fn vowel_gain(hz: f64) -> f64 {
    FORMANTS_HZ
        .iter()
        .map(|(centre, width)| {
            let off = (hz - centre) / width;
            1.0 / (1.0 + off * off)
        })
        .sum()
}

/// One syllable over `samples`: harmonics of a gliding pitch under a rounded envelope.
fn add_syllable(samples: &mut [f64], pitch_hz: f64, glide: f64) {
    let length = samples.len() as f64;
    let mut phase = 0.0;
    for (index, sample) in samples.iter_mut().enumerate() {
        let along = index as f64 / length;
        let hz = pitch_hz * (1.0 + glide * along);
        phase += hz / f64::from(SAMPLE_RATE_HZ);
        let mut harmonic = 1.0;
        let mut sum = 0.0;
        while hz * harmonic < VOICE_HZ_MAX {
            sum += vowel_gain(hz * harmonic) / harmonic * sine(phase * harmonic);
            harmonic += 1.0;
        }
        let edge = (along * 8.0).min((1.0 - along) * 8.0).min(1.0);
        *sample += sum * edge;
    }
}

/// One turn over `samples`: syllables with gaps too short to be pauses, the first and last without one outside.
fn add_turn(samples: &mut [f64], pitch_hz: f64, dice: &mut Dice) {
    let mut at = 0;
    while at < samples.len() {
        let mut end = at + (dice.between(0.14, 0.24) * f64::from(SAMPLE_RATE_HZ)) as usize;
        let gap = (dice.between(0.02, 0.07) * f64::from(SAMPLE_RATE_HZ)) as usize;
        if end + gap + SAMPLE_RATE_HZ as usize / 8 > samples.len() {
            end = samples.len();
        }
        add_syllable(&mut samples[at..end], pitch_hz * dice.between(0.9, 1.15), dice.between(-0.12, 0.08));
        at = end + gap;
    }
}

/// A call of `length_ms` with `turns` turns, each in an equal share of the time with pauses of at least 600 ms
/// between them, when each share is at least 1.2 s.
pub fn call(seed: u64, length_ms: u64, turns: u64) -> Recording {
    let mut dice = Dice(seed);
    let mut voice = vec![0.0; (length_ms * SAMPLES_PER_MS) as usize];
    let mut spans = Vec::new();
    let share_ms = length_ms / turns.max(1);
    for turn in 0..turns {
        let lead_ms = (dice.between(0.26, 0.32) * share_ms as f64) as u64;
        let tail_ms = (dice.between(0.25, 0.30) * share_ms as f64) as u64;
        let span = Span { start_ms: turn * share_ms + lead_ms, end_ms: (turn + 1) * share_ms - tail_ms };
        let pitch_hz = if turn % 2 == 0 { dice.between(105.0, 130.0) } else { dice.between(180.0, 215.0) };
        let range = (span.start_ms * SAMPLES_PER_MS) as usize..(span.end_ms * SAMPLES_PER_MS) as usize;
        add_turn(&mut voice[range], pitch_hz, &mut dice);
        spans.push(span);
    }
    let peak = voice.iter().fold(1e-9_f64, |peak, sample| peak.max(sample.abs()));
    let samples = voice
        .iter()
        .map(|sample| (sample / peak * VOICE_PEAK + dice.between(-NOISE_PEAK, NOISE_PEAK)) as i16)
        .collect();
    Recording { samples, turns: spans }
}

/// The call that stands beside the example agency, `examples/agency/call.wav`.
pub fn example_call() -> Recording {
    call(20, 6_000, 3)
}

/// The recording as a WAV file.
pub fn wav(recording: &Recording) -> io::Result<Vec<u8>> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE_HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).map_err(io::Error::other)?;
    for sample in &recording.samples {
        writer.write_sample(*sample).map_err(io::Error::other)?;
    }
    writer.finalize().map_err(io::Error::other)?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sine_is_a_sine() {
        for step in -400..400 {
            let turns = f64::from(step) / 100.0;
            let wanted = (turns * std::f64::consts::TAU).sin();
            assert!((sine(turns) - wanted).abs() < 1e-5, "{turns}: {} is not {wanted}", sine(turns));
        }
    }

    #[test]
    fn a_call_has_the_turns_it_was_asked_for_apart_from_each_other() {
        let recording = call(7, 6_000, 4);
        assert_eq!(recording.turns.len(), 4);
        assert_eq!(recording.samples.len(), 96_000);
        for pair in recording.turns.windows(2) {
            assert!(pair[1].start_ms - pair[0].end_ms >= 600, "{pair:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
        assert_eq!(wav(&call(1, 2_000, 1)).unwrap(), wav(&call(1, 2_000, 1)).unwrap());
        assert_ne!(wav(&call(1, 2_000, 1)).unwrap(), wav(&call(2, 2_000, 1)).unwrap());
    }

    #[test]
    fn the_recording_of_the_example_agency_is_the_one_that_is_made_here() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/agency/call.wav");
        let made = wav(&example_call()).unwrap();
        assert!(made.len() < 200_000);
        assert!(std::fs::read(path).unwrap() == made, "make it anew: cargo run -p openrtc-examples --bin make-call");
    }
}
