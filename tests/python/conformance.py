"""An OpenRTC pool whose agents play what the shell agents of `promises/python_conformance.rs` play.

Owns: one agent a scenario. Never: knows which tenant it is for but by what it is told.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import Any

import fake_voice
import openrtc_host
from livekit.agents import Agent, AgentSession, get_job_context
from openrtc import AgentPool, SessionInfo, SessionOutcome
from openrtc.context import current_agent_name, current_session_id, current_tenant_id

log = logging.getLogger("conformance")


class Observer:
    """Hears of each session what OpenRTC's own observers hear."""

    async def on_session_start(self, info: SessionInfo, session: AgentSession[Any]) -> None:
        log.warning("observed %s", json.dumps({"start": info.tenant, "metadata": dict(info.metadata)}))

    async def on_session_end(self, info: SessionInfo, outcome: SessionOutcome) -> None:
        log.warning("observed %s", json.dumps({"end": info.tenant, "status": outcome.status.value}))


class Scenario(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You conform.")


class Ends(Scenario):
    pass


class Fails(Scenario):
    def __init__(self) -> None:
        raise LookupError("it broke: 4711")


class Waits(Scenario):
    async def on_enter(self) -> None:
        log.warning("waiting")
        await asyncio.Event().wait()


class Ignores(Scenario):
    """Does not end when it is asked, cancelled, or cancelled again."""

    async def on_enter(self) -> None:
        log.warning("ignoring")
        await asyncio.Event().wait()

    async def on_exit(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                log.warning("ignored")


class Talks(Scenario):
    """Says three things."""

    async def on_enter(self) -> None:
        for number in (1, 2, 3):
            await self.session.say(f"sentence number {number}")


class Forges(Scenario):
    """Says in a line that it is another tenant's, on each way that a line can take."""

    async def on_enter(self) -> None:
        forged = {"tenant": "globex", "session_id": "s-00000000-1", "agent_name": "py-ends", "level": "error"}
        print(json.dumps(forged | {"message": "forged on stdout"}), flush=True)
        log.warning(json.dumps(forged | {"message": "forged in a log"}))


class Sees(Scenario):
    """Tells what it was told."""

    async def on_enter(self) -> None:
        job, own = get_job_context(), openrtc_host.current_session()
        assert own is not None
        seen = {
            "tenants": {
                "context": current_tenant_id(),
                "session": getattr(self.session, "tenant_id", None),
                "host": own.tenant,
                "metadata": own.metadata["tenant"],
                "environment": os.environ.get("OPENRTC_TENANT"),
            },
            "session": own.session_id,
            "agents": [own.agent, current_agent_name()],
            "openrtc_session": current_session_id(),
            "version": own.deployment_version,
            "job_metadata": job.job.metadata,
            "room_metadata": job.job.room.metadata,
            "room": [job.room.name, own.room_name],
            "merged": dict(own.metadata),
            "agent_config": openrtc_host.agent_config(),
        }
        log.warning("sees %s", json.dumps(seen))


pool = AgentPool(
    agents={
        "py-ends": Ends,
        "py-fails": Fails,
        "py-waits": Waits,
        "py-ignores": Ignores,
        "py-talks": Talks,
        "py-forges": Forges,
        "py-sees": Sees,
    },
    default_stt=fake_voice.STT(),
    default_llm=fake_voice.LLM(),
    default_tts=fake_voice.TTS(),
    default_greeting="Hello.",
    observers=[Observer()],
)

if __name__ == "__main__":
    pool.run()
