"""Recordings in and out of a session: a WAV file played as the caller, and one written of what the agent says.

Owns: both ends of the audio of a session in a mock room, in real time. Never: opens a path; it is given descriptors.
"""

from __future__ import annotations

import asyncio
import io
import os
import struct
import time
import wave
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities

#: Length of a frame of input.
FRAME_S = 0.02
#: Longest recording; its samples are held in memory.
INPUT_BYTES_MAX = 256 * 1024 * 1024


class BadRecording(ValueError):
    """A recording cannot be played; its text says what is wrong with it."""


def read_wav(descriptor: int) -> tuple[np.ndarray[Any, Any], int]:
    """Mono 16-bit samples and their rate. Takes the descriptor over."""
    try:
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(INPUT_BYTES_MAX + 1)
    except OSError as error:
        raise BadRecording(f"the input recording cannot be read: {error.strerror or error}") from error
    if len(data) > INPUT_BYTES_MAX:
        raise BadRecording(f"the input recording is longer than {INPUT_BYTES_MAX >> 20} MiB")
    try:
        with wave.open(io.BytesIO(data), "rb") as wav:
            channels, width, rate = wav.getnchannels(), wav.getsampwidth(), wav.getframerate()
            if width != 2:
                raise BadRecording(f"the input recording has {8 * width}-bit samples; 16-bit PCM is played")
            if channels not in (1, 2):
                raise BadRecording(f"the input recording has {channels} channels; mono and stereo are played")
            if not 4_000 <= rate <= 192_000:
                raise BadRecording(f"the input recording has {rate} samples a second; 4000 to 192000 are played")
            samples = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2")
    except (wave.Error, EOFError, struct.error) as error:
        raise BadRecording(f"the input recording is no WAV file of 16-bit PCM: {error or 'it ends early'}") from error
    if channels == 2:
        samples = samples[: len(samples) // 2 * 2].reshape(-1, 2).astype(np.int32).mean(axis=1).astype(np.int16)
    if not len(samples):
        raise BadRecording("the input recording holds no audio")
    return np.ascontiguousarray(samples, dtype=np.int16), rate


class RecordingInput(AudioInput):
    """Silence, then the recording once `begin` was called, then silence: in real time, as a caller's line."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(label="openrtc recording")
        self._samples, self.rate = read_wav(descriptor)
        self._per_frame = max(1, round(self.rate * FRAME_S))
        self._position: int | None = None
        self._sent = 0
        self._began = 0.0
        #: Set when the last sample of the recording has been given to the agent.
        self.played = asyncio.Event()

    def begin(self) -> None:
        """Starts the recording."""
        if self._position is None:
            self._position = 0

    async def __anext__(self) -> rtc.AudioFrame:
        now = time.monotonic()
        if not self._sent:
            self._began = now
        due = self._began + self._sent / self.rate
        if due > now:
            await asyncio.sleep(due - now)
        elif now - due > 1.0:  # the loop was held up: go on from now instead of catching up in a burst
            self._began = now - self._sent / self.rate
        self._sent += self._per_frame
        frame = np.zeros(self._per_frame, dtype=np.int16)
        if self._position is not None and self._position < len(self._samples):
            piece = self._samples[self._position : self._position + self._per_frame]
            frame[: len(piece)] = piece
            self._position += self._per_frame
            if self._position >= len(self._samples):
                self.played.set()
        return rtc.AudioFrame(
            data=frame.tobytes(), sample_rate=self.rate, num_channels=1, samples_per_channel=self._per_frame
        )


class WavWriter:
    """A 16-bit mono WAV file on a descriptor; its header is made good after every write."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb")
        self.rate: int | None = None
        self._bytes = 0

    def write(self, samples: np.ndarray[Any, Any], rate: int) -> None:
        """Appends samples; the first ones set the file's rate, and later ones are brought to it."""
        if not len(samples):
            return
        if self.rate is None:
            self.rate = rate
            self._header()
        elif rate != self.rate:
            count = max(1, round(len(samples) * self.rate / rate))
            places = np.linspace(0, len(samples) - 1, count)
            samples = np.interp(places, np.arange(len(samples)), samples).astype(np.int16)
        self._file.seek(0, os.SEEK_END)
        self._file.write(samples.astype("<i2").tobytes())
        self._bytes += 2 * len(samples)
        self._header()
        self._file.flush()

    def _header(self) -> None:
        rate = self.rate or 24_000
        self._file.seek(0)
        self._file.write(b"RIFF" + struct.pack("<I", 36 + self._bytes) + b"WAVEfmt ")
        self._file.write(struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16))
        self._file.write(b"data" + struct.pack("<I", self._bytes))

    def close(self) -> None:
        """Leaves a WAV file behind, even of nothing."""
        if not self._file.closed:
            self._header()
            self._file.close()


class SpokenOutput(AudioOutput):
    """Plays what the agent says to nobody, in real time, and writes what was played where it is wanted."""

    def __init__(self, writer: WavWriter | None = None) -> None:
        super().__init__(label="openrtc output", capabilities=AudioOutputCapabilities(pause=True))
        self._writer = writer
        self._frames: list[tuple[np.ndarray[Any, Any], int]] = []
        self._pushed = 0.0
        self._played = 0.0
        self._running_since: float | None = None
        self._paused = False
        self._ending: asyncio.TimerHandle | None = None
        self._flushed = False

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Takes a frame; at most a second ahead of what has been played, as a track's buffer does."""
        await super().capture_frame(frame)
        if not self._frames:
            self._played, self._flushed = 0.0, False
            self._running_since = None if self._paused else time.monotonic()
            self.on_playback_started(created_at=time.time())
        samples = np.frombuffer(frame.data, dtype=np.int16)
        if frame.num_channels > 1:
            samples = samples.reshape(-1, frame.num_channels).astype(np.int32).mean(axis=1).astype(np.int16)
        self._frames.append((samples.copy(), frame.sample_rate))
        self._pushed += frame.samples_per_channel / frame.sample_rate
        while self._frames and not self._paused and (ahead := self._pushed - self._position()) > 1.0:
            await asyncio.sleep(min(ahead - 1.0, 0.1))

    def _position(self) -> float:
        running = time.monotonic() - self._running_since if self._running_since is not None else 0.0
        return min(self._pushed, self._played + running)

    def flush(self) -> None:
        """The segment is whole; it ends when it has been played."""
        super().flush()
        if self._frames:
            self._flushed = True
            self._schedule()

    def _schedule(self) -> None:
        self._cancel()
        if self._flushed and not self._paused:
            left = max(0.0, self._pushed - self._position())
            self._ending = asyncio.get_running_loop().call_later(left, self._finish, False)

    def _cancel(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def clear_buffer(self) -> None:
        """Stops at once: the agent was interrupted."""
        if self._frames:
            self._finish(True)

    def pause(self) -> None:
        """Holds the playback."""
        super().pause()
        if not self._paused:
            self._played = self._position()
            self._paused, self._running_since = True, None
            self._cancel()

    def resume(self) -> None:
        """Goes on."""
        super().resume()
        if self._paused:
            self._paused, self._running_since = False, time.monotonic()
            self._schedule()

    def _finish(self, interrupted: bool) -> None:
        self._cancel()
        position = self._position() if interrupted else self._pushed
        self._write(position)
        self._frames, self._pushed, self._played, self._running_since = [], 0.0, 0.0, None
        self._flushed = False
        self.on_playback_finished(playback_position=position, interrupted=interrupted)

    def _write(self, seconds: float) -> None:
        if self._writer is None:
            return
        for samples, rate in self._frames:
            if seconds <= 0:
                return
            self._writer.write(samples[: round(seconds * rate)], rate)
            seconds -= len(samples) / rate

    def close(self) -> None:
        """Writes what is still held, and the file's header."""
        self._cancel()
        if self._writer is not None:
            self._write(self._position())
            self._writer.close()
