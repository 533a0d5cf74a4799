"""What a serving host says, from whichever thread.

Owns: the writer of the channel on the event loop, and how long a text may be. Never: waits for the supervisor to read,
or drops a report about a session's life.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .failure import cut
from .logs import LOG_LINE_BYTES_MAX

if TYPE_CHECKING:
    from ._native import Channel

EVENT_TEXT_BYTES_MAX = 60 * 1024


class Outbox:
    """Reports on their way out."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop, broken: Callable[[Exception], None]) -> None:
        self._channel = channel
        self._loop = loop
        self._broken = broken
        self._writing = False
        self._written = asyncio.Event()
        self._thread = threading.get_ident()

    def report(self, name: str, fields: dict[str, Any]) -> None:
        """Says what is never dropped: the life of a session, the answer to a ping."""
        if self._elsewhere(self.report, name, fields):
            return
        try:
            self._channel.report(name, fields)
            self._write()
        except (OSError, EOFError, BufferError) as error:
            self._broken(error)

    def offer(self, name: str, fields: dict[str, Any]) -> None:
        """Says what is dropped and counted when the supervisor does not read fast enough."""
        if self._elsewhere(self.offer, name, fields):
            return
        try:
            self._channel.offer(name, fields)
            self._write()
        except (OSError, EOFError, BufferError) as error:
            self._broken(error)

    def log(self, level: str, message: str) -> None:
        """A line of the host itself."""
        self.offer("Log", {"level": level, "message": cut(message, LOG_LINE_BYTES_MAX)})

    def event(self, session: object, event: dict[str, Any]) -> None:
        """Something that happened in a session; its texts are cut to their bounds."""
        self.offer("SessionEvent", {"session": session, "event": bounded(event)})

    @property
    def events_dropped(self) -> int:
        """Since the start."""
        return self._channel.events_dropped

    async def flushed(self) -> None:
        """Waits until everything said is written."""
        if self._writing:
            await self._written.wait()

    def close(self) -> None:
        """Stops writing."""
        if self._writing:
            self._writing = False
            self._written.set()
            self._loop.remove_writer(self._channel.fileno())

    def _elsewhere(self, say: Callable[[str, dict[str, Any]], None], name: str, fields: dict[str, Any]) -> bool:
        if threading.get_ident() == self._thread:
            return False
        self._loop.call_soon_threadsafe(say, name, fields)
        return True

    def _write(self) -> None:
        if self._channel.flush():
            self.close()
        elif not self._writing:
            self._writing = True
            self._written.clear()
            self._loop.add_writer(self._channel.fileno(), self._writable)

    def _writable(self) -> None:
        try:
            self._write()
        except (OSError, EOFError, BufferError) as error:
            self.close()
            self._broken(error)


def bounded(event: dict[str, Any]) -> dict[str, Any]:
    """The event with its text cut: a turn's, or a log line's. Names and JSON are the extension's to check."""
    for kind, field, bytes_max in (("Turn", "text", EVENT_TEXT_BYTES_MAX), ("Log", "message", LOG_LINE_BYTES_MAX)):
        content = event.get(kind)
        if isinstance(content, dict) and isinstance(content.get(field), str):
            return {kind: {**content, field: cut(content[field], bytes_max)}}
    return event
