"""An OpenRTC pool that asks for everything that a supervisor takes over.

Owns: each of AgentPool's settings that has a remedy in the configuration, and an observer, a router and a request
filter, which run in the host. Never: holds a key.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fake_voice
from livekit.agents import Agent, AgentSession, JobRequest
from openrtc import AgentPool, SessionInfo, SessionOutcome
from openrtc.context import current_agent_name, current_session_id, current_tenant_id

log = logging.getLogger("asking")


class Observer:
    async def on_session_start(self, info: SessionInfo, session: AgentSession[Any]) -> None:
        log.warning(
            "observed start %s %s %s %s", info.tenant, info.agent_name, info.deployment_version, dict(info.metadata)
        )

    async def on_session_end(self, info: SessionInfo, outcome: SessionOutcome) -> None:
        log.warning("observed end %s %s", info.tenant, outcome.status.value)


class Asking(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You ask.")

    async def on_enter(self) -> None:
        told = current_tenant_id(), current_session_id(), current_agent_name(), getattr(self.session, "tenant_id", None)
        log.warning("entered %s %s %s %s", *told)


def route(metadata: Mapping[str, Any] | None) -> str | None:
    """VIPs go to their own agent, and some to one that nobody registered."""
    plan = (metadata or {}).get("plan")
    return {"vip": "vip", "lost": "nowhere"}.get(str(plan))


async def admit(request: JobRequest) -> None:
    if "forbidden" in request.room.name:
        await request.reject()
    else:
        await request.accept()


def providers(tenant: str) -> dict[str, Any] | None:
    """A provider of its own for one tenant; the others fall back."""
    log.warning("providers of %s", tenant)
    return {"llm": fake_voice.LLM(model="echo-2")} if tenant == "globex" else None


pool = AgentPool(
    agents={"support": Asking, "vip": Asking},
    default_stt=fake_voice.STT(),
    default_llm=fake_voice.LLM(),
    default_tts=fake_voice.TTS(),
    default_greeting="Hello on {key}.",
    observers=[Observer()],
    max_concurrent_sessions=7,
    consecutive_failure_limit=3,
    drain_timeout=45,
    memory_warn_mb=300.0,
    memory_limit_mb=400.0,
    request_fnc=admit,
    router=route,
    agent_name="front-desk",
    tenant_config=providers,
    max_sessions_per_agent={"support": 3},
    max_sessions_per_tenant={"acme-corp": 2},
    enable_tenant_circuit_breaker=True,
    tenant_circuit_cooldown_s=12.0,
    slow_session_threshold_ms=80.0,
    introspection_socket_path=Path("/tmp/never-there/top.sock"),
    deployment_version="scripts-own",
    port=8999,
)

if __name__ == "__main__":
    pool.run()
