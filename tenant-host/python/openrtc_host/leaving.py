"""Sessions that have ended and whose agents have still to leave their rooms.

Owns: the wait until the end is known to the server, which takes an agent that leaves before for one that failed; and
what is done then. Never: keeps a session whose leaving takes too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Awaitable, Callable

#: How long the supervisor may take to say that the room may be left.
RELEASE_S = 5.0
#: How long leaving may take, shutdown callbacks and all.
LEAVE_S = 70.0
_log = logging.getLogger(__name__)


class Leaving:
    """The table of them."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._released: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, session_id: str, leave: Callable[[], Awaitable[None]], scope: contextvars.Context) -> None:
        """An ended session: leaves when released, in the context that it ran in."""
        released = self._released[session_id] = asyncio.Event()
        work = self._leave(session_id, released, leave)
        task = asyncio.get_running_loop().create_task(work, name=f"leave {session_id}", context=scope)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def release(self, session_id: str) -> None:
        """Its end is known: it may go."""
        if (released := self._released.get(session_id)) is not None:
            released.set()

    def drop_all(self) -> None:
        """Waits for none."""
        for task in self._tasks:
            task.cancel("the host leaves")

    async def _leave(self, session_id: str, released: asyncio.Event, leave: Callable[[], Awaitable[None]]) -> None:
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(released.wait(), RELEASE_S)
            await asyncio.wait_for(leave(), LEAVE_S)
        except TimeoutError:
            _log.error("session %s did not leave its room within %g s; going on", session_id, LEAVE_S)
        except Exception:
            _log.exception("session %s failed to leave its room; going on", session_id)
        finally:
            self._released.pop(session_id, None)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed()
