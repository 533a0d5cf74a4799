"""How late the event loop runs what is due.

Owns: the measurement, while sessions run. Never: runs on an idle host, or needs a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_TICK_S = 0.025
SLOW_MICROS = 20_000


class LagMeter:
    """Ticks while sessions run; a tick that comes late says how long something held the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, slow: Callable[[], None]) -> None:
        self._loop = loop
        self._slow = slow
        self._worst = 0.0
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def run(self, sessions: bool) -> None:
        """Ticks from now on, or no longer."""
        if sessions and self._timer is None:
            self._schedule()
        elif not sessions and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def probe(self) -> None:
        """Measures one turn of everything that is ready to run."""
        asked = self._loop.time()
        self._loop.call_soon(lambda: self._note(self._loop.time() - asked))

    @property
    def micros(self) -> int:
        """The longest delay since the last `take`, with the one that lasts."""
        return int(self._worst * 1e6)

    def take(self) -> int:
        """The same, and begins anew."""
        worst, self._worst = self.micros, 0.0
        return worst

    def _schedule(self) -> None:
        self._due = self._loop.time() + _TICK_S
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        assert self._due is not None
        late = self._loop.time() - self._due
        self._schedule()
        self._note(late)
        if late * 1e6 >= SLOW_MICROS:
            self._slow()

    def _note(self, delay: float) -> None:
        self._worst = max(self._worst, delay)
