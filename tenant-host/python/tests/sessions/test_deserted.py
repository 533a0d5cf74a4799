"""A call is over when its agent comes back, after its connection was lost, to a room that everybody has left."""

import asyncio
import types

from livekit import rtc

from openrtc_host import deserted

CALLER, AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD, rtc.ParticipantKind.PARTICIPANT_KIND_AGENT


class Room(rtc.EventEmitter[str]):
    def __init__(self, *kinds: int) -> None:
        super().__init__()
        self.remote_participants = {str(at): types.SimpleNamespace(kind=kind) for at, kind in enumerate(kinds)}

    def lose(self, at: int) -> None:
        self.emit("participant_disconnected", self.remote_participants.pop(str(at)))


async def said(
    room: Room, *events: str, back: int | None = None, closed: bool = False, away_s: float = 0.05
) -> list[str]:
    told: list[str] = []
    deserted.Deserted(room, away_s, lambda: closed, told.append)
    for event in events:
        room.lose(0) if event == "left" else room.emit(event)
    if back is not None:
        room.remote_participants["back"] = types.SimpleNamespace(kind=back)
    await asyncio.sleep(0.2)
    return told


def test_one_who_comes_back_to_nobody_leaves() -> None:
    assert len(asyncio.run(said(Room(CALLER), "reconnecting", "left", "reconnected"))) == 1
    assert len(asyncio.run(said(Room(CALLER), "left", "reconnecting", "reconnected"))) == 1


def test_another_agent_is_nobody() -> None:
    assert len(asyncio.run(said(Room(CALLER, AGENT), "reconnecting", "left", "reconnected"))) == 1
    assert len(asyncio.run(said(Room(CALLER), "left", "reconnected", back=AGENT))) == 1


def test_who_lost_nobody_or_found_somebody_stays() -> None:
    assert asyncio.run(said(Room(CALLER), "reconnecting", "reconnected")) == []
    assert asyncio.run(said(Room(), "reconnecting", "reconnected")) == []
    assert asyncio.run(said(Room(CALLER), "left")) == []
    assert asyncio.run(said(Room(CALLER, CALLER), "left", "reconnected")) == []


def test_a_caller_may_come_back_in_time() -> None:
    assert asyncio.run(said(Room(CALLER), "left", "reconnected", back=CALLER)) == []


def test_nobody_is_waited_for_once_the_agent_has_closed() -> None:
    assert len(asyncio.run(said(Room(CALLER), "left", "reconnected", closed=True, away_s=600.0))) == 1
    assert asyncio.run(said(Room(CALLER), "left", "reconnected", away_s=600.0)) == []
