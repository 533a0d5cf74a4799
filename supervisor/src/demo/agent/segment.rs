//! A voice agent that does real work: it plays a recording in real time and finds who spoke when, by energy.
//!
//! Owns: the segmentation, and measuring how late each 20 ms frame was dealt with. Never: reads ahead of the clock.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{AgentError, Emitter, pass};
use crate::demo::synth::SAMPLE_RATE_HZ;

/// Length of a frame, as telephony has it.
pub const FRAME_MS: u64 = 20;
const FRAME_SAMPLES: usize = (SAMPLE_RATE_HZ as u64 * FRAME_MS / 1000) as usize;
/// Frames whose events are written together: 100 ms.
const BATCH_FRAMES: u64 = 5;
/// Speech begins so far above the noise floor, in dB, …
const ONSET_DB: f64 = 10.0;
/// … when so many frames in a row are, …
const ONSET_FRAMES: u64 = 3;
/// … and ends when it is no more than so far above it, in dB, …
const RELEASE_DB: f64 = 6.0;
/// … for so many frames in a row: the hangover that bridges the gaps between syllables.
const HANGOVER_FRAMES: u64 = 15;
/// The floor follows quiet frames down by this share of the difference each frame, …
const FLOOR_FALL: f64 = 0.3;
/// … and rises by so many dB a frame outside speech, …
const FLOOR_RISE_DB: f64 = 0.3;
/// … and by so many within it, so that lasting noise is not taken for speech for ever.
const FLOOR_RISE_IN_SPEECH_DB: f64 = 0.02;
/// Quietest floor, in dB of full scale squared: digital silence.
const FLOOR_DB_MIN: f64 = -80.0;
/// Floor before anything was heard.
const FLOOR_DB_START: f64 = -50.0;

/// One stretch of speech, in milliseconds from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Begin.
    pub start_ms: u64,
    /// End.
    pub end_ms: u64,
}

/// What a frame changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Somebody began to speak.
    Began,
    /// Somebody has spoken.
    Ended(Turn),
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nobody speaks; so many loud frames in a row were heard.
    Quiet { loud: u64 },
    /// Somebody speaks since this frame; so many quiet frames in a row were heard.
    Speech { since: u64, quiet: u64 },
}

/// Finds speech in a stream of frames.
#[derive(Debug)]
pub struct Segmenter {
    state: State,
    floor_db: f64,
    frames: u64,
}

impl Default for Segmenter {
    fn default() -> Self {
        Self { state: State::Quiet { loud: 0 }, floor_db: FLOOR_DB_START, frames: 0 }
    }
}

fn energy_db(frame: &[i16]) -> f64 {
    let sum: f64 = frame.iter().map(|sample| f64::from(*sample) / 32_768.0).map(|sample| sample * sample).sum();
    10.0 * (sum / frame.len().max(1) as f64 + 1e-10).log10()
}

impl Segmenter {
    /// Takes the next frame of [`FRAME_MS`].
    pub fn push(&mut self, frame: &[i16]) -> Option<Change> {
        let level_db = energy_db(frame);
        let index = self.frames;
        self.frames += 1;
        let above_db = level_db - self.floor_db;
        self.follow(level_db);
        match self.state {
            State::Quiet { .. } if above_db < ONSET_DB => {
                self.state = State::Quiet { loud: 0 };
                None
            }
            State::Quiet { loud } if loud + 1 < ONSET_FRAMES => {
                self.state = State::Quiet { loud: loud + 1 };
                None
            }
            State::Quiet { loud } => {
                self.state = State::Speech { since: index - loud, quiet: 0 };
                Some(Change::Began)
            }
            State::Speech { since, .. } if above_db > RELEASE_DB => {
                self.state = State::Speech { since, quiet: 0 };
                None
            }
            State::Speech { since, quiet } if quiet + 1 < HANGOVER_FRAMES => {
                self.state = State::Speech { since, quiet: quiet + 1 };
                None
            }
            State::Speech { since, quiet } => {
                self.state = State::Quiet { loud: 0 };
                Some(Change::Ended(turn(since, index - quiet)))
            }
        }
    }

    /// The stream is over: a turn that was not ended ends here.
    pub fn finish(&mut self) -> Option<Change> {
        let State::Speech { since, quiet } = self.state else { return None };
        self.state = State::Quiet { loud: 0 };
        Some(Change::Ended(turn(since, self.frames - quiet)))
    }

    fn follow(&mut self, level_db: f64) {
        if level_db < self.floor_db {
            self.floor_db += (level_db - self.floor_db) * FLOOR_FALL;
        } else {
            let rise_db = match self.state {
                State::Quiet { .. } => FLOOR_RISE_DB,
                State::Speech { .. } => FLOOR_RISE_IN_SPEECH_DB,
            };
            self.floor_db = (self.floor_db + rise_db).min(level_db);
        }
        self.floor_db = self.floor_db.max(FLOOR_DB_MIN);
    }
}

fn turn(since: u64, until: u64) -> Turn {
    Turn { start_ms: since * FRAME_MS, end_ms: until * FRAME_MS }
}

/// When a frame is there: its last sample has been spoken.
struct Clock {
    started: Instant,
    /// Recorded time per real time; 0 does not wait at all.
    pace: f64,
}

impl Clock {
    /// Waits until frame `index` (from 0) is there, and says since when it is.
    fn wait(&self, index: u64) -> Instant {
        if self.pace <= 0.0 {
            return Instant::now();
        }
        let due = self.started + Duration::from_secs_f64((index + 1) as f64 * FRAME_MS as f64 / 1000.0 / self.pace);
        pass(due.saturating_duration_since(Instant::now()));
        due
    }
}

fn events_of(change: Change) -> [Option<Value>; 2] {
    match change {
        Change::Began => [Some(json!({"type": "state", "state": "speaking"})), None],
        Change::Ended(Turn { start_ms, end_ms }) => [
            Some(json!({"type": "turn", "speaker": "user", "text": "", "start_ms": start_ms, "end_ms": end_ms})),
            Some(json!({"type": "state", "state": "listening"})),
        ],
    }
}

fn open<R: Read>(recording: R) -> Result<hound::WavReader<R>, AgentError> {
    let reader = hound::WavReader::new(recording).map_err(AgentError::Recording)?;
    let spec = reader.spec();
    if (spec.sample_rate, spec.channels, spec.bits_per_sample) != (SAMPLE_RATE_HZ, 1, 16) {
        return Err(AgentError::Format {
            sample_rate: spec.sample_rate,
            channels: spec.channels,
            bits: spec.bits_per_sample,
        });
    }
    Ok(reader)
}

/// Plays the recording at `pace` times real time (0: at once), and tells what it hears. Returns the turns.
///
/// Per frame a `latency` event of stage `frame` says how late it was dealt with, in microseconds: from the moment its
/// last sample was there until its energy was known and its change decided.
///
/// # Errors
/// When the recording is no WAV of 16 kHz, mono, 16 bit, or an event cannot be written.
pub fn serve<R: Read, W: Write>(recording: R, pace: f64, emitter: &mut Emitter<W>) -> Result<Vec<Turn>, AgentError> {
    let mut reader = open(recording)?;
    let mut samples = reader.samples::<i16>();
    let mut segmenter = Segmenter::default();
    let mut frame = Vec::with_capacity(FRAME_SAMPLES);
    let mut turns = Vec::new();
    let mut events = vec![json!({"type": "state", "state": "listening"})];
    let clock = Clock { started: Instant::now(), pace };
    for index in 0.. {
        frame.clear();
        for sample in samples.by_ref().take(FRAME_SAMPLES) {
            frame.push(sample.map_err(AgentError::Recording)?);
        }
        let change = if frame.len() == FRAME_SAMPLES {
            let due = clock.wait(index);
            let change = segmenter.push(&frame);
            events.push(json!({"type": "latency", "stage": "frame", "micros": due.elapsed().as_micros() as u64}));
            change
        } else {
            segmenter.finish()
        };
        if let Some(change) = change {
            turns.extend(match change {
                Change::Ended(turn) => Some(turn),
                Change::Began => None,
            });
            events.extend(events_of(change).into_iter().flatten());
        }
        let last = frame.len() < FRAME_SAMPLES;
        if last || (index + 1) % BATCH_FRAMES == 0 {
            events.push(json!({"type": "usage", "stt_ms": index * FRAME_MS + if last { 0 } else { FRAME_MS }}));
            emitter.emit(&std::mem::take(&mut events))?;
        }
        if last {
            break;
        }
    }
    Ok(turns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::synth::{Recording, call, wav};

    fn heard(recording: &Recording) -> (Vec<Turn>, Vec<Value>) {
        let mut lines = Vec::new();
        let turns = serve(&wav(recording).unwrap()[..], 0.0, &mut Emitter::new(&mut lines)).unwrap();
        let events = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        (turns, events.map(|line| serde_json::from_slice(line).unwrap()).collect())
    }

    #[test]
    fn as_many_turns_are_found_as_were_made_and_where_they_were_made() {
        for seed in 0..20 {
            for count in [1, 2, 3, 4] {
                let recording = call(seed, 6_000, count);
                let (turns, _) = heard(&recording);
                assert_eq!(turns.len(), recording.turns.len(), "seed {seed}, {count} turns: {turns:?}");
                for (found, made) in turns.iter().zip(&recording.turns) {
                    assert!(found.start_ms.abs_diff(made.start_ms) <= 60, "seed {seed}: {found:?} is not {made:?}");
                    assert!(found.end_ms.abs_diff(made.end_ms) <= 60, "seed {seed}: {found:?} is not {made:?}");
                }
            }
        }
    }

    #[test]
    fn noise_makes_no_turns_and_hides_none() {
        let mut recording = call(3, 6_000, 3);
        let mut state = 1_u32;
        for sample in &mut recording.samples {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = sample.saturating_add((state >> 16) as i16 / 64);
        }
        assert_eq!(heard(&recording).0.len(), 3);
        recording.samples.iter_mut().for_each(|sample| *sample /= 200);
        assert_eq!(heard(&Recording { samples: recording.samples[..8_000].to_vec(), turns: vec![] }).0.len(), 0);
    }

    #[test]
    fn a_silent_and_an_empty_recording_have_no_turns() {
        assert_eq!(heard(&Recording { samples: vec![0; 32_000], turns: vec![] }).0, vec![]);
        let (turns, events) = heard(&Recording { samples: vec![], turns: vec![] });
        assert_eq!(turns, vec![]);
        assert!(events.iter().all(|event| event["type"] != "latency"));
    }

    #[test]
    fn speech_that_lasts_to_the_end_is_a_turn_too() {
        let mut recording = call(5, 3_000, 1);
        let end = recording.turns[0].end_ms as usize * 16;
        recording.samples.truncate(end);
        assert_eq!(heard(&recording).0.len(), 1);
    }

    #[test]
    fn each_frame_has_its_latency_and_usage_grows_to_the_length() {
        let (_, events) = heard(&call(1, 2_010, 1));
        let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).cloned().collect::<Vec<_>>();
        assert_eq!(of("latency").len(), 100);
        let usage: Vec<u64> = of("usage").iter().map(|event| event["stt_ms"].as_u64().unwrap()).collect();
        assert!(usage.is_sorted(), "{usage:?}");
        assert_eq!(usage.last(), Some(&2_000));
        assert_eq!(of("turn").len(), 1);
        assert_eq!(of("state").len(), 3);
    }

    #[test]
    fn a_recording_of_another_kind_is_refused_by_name() {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut bytes = std::io::Cursor::new(Vec::new());
        hound::WavWriter::new(&mut bytes, spec).unwrap().finalize().unwrap();
        let error = serve(&bytes.into_inner()[..], 0.0, &mut Emitter::new(Vec::new())).unwrap_err();
        assert!(error.to_string().contains("not 8000 Hz, 2 channels"), "{error}");
        assert!(serve(&b"no wav"[..], 0.0, &mut Emitter::new(Vec::new())).is_err());
    }

    #[test]
    fn the_recording_is_played_no_faster_than_its_pace() {
        let started = Instant::now();
        serve(&wav(&call(1, 400, 1)).unwrap()[..], 4.0, &mut Emitter::new(Vec::new())).unwrap();
        assert!(started.elapsed() >= Duration::from_millis(100));
    }
}
