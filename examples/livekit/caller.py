"""Callers of a LiveKit server: each joins a room, speaks a WAV file, and says what it heard of the agent.

Owns: the caller's side of a call, measured at the caller. Never: knows of a supervisor.

    python caller.py --url ws://127.0.0.1:7880 --room acme_1 --dispatch support --metadata '{"tenant": "acme"}' \
        --wav call.wav --seconds 8
    python caller.py --url … --seconds 8 --callers '[{"room": "acme_1", "dispatch": "support"}, {"room": …}]'

Prints one JSON object; of several callers, `{"callers": [one for each, in order]}`. Times are in ms since the call
began: since the dispatch was asked for, or, without one of its own, since the caller began to join. The server,
its key and its secret come from LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, else they are those of
`livekit-server --dev`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
import wave
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from livekit import api, rtc

FRAME_MS = 10
HEAR_RATE_HZ = 16_000
#: A frame is heard from this level on; full scale is 1.
LOUD = 0.005
#: So many of the longest gaps are told.
GAPS_TOLD = 20
KEY = os.environ.get("LIVEKIT_API_KEY", "devkey")
SECRET = os.environ.get("LIVEKIT_API_SECRET", "secret")


@dataclass
class Call:
    """What one caller is to do."""

    url: str = os.environ.get("LIVEKIT_URL", "ws://127.0.0.1:7880")
    room: str = "room"
    identity: str = "caller"
    wav: str | None = None
    """What it speaks; else it is silent."""
    speak: str = "greeted"
    """When: `now`, or `greeted`: once the agent has spoken and is silent again."""
    seconds: float = 8.0
    """How long it stays."""
    after: float = 0.0
    """How long it waits before it begins."""
    dispatch: str | None = None
    """The agent name of an explicit dispatch, asked for when the caller has joined and published."""
    token_dispatch: str | None = None
    """The agent name of a dispatch in the caller's own token."""
    metadata: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    """Of the dispatch."""
    room_metadata: str | None = None
    """Makes the room beforehand, with this metadata."""
    pause_ms: int = 1500
    """A silence of this length is the agent's own; a shorter one between two sounds is a gap."""
    delete_dispatch_after: float | None = None
    delete_room_after: float | None = None
    """Seconds since the agent joined."""
    until_left: bool = False
    """Leaves at once when the agent has left."""
    until_said: str | None = None
    """Leaves once the agent has said so."""


class Caller:
    """One caller, and what it saw and heard."""

    def __init__(self, call: Call) -> None:
        self.call, self.room = call, rtc.Room()
        self.start = time.monotonic()
        self.seen: dict[str, Any] = {"room": call.room, "identity": call.identity}
        self.said: list[str] = []
        self._loud_frames, self._energy = 0, 0.0
        self._gaps: list[tuple[int, int]] = []
        self._last_loud_ms: int | None = None
        self._stall_ms = 0
        self._heard_ms: dict[int, int] = {}
        self._gap_ms: dict[int, int] = {}
        self._over, self._agent_joined = asyncio.Event(), asyncio.Event()
        self._quiet_since: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._dispatch_id: str | None = None
        self._api: api.LiveKitAPI | None = None

    async def run(self) -> dict[str, Any]:
        await asyncio.sleep(self.call.after)
        self.start = time.monotonic()
        async with api.LiveKitAPI(self.call.url, KEY, SECRET) as self._api:
            try:
                await self._join()
                await self._dispatch()
                for after, act in (
                    (self.call.delete_dispatch_after, self._delete_dispatch),
                    (self.call.delete_room_after, self._delete_room),
                ):
                    if after is not None:
                        self._begin(self._later(after, act))
                left_s = self.call.seconds - (time.monotonic() - self.start)
                await asyncio.wait_for(self._over.wait(), max(left_s, 0.0))
            except TimeoutError:
                pass
            except Exception as error:
                self.seen["error"] = f"{type(error).__name__}: {error}"
            finally:
                self._mark("left_ms")
                self.seen |= {"began_unix_ms": round(time.time() * 1000) - self._now_ms(), "metadata": self.room.metadata}
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self.room.disconnect()
        return self._told()

    # ---- the room ----

    async def _join(self) -> None:
        call, room = self.call, self.room
        assert self._api is not None
        if call.room_metadata is not None:
            await self._api.room.create_room(api.CreateRoomRequest(name=call.room, metadata=call.room_metadata))
        token = (
            api.AccessToken(KEY, SECRET)
            .with_identity(call.identity)
            .with_grants(api.VideoGrants(room_join=True, room=call.room))
        )
        if call.token_dispatch is not None:
            wanted = api.RoomAgentDispatch(agent_name=call.token_dispatch, metadata=call.metadata)
            token = token.with_room_config(api.RoomConfiguration(agents=[wanted]))
        room.on("participant_connected", self._on_joined)
        room.on("participant_disconnected", self._on_left)
        room.on("track_subscribed", self._on_track)
        room.on("disconnected", self._on_disconnected)
        room.register_text_stream_handler("lk.transcription", lambda reader, who: self._begin(self._read(reader, who)))
        await room.connect(call.url, token.to_jwt())
        self._mark("joined_ms")
        for who in room.remote_participants.values():
            self._on_joined(who)
        await self._publish()

    async def _publish(self) -> None:
        samples, rate_hz = np.zeros(0, dtype=np.int16), 16_000
        if self.call.wav is not None:
            with wave.open(self.call.wav, "rb") as recording:
                rate_hz = recording.getframerate()
                samples = np.frombuffer(recording.readframes(recording.getnframes()), dtype=np.int16)
                samples = samples[:: recording.getnchannels()]
        source = rtc.AudioSource(rate_hz, 1, queue_size_ms=200)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self.room.local_participant.publish_track(track, options)
        self._begin(self._speak(source, samples, rate_hz))

    async def _speak(self, source: rtc.AudioSource, samples: np.ndarray[Any, Any], rate_hz: int) -> None:
        """The microphone: silence until it is time, the recording once, silence again. The source keeps the time."""
        size, place = rate_hz * FRAME_MS // 1000, 0
        silence = bytes(size * 2)
        while True:
            data = silence
            if place < len(samples) and self._may_speak():
                if place == 0:
                    self._mark("spoke_ms")
                data = samples[place : place + size].tobytes().ljust(size * 2, b"\0")
                place += size
                if place >= len(samples):
                    self._mark("spoken_ms")
            await source.capture_frame(rtc.AudioFrame(data, rate_hz, 1, size))

    def _may_speak(self) -> bool:
        if self.call.speak == "now" or "spoke_ms" in self.seen:
            return True
        return self._quiet_since is not None and time.monotonic() - self._quiet_since > 0.5

    async def _dispatch(self) -> None:
        call = self.call
        if call.dispatch is None:
            return
        assert self._api is not None
        self.start = time.monotonic()
        wanted = api.CreateAgentDispatchRequest(
            agent_name=call.dispatch, room=call.room, metadata=call.metadata, attributes=call.attributes
        )
        dispatch = await self._api.agent_dispatch.create_dispatch(wanted)
        self._dispatch_id = self.seen["dispatch"] = dispatch.id
        self._mark("dispatched_ms")

    async def _delete_dispatch(self) -> None:
        assert self._api is not None
        if self._dispatch_id is None:
            found = await self._api.agent_dispatch.list_dispatch(self.call.room)
            self._dispatch_id = found[0].id
        self._mark("deleting_ms")
        await self._api.agent_dispatch.delete_dispatch(self._dispatch_id, self.call.room)
        self._mark("deleted_ms")

    async def _delete_room(self) -> None:
        assert self._api is not None
        self._mark("deleting_ms")
        await self._api.room.delete_room(api.DeleteRoomRequest(room=self.call.room))
        self._mark("deleted_ms")

    async def _later(self, after_s: float, act: Any) -> None:
        await self._agent_joined.wait()
        await asyncio.sleep(after_s)
        try:
            await act()
        except Exception as error:
            self.seen["error"] = f"{type(error).__name__}: {error}"

    # ---- what it sees and hears ----

    def _on_joined(self, who: rtc.RemoteParticipant) -> None:
        if who.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            self.seen.setdefault("agents", []).append(who.identity)
            self._mark("agent_joined_ms")
            self._agent_joined.set()

    def _on_left(self, who: rtc.RemoteParticipant) -> None:
        if who.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            self._mark("agent_left_ms")
            if self.call.until_left:
                self._over.set()

    def _on_disconnected(self, reason: Any) -> None:
        self._mark("disconnected_ms")
        self.seen.setdefault("disconnected", rtc.DisconnectReason.Name(reason))
        self._over.set()

    def _on_track(self, track: Any, _publication: Any, who: rtc.RemoteParticipant) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO and who.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            self._mark("track_ms")
            self._begin(self._hear(track))

    async def _read(self, reader: Any, who: str) -> None:
        text = await reader.read_all()
        if who != self.call.identity and text:
            self.said.append(text)
            if self.call.until_said is not None and self.call.until_said in text:
                self._over.set()

    async def _hear(self, track: Any) -> None:
        stream = rtc.AudioStream(track, sample_rate=HEAR_RATE_HZ, num_channels=1, frame_size_ms=FRAME_MS)
        place_ms, arrived = 0, time.monotonic()
        try:
            async for event in stream:
                samples = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float64) / 32768.0
                now = time.monotonic()
                if self._last_loud_ms is not None:
                    self._stall_ms = max(self._stall_ms, round((now - arrived) * 1000))
                arrived, power = now, float(np.mean(samples * samples))
                self._heard(power, place_ms)
                place_ms += FRAME_MS
        finally:
            await stream.aclose()

    def _heard(self, power: float, place_ms: int) -> None:
        """One frame. Gaps are counted in the stream's own time: a slow caller is no gap."""
        if power < LOUD * LOUD:
            if self._last_loud_ms is not None and self._quiet_since is None:
                self._quiet_since = time.monotonic()
            return
        self._mark("first_audio_ms")
        self.seen["last_audio_ms"] = self._now_ms()
        if "spoken_ms" in self.seen and self._quiet_since is not None:
            self._mark("answered_ms")
        self._quiet_since = None
        second = self._now_ms() // 1000
        self._heard_ms[second] = self._heard_ms.get(second, 0) + FRAME_MS
        if self._last_loud_ms is not None:
            gap_ms = place_ms - self._last_loud_ms - FRAME_MS
            if 0 < gap_ms < self.call.pause_ms:
                self._gaps.append((gap_ms, self._now_ms() - gap_ms))
                self._gap_ms[second] = max(gap_ms, self._gap_ms.get(second, 0))
        self._last_loud_ms = place_ms
        self._loud_frames += 1
        self._energy += power * FRAME_MS / 1000

    def _told(self) -> dict[str, Any]:
        gaps = sorted(self._gaps, reverse=True)[:GAPS_TOLD]
        seconds = range(max(self._heard_ms, default=-1) + 1)
        return self.seen | {
            "began_unix_ms": round((time.time() - time.monotonic() + self.start) * 1000),
            "heard_ms_by_second": [self._heard_ms.get(second, 0) for second in seconds],
            "longest_gap_ms_by_second": [self._gap_ms.get(second, 0) for second in seconds],
            "heard": self._loud_frames > 0,
            "heard_s": round(self._loud_frames * FRAME_MS / 1000, 2),
            "energy": round(self._energy, 5),
            "longest_gap_ms": gaps[0][0] if gaps else 0,
            "gaps": [{"ms": length, "at_ms": at} for length, at in gaps],
            "longest_stall_ms": self._stall_ms,
            "said": self.said,
        }

    def _now_ms(self) -> int:
        return round((time.monotonic() - self.start) * 1000)

    def _mark(self, name: str) -> None:
        self.seen.setdefault(name, self._now_ms())

    def _begin(self, work: Any) -> None:
        self._tasks.add(asyncio.ensure_future(work))


def arguments() -> tuple[Call, list[dict[str, Any]] | None]:
    """One caller, or what several have of their own."""
    parser = argparse.ArgumentParser(description="A caller in a room of a LiveKit server, and what it heard.")
    for known in fields(Call):
        name = "--" + known.name.replace("_", "-")
        if known.type == "bool":
            parser.add_argument(name, action="store_true")
        elif known.name == "attributes":
            parser.add_argument(name, type=json.loads, default={}, help="a JSON object")
        else:
            kind = float if "float" in str(known.type) else int if known.type == "int" else str
            parser.add_argument(name, type=kind, default=known.default)
    parser.add_argument("--callers", type=json.loads, help="a JSON list: the options of each, over those given here")
    given = vars(parser.parse_args())
    several = given.pop("callers")
    return Call(**given), several


async def main() -> None:
    call, several = arguments()
    if several is None:
        print(json.dumps(await Caller(call).run()))
        return
    shared = vars(call)
    told = await asyncio.gather(*(Caller(Call(**(shared | own))).run() for own in several))
    print(json.dumps({"callers": told}))


if __name__ == "__main__":
    asyncio.run(main())
    # The SDK's own threads may still call into Python: one that does while the interpreter is taken down aborts the process.
    sys.stdout.flush()
    os._exit(0)
