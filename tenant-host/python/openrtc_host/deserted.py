"""A room that was deleted while its agent's connection was lost: the SDK joins again, which makes the room anew, and
waits there for callers who left for good.

Owns: when such a call is over. Never: ends one in whose room somebody is, or to whom nobody has come yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from livekit import rtc

#: How long a server keeps a room that all have left, where the job does not say (`departure_timeout`).
AWAY_S = 20.0
_OF_THE_HOUSE = (rtc.ParticipantKind.PARTICIPANT_KIND_AGENT, rtc.ParticipantKind.PARTICIPANT_KIND_EGRESS)


class Deserted:
    """Watches a call's room and says when it is over."""

    def __init__(self, room: Any, away_s: float, is_closed: Callable[[], bool], over: Callable[[str], None]) -> None:
        """`away_s`: how long who left may take to come back. `is_closed`: whether the agent said its last word."""
        self._room, self._away_s, self._is_closed, self._over = room, away_s, is_closed, over
        self._has_lost = False
        room.on("participant_disconnected", self._on_left)
        room.on("reconnected", self._on_reconnected)

    def _on_left(self, _who: Any) -> None:
        self._has_lost = True

    def _on_reconnected(self) -> None:
        if self._has_lost and not self._is_visited():
            asyncio.get_running_loop().call_later(0.0 if self._is_closed() else self._away_s, self._leave)

    def _leave(self) -> None:
        if not self._is_visited():
            self._over("the room was deserted while its connection was lost")

    def _is_visited(self) -> bool:
        return any(who.kind not in _OF_THE_HOUSE for who in self._room.remote_participants.values())
