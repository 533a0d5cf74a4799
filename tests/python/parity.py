"""An OpenRTC pool with all that OpenRTC's own process mode refuses or ignores, and agents to show what becomes of it.

Owns: a closure as `tenant_config`, a breaker, caps and a failure limit, set as one would without a supervisor. Never:
holds a key.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_voice
from livekit.agents import Agent
from openrtc import AgentPool

EDITION = "edition one"
GATE = Path(__file__).with_name("finish")

log = logging.getLogger("parity")


class Parity(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You keep the promises.")


class Fine(Parity):
    """Greets and ends; tells which edition of this file it is."""

    async def on_enter(self) -> None:
        log.warning("this is %s", EDITION)


class Waits(Parity):
    """Stays until it is asked to end."""

    async def on_enter(self) -> None:
        await asyncio.Event().wait()


class Finishes(Parity):
    """Stays until there is a file `finish` beside this script."""

    async def on_enter(self) -> None:
        while not GATE.exists():
            await asyncio.sleep(0.05)


class Crashes(Parity):
    def __init__(self) -> None:
        raise LookupError("no such customer: 4711")


class Dies(Parity):
    """Takes its host along."""

    async def on_enter(self) -> None:
        os._exit(4)


class Models(Parity):
    """Tells which model it speaks with."""

    async def on_enter(self) -> None:
        log.warning("speaks with %s", getattr(self.session.llm, "model", None))


def providers() -> Callable[[str], dict[str, Any] | None]:
    """What cannot be pickled: a function within a function."""
    asked: list[str] = []

    def resolve(tenant: str) -> dict[str, Any] | None:
        asked.append(tenant)
        log.warning("this host was asked for the providers of %s", sorted(set(asked)))
        return {"llm": fake_voice.LLM(model=f"model-of-{tenant}")} if tenant.startswith("called-") else None

    return resolve


pool = AgentPool(
    agents={
        "fine": Fine,
        "waits": Waits,
        "finishes": Finishes,
        "crashes": Crashes,
        "dies": Dies,
        "models": Models,
    },
    default_stt=fake_voice.STT(),
    default_llm=fake_voice.LLM(),
    default_tts=fake_voice.TTS(),
    default_greeting="Hello.",
    tenant_config=providers(),
    max_concurrent_sessions=7,
    consecutive_failure_limit=1,
    max_sessions_per_tenant={"capped": 3},
    enable_tenant_circuit_breaker=True,
)

if __name__ == "__main__":
    pool.run()
