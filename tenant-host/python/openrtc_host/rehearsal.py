"""One session in the zygote, spoken by nobody to nobody: what the frameworks make on first use is then shared by all.

Owns: the voice and the words of the rehearsal. Never: touches the FFI runtime, keeps a thread, or knows an application.
It takes 15 MB of private memory and 300 ms from the first session of every host.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from typing import Any

from livekit.agents import Agent, AgentSession, llm, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions

from openrtc_host import turn_detector
from openrtc_host.livekit_session import LiveKitApplication
from openrtc_host.seams import ServerParts

_RATE = 24_000
#: How long a thread that the rehearsal started may take to go.
_GONE_S = 2.0


class _Words(llm.LLM[Any]):
    def chat(self, *, chat_ctx: llm.ChatContext, tools: Any = None, **options: Any) -> llm.LLMStream:
        conn_options = options.get("conn_options", DEFAULT_API_CONNECT_OPTIONS)
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=llm.ChoiceDelta(role="assistant", content="Well.")))
        usage = llm.CompletionUsage(completion_tokens=1, prompt_tokens=1, total_tokens=2)
        self._event_ch.send_nowait(llm.ChatChunk(id="1", usage=usage))


class _Voice(tts.TTS[Any]):
    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=_RATE, num_channels=1)

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Spoken(tts=self, input_text=text, conn_options=conn_options)


class _Spoken(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(request_id="1", sample_rate=_RATE, num_channels=1, mime_type="audio/pcm")
        output_emitter.push(bytes(2 * _RATE // 20))
        output_emitter.flush()


class Rehearsed(Agent):
    """Greets."""

    def __init__(self) -> None:
        super().__init__(instructions="Say one word.")

    async def on_enter(self) -> None:
        """Speaks through every step once."""
        self.session.generate_reply(instructions="Say it.")


class _Session:
    """A session that tells nobody."""

    call = input_fd = output_fd = end_reason = None
    job_metadata, room_metadata = '{"rehearsal": true}', ""

    def __init__(self) -> None:
        self.ending = asyncio.Event()
        self.said = 0
        self.info: dict[str, Any] = {
            "session": "rehearsal",
            "tenant": "default",
            "agent": "default",
            "room_name": "rehearsal",
            "job_id": "rehearsal",
            "metadata": {"tenant": "default"},
            "started_at_unix_ms": 0,
            "deployment_version": None,
        }

    def emit(self, event: dict[str, Any]) -> None:
        self.said += "Turn" in event

    def rerouted(self, agent: str) -> None: ...

    def started(self) -> None: ...

    def on_leave(self, leave: Any) -> None: ...


async def _entrypoint(ctx: Any) -> None:
    await AgentSession[None](llm=_Words(), tts=_Voice(), vad=None).start(agent=Rehearsed(), room=ctx.room)


def _applications(pool: bool) -> list[Any]:
    parts = ServerParts(_entrypoint, None, None, None, "", 10.0)
    found: list[Any] = [LiveKitApplication(parts, "rehearsal")]
    if pool and "livekit.plugins.silero" in sys.modules:
        from openrtc import AgentPool

        from openrtc_host.openrtc_session import OpenRtcApplication

        found.append(
            OpenRtcApplication(AgentPool(agent=Rehearsed, default_llm=_Words(), default_tts=_Voice()), "rehearsal")
        )
    return found


async def _all(pool: bool, sessions: list[_Session]) -> None:
    for application in _applications(pool):
        application.prewarm()
        sessions.append(_Session())
        await application.run(sessions[-1])
        await application.state.http.close()


def rehearse(pool: bool) -> int:
    """How many sessions spoke. Whatever goes wrong here is told by the first session that needs it.

    `pool`: one of OpenRTC too, whose turn detector takes 31 MB and a second that other applications need not pay.
    """
    sessions: list[_Session] = []
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(asyncio.wait_for(_all(pool, sessions), 20.0))
    finally:
        logging.disable(before)
        turn_detector.warn_again()
    late = time.monotonic() + _GONE_S
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < late:
        time.sleep(0.01)
    return sum(session.said > 0 for session in sessions)
