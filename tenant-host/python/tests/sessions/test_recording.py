"""Recordings: what is played to an agent, what is kept of what it says, and broken files."""

from __future__ import annotations

import io
import os
import struct
import wave

import pytest
from fakes import tone
from scene import Session, configured, run

SCRIPT = """
    from livekit.agents import Agent, AgentSession, JobContext, WorkerOptions, cli
    from fakes import FakeLLM, FakeSTT, FakeTTS

    class Listener(Agent):
        def __init__(self): super().__init__(instructions="x")
        async def on_enter(self):
            self.session.say("Good day.")

    async def entry(ctx: JobContext):
        session = AgentSession(
            llm=FakeLLM(), tts=FakeTTS(), vad=None, stt=FakeSTT("what is the time"), aec_warmup_duration=None,
            turn_handling={"turn_detection": "stt", "endpointing": {"min_delay": 0.1, "max_delay": 0.3}})
        await session.start(agent=Listener(), room=ctx.room)

    cli.run_app(WorkerOptions(entrypoint_fnc=entry))
"""


def wav(samples: bytes, rate: int = 16_000, channels: int = 1, width: int = 2) -> bytes:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples)
    return held.getvalue()


def given(data: bytes) -> int:
    fd = os.memfd_create("in")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_a_recording_is_heard_and_the_answer_kept(app, rate, channels):
    speech = tone(0.5, rate)
    if channels == 2:
        speech = b"".join(speech[i : i + 2] * 2 for i in range(0, len(speech), 2))
    inner, kept = given(wav(speech, rate, channels)), os.memfd_create("out")
    session = run(app(SCRIPT, configured()), Session(input_fd=inner, output_fd=kept))
    assert session.turns() == [
        ("agent", "Good day."),
        ("user", "what is the time"),
        ("agent", "said: what is the time"),
    ]
    assert session.of("Usage")[-1]["stt_ms"] > 400
    os.lseek(kept, 0, os.SEEK_SET)
    with wave.open(os.fdopen(kept, "rb")) as out:
        seconds = out.getnframes() / out.getframerate()
        assert (out.getnchannels(), out.getsampwidth(), out.getframerate()) == (1, 2, 16_000)
        assert abs(seconds - 0.02 * len("Good day." + "said: what is the time")) < 0.1
        assert max(abs(s) for (s,) in struct.iter_unpack("<h", out.readframes(16_000))) > 10_000
    os.fstat(inner)  # the host's descriptor is still the host's
    user = next(turn for turn in session.of("Turn") if turn["speaker"] == "user")
    agent = session.of("Turn")[0]
    assert agent["end_ms"] <= user["start_ms"] + 50 or agent["end_ms"] <= user["end_ms"]


def test_a_script_with_ears_of_its_own_is_warned_and_still_ends(app, caplog):
    source = SCRIPT.replace(
        "        await session.start(",
        "        from fakes import Deaf\n        session.input.audio = Deaf()\n        await session.start(",
    )
    session = run(app(source), Session(input_fd=given(wav(tone(0.3)))))
    assert session.turns() == [("agent", "Good day.")]
    assert any("the recording is not played" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no WAV file of 16-bit PCM"),
        (b"RIFF\x00\x00", "is no WAV file of 16-bit PCM"),
        (wav(tone(0.1))[:30], "is no WAV file of 16-bit PCM"),
        (wav(b"\x00" * 300, width=3), "has 24-bit samples; 16-bit PCM is played"),
        (wav(b"\x00" * 600, channels=6), "has 6 channels; mono and stereo are played"),
        (wav(b""), "holds no audio"),
        (wav(tone(0.1), rate=1000), "has 1000 samples a second"),
    ],
)
def test_a_broken_recording_fails_the_session_and_says_what_is_wrong(app, data, said):
    from openrtc_host.recording import BadRecording

    with pytest.raises(BadRecording, match=said):
        run(app(SCRIPT), Session(input_fd=given(data)))


def test_an_interrupted_segment_is_kept_as_far_as_it_was_played():
    import asyncio

    from livekit import rtc

    from openrtc_host.recording import SpokenOutput, WavWriter

    kept = os.memfd_create("out")

    async def interrupted() -> float:
        output = SpokenOutput(WavWriter(os.dup(kept)))
        finished: list = []
        output.on("playback_finished", finished.append)
        speech = tone(0.8)
        await output.capture_frame(rtc.AudioFrame(speech, 16_000, 1, len(speech) // 2))
        output.flush()
        await asyncio.sleep(0.2)
        output.pause()
        await asyncio.sleep(0.3)
        output.resume()
        await asyncio.sleep(0.1)
        output.clear_buffer()
        output.close()
        assert finished[0].interrupted
        return finished[0].playback_position

    position = asyncio.run(interrupted())
    assert 0.25 <= position <= 0.5
    os.lseek(kept, 0, os.SEEK_SET)
    with wave.open(os.fdopen(kept, "rb")) as out:
        assert abs(out.getnframes() / 16_000 - position) < 0.01


def test_a_file_is_a_wav_file_even_of_nothing_and_of_two_rates():
    import numpy as np

    from openrtc_host.recording import WavWriter

    nothing = os.memfd_create("nothing")
    WavWriter(os.dup(nothing)).close()
    os.lseek(nothing, 0, os.SEEK_SET)
    with wave.open(os.fdopen(nothing, "rb")) as out:
        assert out.getnframes() == 0
    both = os.memfd_create("both")
    writer = WavWriter(os.dup(both))
    writer.write(np.ones(16_000, dtype=np.int16), 16_000)
    writer.write(np.ones(24_000, dtype=np.int16), 24_000)
    writer.close()
    os.lseek(both, 0, os.SEEK_SET)
    with wave.open(os.fdopen(both, "rb")) as out:
        assert (out.getnframes(), out.getframerate()) == (32_000, 16_000)
