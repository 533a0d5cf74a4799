"""Callers that dispatch all at once, asked for line by line: `call JSON` answers when each has heard, `hang up` ends.

Owns: the callers' side, measured at the callers. Never: knows which worker answers.

JSON: `{"url", "agent", "patience_s", "calls": [{"room", "metadata"}, …]}`. All have joined and published before the
first of them dispatches; times are in ms since a caller's own dispatch was sent. `call` answers once each caller has
heard its agent for HEARD_S, or after `patience_s`; the calls then go on until `hang up`, which deletes their rooms.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import numpy as np
from livekit import api, rtc
from openrtc_host import sdk_log

KEY, SECRET = "devkey", "secret"
RATE_HZ, FRAME_MS = 16_000, 20
#: What a silent microphone hands over at once: ten callers that do so each 20 ms take half of a core.
SILENCE_MS = 100
#: A frame is heard from this level on; full scale is 1.
LOUD = 0.005
HEARD_S = 1.5


class Caller:
    """One, and what it saw and heard."""

    def __init__(self, url: str, asked: dict[str, str]) -> None:
        self.url, self.name, self.metadata = url, asked["room"], asked["metadata"]
        self.room, self.api = rtc.Room(), api.LiveKitAPI(url, KEY, SECRET)
        self.seen: dict[str, Any] = {"room": self.name, "agents": 0}
        self.start = 0.0
        self.loud_s = 0.0
        self.heard = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self) -> None:
        grants = api.VideoGrants(room_join=True, room=self.name)
        token = api.AccessToken(KEY, SECRET).with_identity("caller").with_grants(grants)
        self.room.on("participant_connected", self._on_joined)
        self.room.on("participant_disconnected", self._on_left)
        self.room.on("track_subscribed", self._on_track)
        await self.room.connect(self.url, token.to_jwt())
        source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=200)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self.room.local_participant.publish_track(track, options)
        self._begin(self._be_silent(source))

    async def dispatch(self, agent: str) -> None:
        wanted = api.CreateAgentDispatchRequest(agent_name=agent, room=self.name, metadata=self.metadata)
        self.start = time.monotonic()
        self.seen["dispatch_unix_ms"] = time.time() * 1000
        await self.api.agent_dispatch.create_dispatch(wanted)
        self._mark("dispatched_ms")

    async def hang_up(self) -> None:
        await self.api.room.delete_room(api.DeleteRoomRequest(room=self.name))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()
        await self.api.aclose()

    async def _be_silent(self, source: rtc.AudioSource) -> None:
        size = RATE_HZ * SILENCE_MS // 1000
        while True:
            await source.capture_frame(rtc.AudioFrame(bytes(size * 2), RATE_HZ, 1, size))

    def _on_joined(self, who: rtc.RemoteParticipant) -> None:
        if who.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            self.seen["agents"] += 1
            self._mark("joined_ms")

    def _on_left(self, who: rtc.RemoteParticipant) -> None:
        if who.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            self._mark("left_ms")

    def _on_track(self, track: Any, _publication: Any, who: rtc.RemoteParticipant) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO and who.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            self._mark("track_ms")
            self._begin(self._hear(track))

    async def _hear(self, track: Any) -> None:
        stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1, frame_size_ms=FRAME_MS)
        try:
            async for event in stream:
                samples = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float32) / 32768.0
                if float(np.mean(samples * samples)) < LOUD * LOUD:
                    continue
                self._mark("audio_ms")
                self.loud_s += FRAME_MS / 1000
                if self.loud_s >= HEARD_S:
                    self.heard.set()
        finally:
            await stream.aclose()

    def _mark(self, name: str) -> None:
        self.seen.setdefault(name, (time.monotonic() - self.start) * 1000)

    def _begin(self, work: Any) -> None:
        self._tasks.add(asyncio.ensure_future(work))


async def call(asked: dict[str, Any]) -> list[Caller]:
    callers = [Caller(asked["url"], one) for one in asked["calls"]]
    await asyncio.gather(*(caller.join() for caller in callers))
    dispatched = await asyncio.gather(*(one.dispatch(asked["agent"]) for one in callers), return_exceptions=True)
    for caller, error in zip(callers, dispatched, strict=True):
        if error is not None:
            caller.seen["error"] = f"{type(error).__name__}: {error}"
    everybody = asyncio.gather(*(caller.heard.wait() for caller in callers))
    try:
        await asyncio.wait_for(everybody, asked["patience_s"])
    except TimeoutError:
        pass
    return callers


async def serve() -> None:
    live: list[Caller] = []
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        what, _, rest = line.strip().partition(" ")
        if what == "call":
            live = await call(json.loads(rest))
            answer = [caller.seen | {"heard": caller.heard.is_set(), "heard_s": caller.loud_s} for caller in live]
        else:
            await asyncio.gather(*(caller.hang_up() for caller in live), return_exceptions=True)
            answer, live = [], []
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    # Callers share the machine with what they measure.
    sdk_log.spare()
    asyncio.run(serve())
