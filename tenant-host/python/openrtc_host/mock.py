"""The room of a session without a server: the frameworks' mock room, with a name and events of its own.

Owns: what differs between two sessions in mock rooms. Never: connects anywhere.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import NonCallableMock

from livekit import rtc

from openrtc_host import adapter


class MockRoom(rtc.EventEmitter[Any]):
    """Whatever is not here is the shared mock's, which takes every call and does nothing."""

    def __init__(self, name: str, metadata: str) -> None:
        super().__init__()
        self.name = name
        self.metadata = metadata

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # isinstance(room, rtc.Room) holds, as it does for the shared mock
        return rtc.Room

    def __getattr__(self, name: str) -> Any:
        return getattr(adapter.shared_mock_room(), name)

    async def disconnect(self, *_: Any, **__: Any) -> None:
        """Forgets the calls that were made: a mock keeps each, with all that was passed to it."""
        forget_calls(adapter.shared_mock_room())


def forget_calls(root: NonCallableMock) -> None:
    """As `root.reset_mock()`, but writes to no mock that was not called: a hundred lie on the zygote's pages."""
    waiting, seen = [root], set[int]()
    while waiting:
        mock = waiting.pop()
        if id(mock) in seen:
            continue
        seen.add(id(mock))
        own = vars(mock)
        given = (*own["_mock_children"].values(), own.get("_mock_return_value"))
        below = [other for other in given if isinstance(other, NonCallableMock)]
        waiting += below
        if own["_mock_mock_calls"] or own.get("_mock_call_count"):
            mock.reset_mock([id(other) for other in below])
