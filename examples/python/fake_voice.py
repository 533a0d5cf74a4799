"""A speech-to-text, a language model and a voice that need no network, no model file and no key.

Owns: real subclasses of livekit-agents' STT, LLM and TTS whose output depends on their input alone. Never: opens a
connection, or shows a key; `fingerprint` tells two keys apart without telling either.

They stand where `openai.STT()`, `openai.LLM()` and `openai.TTS()` would. Like those they read their key,
FAKE_VOICE_API_KEY, when they are built; unlike those they do without.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import llm, stt, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr

KEY_VARIABLE = "FAKE_VOICE_API_KEY"

STT_RATE_HZ = 16_000
TTS_RATE_HZ = 24_000
FRAME_MS = 20
# The noise is never taken for less: a session may hear nothing at all while its agent speaks.
FLOOR_DB = -50.0
# Speech begins this far above the noise, so many frames in a row, and ends below that, for so many frames.
ONSET_DB, ONSET_FRAMES = 10.0, 3
RELEASE_DB, HANGOVER_FRAMES = 6.0, 15

TOKEN_S = 0.01
# As voices over a network send: before they are heard, and not all at once, which would keep the frameworks, who listen to
# what is said, from sending on the first of it.
FASTER_THAN_SPEECH = 10
LETTER_MS = 40


def fingerprint(key: str | None) -> str:
    """Eight digits of the key's hash, or `no key`."""
    return f"key {hashlib.sha256(key.encode()).hexdigest()[:8]}" if key else "no key"


def _key(given: str | None) -> str | None:
    return given or os.environ.get(KEY_VARIABLE)


class _Provider:
    """What a plugin says of itself in metrics."""

    _model: str

    @property
    def model(self) -> str:
        return self._model

    @property
    def provider(self) -> str:
        return "fake_voice"


class STT(_Provider, stt.STT[Any]):
    """Hears where speech is by its energy, and "transcribes" it as `utterance 1`, `utterance 2`, …"""

    def __init__(self, *, model: str = "energy-1", api_key: str | None = None) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))
        self._model = model
        self.key = fingerprint(_key(api_key))

    async def _recognize_impl(
        self, buffer: utils.AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        return _event(stt.SpeechEventType.FINAL_TRANSCRIPT, 1, 0.0, rtc.combine_audio_frames(buffer).duration)

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> _Hearing:
        return _Hearing(stt=self, conn_options=conn_options, sample_rate=STT_RATE_HZ)


class _Hearing(stt.RecognizeStream):
    async def _run(self) -> None:
        ear, number, unpaid = _Ear(), 0, 0.0
        frames = utils.audio.AudioByteStream(STT_RATE_HZ, 1, STT_RATE_HZ * FRAME_MS // 1000)
        async for pushed in self._input_ch:
            if isinstance(pushed, self._FlushSentinel):
                continue
            for frame in frames.push(pushed.data):
                unpaid += frame.duration
                for what, start_s, end_s in ear.hear(frame):
                    if what is stt.SpeechEventType.FINAL_TRANSCRIPT:
                        number += 1
                    self._event_ch.send_nowait(_event(what, number, start_s, end_s))
            if unpaid >= 1.0:
                self._pay(unpaid)
                unpaid = 0.0
        if unpaid > 0.0:
            self._pay(unpaid)

    def _pay(self, seconds: float) -> None:
        usage = stt.RecognitionUsage(audio_duration=seconds)
        self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.RECOGNITION_USAGE, recognition_usage=usage))


class _Ear:
    """Finds speech in frames of 20 ms."""

    def __init__(self) -> None:
        self._floor_db, self._frames, self._loud, self._quiet = FLOOR_DB, 0, 0, 0
        self._since: int | None = None

    def hear(self, frame: rtc.AudioFrame) -> Iterator[tuple[stt.SpeechEventType, float, float]]:
        samples = np.frombuffer(frame.data, dtype=np.int16).astype(np.float64) / 32768.0
        level_db = 10 * math.log10(float(np.mean(samples * samples)) + 1e-10)
        above_db, index = level_db - self._floor_db, self._frames
        self._frames += 1
        step_db = above_db * 0.3 if above_db < 0.0 else min(above_db, 0.3 if self._since is None else 0.02)
        self._floor_db = max(FLOOR_DB, self._floor_db + step_db)
        if self._since is None:
            self._loud = self._loud + 1 if above_db >= ONSET_DB else 0
            if self._loud == ONSET_FRAMES:
                self._since, self._quiet = index - ONSET_FRAMES + 1, 0
                yield stt.SpeechEventType.START_OF_SPEECH, self._since * FRAME_MS / 1000, 0.0
            return
        self._quiet = 0 if above_db > RELEASE_DB else self._quiet + 1
        if self._quiet == HANGOVER_FRAMES:
            start_s, end_s = self._since * FRAME_MS / 1000, (index - HANGOVER_FRAMES + 1) * FRAME_MS / 1000
            self._since, self._loud = None, 0
            yield stt.SpeechEventType.FINAL_TRANSCRIPT, start_s, end_s
            yield stt.SpeechEventType.END_OF_SPEECH, start_s, end_s


def _event(what: stt.SpeechEventType, number: int, start_s: float, end_s: float) -> stt.SpeechEvent:
    text = f"utterance {number}" if what is stt.SpeechEventType.FINAL_TRANSCRIPT else ""
    heard = stt.SpeechData(language="en", text=text, start_time=start_s, end_time=end_s, confidence=1.0)  # type: ignore[arg-type]
    return stt.SpeechEvent(what, request_id=f"utterance-{number}", alternatives=[heard])


class LLM(_Provider, llm.LLM[Any]):
    """Answers `utterance 3` with `I heard utterance 3.`; asked to say something, says the last line it was asked.

    `{key}` in that line becomes the fingerprint of the key that it runs with.
    """

    def __init__(self, *, model: str = "echo-1", api_key: str | None = None) -> None:
        super().__init__()
        self._model = model
        self.key = fingerprint(_key(api_key))

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> _Answer:
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)

    def answer(self, asked: list[llm.ChatMessage]) -> str:
        """What it says to these messages."""
        last = asked[-1] if asked else None
        if last is not None and last.role == "user":
            return f"I heard {last.text_content}."
        told = next((said.text_content for said in reversed(asked) if said.role in ("system", "developer")), None)
        line = (told or "Hello.").strip().splitlines()[-1]
        return line.replace("{key}", self.key)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        assert isinstance(self._llm, LLM)
        asked = self._chat_ctx.messages()
        words = self._llm.answer(asked).split()
        request = utils.shortuuid("answer_")
        for place, word in enumerate(words):
            await asyncio.sleep(TOKEN_S)
            delta = llm.ChoiceDelta(role="assistant", content=word if place == 0 else f" {word}")
            self._event_ch.send_nowait(llm.ChatChunk(id=request, delta=delta))
        read = sum(len((message.text_content or "").split()) for message in asked)
        usage = llm.CompletionUsage(completion_tokens=len(words), prompt_tokens=read, total_tokens=len(words) + read)
        self._event_ch.send_nowait(llm.ChatChunk(id=request, usage=usage))


class TTS(_Provider, tts.TTS[Any]):
    """Speaks each word as a tone: as long as the word, at a pitch that the word decides."""

    def __init__(self, *, model: str = "tones-1", voice: str = "sine", api_key: str | None = None) -> None:
        capabilities = tts.TTSCapabilities(streaming=False)
        super().__init__(capabilities=capabilities, sample_rate=TTS_RATE_HZ, num_channels=1)
        self._model, self.voice = model, voice
        self.key = fingerprint(_key(api_key))

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Speech(tts=self, input_text=text, conn_options=conn_options)


class _Speech(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid("speech_"), sample_rate=TTS_RATE_HZ, num_channels=1, mime_type="audio/pcm"
        )
        for word in self._input_text.split():
            spoken = tone(word)
            output_emitter.push(spoken)
            await asyncio.sleep(len(spoken) / 2 / TTS_RATE_HZ / FASTER_THAN_SPEECH)
        output_emitter.flush()


def tone(word: str) -> bytes:
    """A word as 16-bit samples: 40 ms a letter, the last 40 ms of them silent."""
    length = TTS_RATE_HZ * LETTER_MS * max(len(word), 2) // 1000
    pitch_hz = 200 + zlib.crc32(word.encode()) % 400
    samples = 8_000 * np.sin(2 * np.pi * pitch_hz * np.arange(length) / TTS_RATE_HZ)
    samples[-TTS_RATE_HZ * LETTER_MS // 1000 :] = 0
    return bytes(samples.astype("<i2").tobytes())
