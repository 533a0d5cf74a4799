"""When an agent has nothing more to say: how a session without a caller finds its end.

Owns: what idle means. Never: ends a session.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from openrtc_host import adapter

logger = logging.getLogger("openrtc_host")


async def quiet(session: Any, seconds: float) -> None:
    """Until the agent has been idle for so long."""
    loop = asyncio.get_running_loop()
    since: float | None = None
    while since is None or loop.time() - since < seconds:
        try:
            before = loop.time()
            await adapter.wait_until_idle(session)
        except Exception as closed:  # the session is closing; its own event tells why
            logger.debug("the agent session closed while it was waited for: %s", closed)
            return
        if since is None or loop.time() - before > 0.01 or session.agent_state not in ("listening", "idle"):
            since = loop.time()
        await asyncio.sleep(0.02)


def endpointing_max_s(session: Any) -> float:
    """How long a session may wait for more words before a turn is the agent's."""
    found = session.options.turn_handling.get("endpointing") or {}
    return float(found.get("max_delay", 3.0))


def expect_words(session: Any, seconds: float) -> None:
    """How long a close may wait for a last transcript; upstream's two seconds are long where nobody is speaking."""
    session.options.session_close_transcript_timeout = seconds
