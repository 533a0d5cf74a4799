"""Speech plugins that need no network: real subclasses of livekit-agents' own classes.

Owns: what the tests' applications speak through. Never: is part of the package.
"""

from __future__ import annotations

import asyncio
import math
import struct
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, llm, stt, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN
from livekit.agents.voice.io import AudioInput

RATE = 16_000


def tone(seconds: float, rate: int = RATE, loud: int = 12_000) -> bytes:
    """A sine wave of 16-bit samples."""
    return b"".join(
        struct.pack("<h", int(loud * math.sin(2 * math.pi * 440 * i / rate))) for i in range(int(seconds * rate))
    )


class FakeLLM(llm.LLM):
    """Answers `said: <last words of the user>`, or what it was made with."""

    def __init__(self, says: str = "", fails: bool = False, model: str = "fake-llm", **_: Any) -> None:
        super().__init__()
        self.says, self.fails, self.named = says, fails, model

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: Any = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        fake: Any = self._llm
        if fake.fails:
            raise APIConnectionError("the fake model is down", retryable=False)
        words = [
            item.text_content or ""
            for item in self._chat_ctx.items
            if isinstance(item, llm.ChatMessage) and item.role == "user"
        ]
        text = fake.says or f"said: {words[-1] if words else 'nothing'}"
        await asyncio.sleep(0.005)
        self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=llm.ChoiceDelta(role="assistant", content=text)))
        usage = llm.CompletionUsage(completion_tokens=3, prompt_tokens=7, total_tokens=10)
        self._event_ch.send_nowait(llm.ChatChunk(id="1", usage=usage))


class FakeTTS(tts.TTS):
    """Twenty milliseconds of a tone for each character."""

    def __init__(self, voice: str = "", **_: Any) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)
        self.voice = voice

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Spoken(tts=self, input_text=text, conn_options=conn_options)


class _Spoken(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(request_id="1", sample_rate=RATE, num_channels=1, mime_type="audio/pcm")
        output_emitter.push(tone(0.02 * len(self.input_text)))
        output_emitter.flush()


class FakeSTT(stt.STT):
    """Hears `hello` in whatever is loud, once it has been quiet again for 200 ms."""

    def __init__(self, hears: str = "hello", **_: Any) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))
        self.hears = hears

    async def _recognize_impl(self, buffer: Any, *, language: Any = NOT_GIVEN, conn_options: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(
        self, *, language: Any = NOT_GIVEN, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> stt.RecognizeStream:
        return _Heard(stt=self, conn_options=conn_options)


class _Heard(stt.RecognizeStream):
    async def _run(self) -> None:
        speaking, quiet, heard = False, 0.0, 0.0
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            seconds = frame.samples_per_channel / frame.sample_rate
            loud = max(abs(s) for s in frame.data[::16]) > 500
            heard += seconds
            if loud and not speaking:
                speaking = True
                self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.START_OF_SPEECH))
            quiet = 0.0 if loud else quiet + seconds
            if speaking and quiet >= 0.2:
                speaking = False
                said = stt.SpeechData(language="en", text=self._stt.hears)
                self._event_ch.send_nowait(
                    stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[said])
                )
                self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.END_OF_SPEECH))
                self._event_ch.send_nowait(
                    stt.SpeechEvent(
                        type=stt.SpeechEventType.RECOGNITION_USAGE,
                        recognition_usage=stt.RecognitionUsage(audio_duration=heard),
                    )
                )
                heard = 0.0


class Deaf(AudioInput):
    """An audio input that never hears anything."""

    def __init__(self) -> None:
        super().__init__(label="deaf")

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.Event().wait()
        raise StopAsyncIteration
