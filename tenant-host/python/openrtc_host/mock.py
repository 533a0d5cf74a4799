"""The room of a session without a server: the frameworks' mock room, with a name and events of its own.

Owns: what differs between two sessions in mock rooms. Never: connects anywhere.
"""

from __future__ import annotations

from typing import Any

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
        adapter.shared_mock_room().reset_mock()
