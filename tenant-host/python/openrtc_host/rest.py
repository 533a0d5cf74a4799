"""What a host does once its last session is over: it gives back the memory that its sessions took.

Owns: when that is done. Never: runs beside a session, or before the first one has ended.
"""

from __future__ import annotations

import asyncio
import gc

from . import _native

#: A tenant whose calls follow each other at once keeps its pages: it would only take them again.
_AFTER_S = 2.0


class Rest:
    """A collection of what sessions left behind, then a trim of the C heap, some time after the last has ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, idle: bool) -> None:
        """The host is idle from now on, or no longer."""
        if idle and self._timer is None:
            self._timer = self._loop.call_later(_AFTER_S, _give_back)
        elif not idle and self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _give_back() -> None:
    # Frozen objects are not looked at: this walks what came after the fork.
    gc.collect()
    _native.trim_heap()
