"""The steps that bring a session to its end, each for so long and no longer.

Owns: what does not heed its time, nor its cancellation. Never: keeps the next step waiting for that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import Any

logger = logging.getLogger("openrtc_host")


#: What upstream gives each step of the end.
CLOSE_S = 60.0


class Closing:
    """The end of one session."""

    def __init__(self) -> None:
        self._stubborn: set[asyncio.Future[Any]] = set()

    @staticmethod
    async def finish(running: Iterable[asyncio.Task[Any]], patience_s: float, cancelled_s: float) -> None:
        """Waits for what runs, then cancels it and waits again."""
        if tasks := {task for task in running if not task.done()}:
            _, late = await asyncio.wait(tasks, timeout=patience_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=cancelled_s)

    async def step(self, what: str, step: Awaitable[Any], seconds: float) -> None:
        """One step, for so long."""
        task = asyncio.ensure_future(step)
        try:
            await asyncio.wait({task}, timeout=seconds)
        finally:
            if not task.done():
                task.cancel()
        if not task.done():
            logger.error("%s did not end within %g s; going on", what, seconds)
            await asyncio.wait({task}, timeout=0.1)
        if not task.done():
            self._stubborn.add(task)
        elif not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed; going on", what, exc_info=error)

    async def over(self) -> None:
        """Waits for what heeded nothing: a session is not over while its code runs, and its host sees to that."""
        if self._stubborn:
            await asyncio.wait(self._stubborn)
