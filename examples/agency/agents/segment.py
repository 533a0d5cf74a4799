#!/usr/bin/env python3
"""A voice agent in plain Python: plays a recording in real time and tells who spoke when.

The contract of a command agent: the session as one JSON line on standard input, events as JSON lines on
descriptor 3, the recording (WAV, 16 kHz, mono, 16 bit) open on descriptor 4, logs on standard output and error,
exit 0 for success. Provider keys of this tenant are in the environment (OPENAI_API_KEY, ...).
"""
import array
import json
import math
import os
import select
import sys
import time
import wave

FRAME_MS = 20
ONSET_DB, ONSET_FRAMES = 10.0, 3  # speech begins this far above the noise, this many frames in a row
RELEASE_DB, HANGOVER_FRAMES = 6.0, 15  # and ends below this, for this many frames


def energy_db(frame):
    samples = array.array("h", frame)
    if sys.byteorder == "big":
        samples.byteswap()
    return 10 * math.log10(sum(s * s for s in samples) / max(len(samples), 1) / 32768.0**2 + 1e-10)


class Segmenter:
    def __init__(self):
        self.floor_db, self.frames, self.loud, self.quiet, self.since = -50.0, 0, 0, 0, None

    def push(self, frame):
        """Takes 20 ms; returns None, "began" or the (start, end) of a turn in ms."""
        level_db, index = energy_db(frame), self.frames
        above_db = level_db - self.floor_db
        self.frames += 1
        if level_db < self.floor_db:
            self.floor_db += (level_db - self.floor_db) * 0.3
        else:
            self.floor_db = min(level_db, self.floor_db + (0.3 if self.since is None else 0.02))
        if self.since is None:
            self.loud = self.loud + 1 if above_db >= ONSET_DB else 0
            if self.loud < ONSET_FRAMES:
                return None
            self.since, self.quiet = index - ONSET_FRAMES + 1, 0
            return "began"
        self.quiet = 0 if above_db > RELEASE_DB else self.quiet + 1
        if self.quiet < HANGOVER_FRAMES:
            return None
        return self.end(index - HANGOVER_FRAMES + 1)

    def end(self, until):
        turn, self.since, self.loud = (self.since * FRAME_MS, until * FRAME_MS), None, 0
        return turn


def main():
    session = json.loads(sys.stdin.readline())
    if not session.get("input"):
        sys.exit("no recording on descriptor 4: dispatch with --input call.wav")
    pace = float(session.get("metadata", {}).get("pace", 1))
    events = os.fdopen(3, "w", buffering=1)
    print("session", session.get("session_id"), "of", os.environ.get("OPENRTC_TENANT"), flush=True)

    def emit(**event):
        events.write(json.dumps(event) + "\n")

    def emit_turn(turn):
        emit(type="turn", speaker="user", text="", start_ms=turn[0], end_ms=turn[1])
        emit(type="state", state="listening")

    segmenter, started, turns = Segmenter(), time.monotonic(), 0
    emit(type="state", state="listening")
    with wave.open(os.fdopen(4, "rb")) as recording:
        if (recording.getframerate(), recording.getnchannels(), recording.getsampwidth()) != (16000, 1, 2):
            sys.exit("recording must be 16 kHz, mono, 16 bit")
        while len(frame := recording.readframes(16 * FRAME_MS)) == 32 * FRAME_MS:
            due = started + (segmenter.frames + 1) * FRAME_MS / 1000 / pace if pace > 0 else time.monotonic()
            if select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
                break  # asked to end: a second line, or the end of standard input
            change = segmenter.push(frame)
            emit(type="latency", stage="frame", micros=int((time.monotonic() - due) * 1e6))
            if change == "began":
                emit(type="state", state="speaking")
            elif change:
                turns += 1
                emit_turn(change)
            if segmenter.frames % 50 == 0:
                emit(type="usage", stt_ms=segmenter.frames * FRAME_MS)
    if segmenter.since is not None:
        turns += 1
        emit_turn(segmenter.end(segmenter.frames - segmenter.quiet))
    emit(type="usage", stt_ms=segmenter.frames * FRAME_MS)
    print("heard", turns, "turns", flush=True)


if __name__ == "__main__":
    main()
