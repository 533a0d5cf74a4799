"""Runs one session of a script with the frameworks alone: no supervisor, no host, no server, a mock room.

Owns: the yardstick that a host is compared with. Never: imports anything of this product.

    python alone.py SCRIPT [--agent NAME] [--metadata JSON] [--input IN.wav]

Prints one JSON object: `turns` (speaker and text, in order), `usage`, `spoken_s`, and `error` where the entrypoint
raised.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import runpy
import sys
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from livekit import rtc
from livekit.agents import AgentServer, AgentSession, JobContext, WorkerOptions, cli
from livekit.agents.ipc.inference_executor import InferenceExecutor
from livekit.agents.ipc.mock_room import create_mock_room
from livekit.agents.testing import fake_job_context
from livekit.agents.utils import http_context
from livekit.agents.voice import io

SETTLE_S = 3.0


class Caught(BaseException):
    """Unwinds a script out of its `run`."""


def load(script: str) -> AgentServer:
    """The server that a script would have run."""
    caught: list[AgentServer] = []

    def run_app(server: AgentServer | WorkerOptions) -> None:
        caught.append(AgentServer.from_server_options(server) if isinstance(server, WorkerOptions) else server)
        raise Caught

    cli.run_app = run_app
    try:
        from openrtc import AgentPool

        AgentPool.run = lambda self: run_app(self.server)  # type: ignore[method-assign]
    except ImportError:
        pass
    sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
    with contextlib.suppress(Caught):
        runpy.run_path(script, run_name="__main__")
    return caught[0]


class NoExecutor(InferenceExecutor):
    """Says as OpenRTC's own does that it is of no use, so that the VAD alone finds the end of a turn."""

    _openrtc_noop = True

    async def do_inference(self, method: str, data: bytes) -> bytes | None:
        raise NotImplementedError(method)


class Caller(io.AudioInput):
    """Plays a recording in real time, then stays silent."""

    def __init__(self, path: str | None) -> None:
        super().__init__(label="caller")
        self.over = asyncio.Event()
        self._frames = self._play(path)

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.__anext__()

    async def _play(self, path: str | None) -> AsyncIterator[rtc.AudioFrame]:
        loop = asyncio.get_running_loop()
        due, rate, samples = loop.time(), 16_000, b""
        if path is not None:
            with wave.open(path) as recording:
                rate, samples = recording.getframerate(), recording.readframes(recording.getnframes())
        while True:
            due += 0.02
            await asyncio.sleep(max(0.0, due - loop.time()))
            data, samples = samples[: rate // 50 * 2], samples[rate // 50 * 2 :]
            if len(data) < rate // 50 * 2:
                self.over.set()
                data = bytes(rate // 50 * 2)
            yield rtc.AudioFrame(data, rate, 1, rate // 50)


class Speaker(io.AudioOutput):
    """Plays what the agent says in real time, to nobody."""

    def __init__(self) -> None:
        super().__init__(label="speaker", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=24_000)
        self.spoken_s = self._began = self._segment_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if self._segment_s == 0.0:
            self._began = asyncio.get_running_loop().time()
            self.on_playback_started(created_at=time.time())
        self._segment_s += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._segment_s > 0.0 and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(self._began + self._segment_s, self._finish, False)

    def clear_buffer(self) -> None:
        if self._segment_s > 0.0:
            self._finish(True)

    def _finish(self, interrupted: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        played_s = asyncio.get_running_loop().time() - self._began if interrupted else self._segment_s
        played_s = min(played_s, self._segment_s)
        self._timer, self._segment_s = None, 0.0
        self.spoken_s += played_s
        self.on_playback_finished(playback_position=played_s, interrupted=interrupted)


async def run(server: AgentServer, metadata: str, recording: str | None) -> dict[str, Any]:
    turns: list[dict[str, str]] = []
    usage: dict[str, float] = {}
    caller, speaker = Caller(recording), Speaker()
    start = AgentSession.start

    def note(event: Any) -> None:
        item = event.item
        if getattr(item, "text_content", None):
            turns.append({"speaker": "user" if item.role == "user" else "agent", "text": item.text_content})

    def pay(event: Any) -> None:
        for name in ("audio_duration", "characters_count", "prompt_tokens", "completion_tokens"):
            if (value := getattr(event.metrics, name, None)) is not None:
                name = f"{event.metrics.type}.{name}"
                usage[name] = round(usage.get(name, 0) + value, 3)

    async def started(session: AgentSession[Any], *arguments: Any, **named: Any) -> Any:
        session.input.audio, session.output.audio = caller, speaker
        session.on("conversation_item_added", note)
        session.on("metrics_collected", pay)
        return await start(session, *arguments, **named)

    AgentSession.start = started  # type: ignore[method-assign, assignment]
    entrypoint: Callable[[JobContext], Awaitable[None]] = server._entrypoint_fnc  # type: ignore[assignment]
    told: dict[str, Any] = {"turns": turns, "usage": usage}
    async with http_context.open():
        with fake_job_context(room=create_mock_room(), job_metadata=metadata, inference_executor=NoExecutor()) as ctx:
            if server.setup_fnc is not None:
                server.setup_fnc(ctx.proc)
            try:
                await entrypoint(ctx)
                if recording is not None:
                    await caller.over.wait()
                    await asyncio.sleep(SETTLE_S)
            except Exception as error:
                told["error"] = f"{type(error).__name__}: {error}"
            session = getattr(ctx, "_primary_agent_session", None)
            if session is not None:
                await session.aclose()
    told["spoken_s"] = round(speaker.spoken_s, 2)
    return told


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("script")
    arguments.add_argument("--agent")
    arguments.add_argument("--metadata", default="{}")
    arguments.add_argument("--input")
    asked = arguments.parse_args()
    server = load(asked.script)
    metadata = json.loads(asked.metadata) | ({"agent": asked.agent} if asked.agent else {})
    print(json.dumps(asyncio.run(run(server, json.dumps(metadata), asked.input))))


if __name__ == "__main__":
    main()
