"""Who the running session is for, for agents' code to read.

Owns: the context variable of the session, and the tenant's `agent_config`. Never: reads a tenant from metadata; the
supervisor has stamped it (decision H3).
"""

from __future__ import annotations

import contextvars
import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class SessionContext:
    """One session, as the supervisor stamped it (semantics A5)."""

    session_id: str
    tenant: str
    agent: str
    room_name: str
    job_id: str
    metadata: Mapping[str, str]
    started_at: float
    """When it was admitted, in seconds since 1970."""
    deployment_version: str | None


CURRENT: contextvars.ContextVar[SessionContext | None] = contextvars.ContextVar("openrtc_host_session", default=None)

_agent_config: dict[str, Any] = {}


def current_session() -> SessionContext | None:
    """The session that the calling task belongs to; `None` outside of one."""
    return CURRENT.get()


def agent_config() -> dict[str, Any]:
    """The tenant's `agent_config`: a copy of its own for each caller, empty where none is configured."""
    return copy.deepcopy(_agent_config)


def configure(agent_config_json: str) -> None:
    """Takes the `agent_config` of this host's tenant."""
    found = json.loads(agent_config_json)
    if not isinstance(found, dict):
        raise ValueError(f"agent_config must be a table, not {type(found).__name__}")
    _agent_config.clear()
    _agent_config.update(found)


def session_text(session: object) -> str:
    """The text of an opaque session id: `s-1a2b3c4d-17`, as everywhere else."""
    if isinstance(session, Mapping):
        return f"s-{int(session['run']):08x}-{int(session['seq'])}"
    return str(session)


def context_of(info: Mapping[str, Any]) -> SessionContext:
    """The context of a session from its description."""
    return SessionContext(
        session_id=session_text(info["session"]),
        tenant=info["tenant"],
        agent=info["agent"],
        room_name=info["room_name"],
        job_id=info["job_id"],
        metadata=MappingProxyType(dict(info["metadata"])),
        started_at=info["started_at_unix_ms"] / 1000,
        deployment_version=info["deployment_version"],
    )
