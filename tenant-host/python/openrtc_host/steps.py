"""One step of a session's end: bounded, and never in the way of the next.

Owns: the bound and the log line. Never: raises what a step raised.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

logger = logging.getLogger("openrtc_host")

#: What upstream gives each step of the end.
CLOSE_S = 60.0


async def step(what: str, work: Awaitable[Any], seconds: float) -> None:
    """Waits for it, so long at most."""
    try:
        await asyncio.wait_for(work, seconds)
    except TimeoutError:
        logger.error("%s did not end within %g s; going on", what, seconds)
    except Exception:
        logger.exception("%s failed; going on", what)
