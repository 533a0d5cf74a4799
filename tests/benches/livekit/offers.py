"""Tells of every offer that a livekit-agents worker gets: one that its own load refuses, it does not mention.

Owns: one line of log for each. Never: changes what is answered.
"""

from __future__ import annotations

import logging
from typing import Any

from livekit.agents import AgentServer

log = logging.getLogger("livekit.agents")


def tell() -> None:
    server: Any = AgentServer
    answer = server._answer_availability

    async def told(self: Any, offer: Any, **more: Any) -> None:
        log.info("offered", extra={"room": offer.job.room.name})
        await answer(self, offer, **more)

    server._answer_availability = told
