"""The shapes that the adapter and the rest of the package hand each other.

Owns: types only. Never: imports a framework.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol


class SessionTask(Protocol):
    """What a job is given of its session (`sessions.SessionTask`)."""

    info: dict[str, Any]
    job_metadata: str
    room_metadata: str
    call: dict[str, Any] | None
    input_fd: int | None
    output_fd: int | None
    ending: asyncio.Event
    end_reason: str | None
    is_over: bool

    def emit(self, event: dict[str, Any]) -> None: ...
    def rerouted(self, agent: str) -> None: ...
    def started(self) -> None: ...
    def on_leave(self, leave: Callable[[], Awaitable[None]]) -> None: ...


class StartHook(Protocol):
    """What a job wants to know of the `AgentSession`s that its code starts."""

    def before_start(self, session: Any, room_options: Any) -> Any: ...
    def after_start(self, session: Any) -> None: ...
    def entered(self, task: asyncio.Task[Any]) -> None: ...
    def openrtc_info(self, info: Any) -> Any: ...


@dataclass(frozen=True)
class ServerParts:
    """What a host takes from a `livekit.agents.AgentServer`."""

    entrypoint: Callable[[Any], Awaitable[None]] | None
    request: Callable[[Any], Awaitable[None]] | None
    session_end: Callable[[Any], Awaitable[None]] | None
    setup: Callable[[Any], Any] | None
    agent_name: str
    session_end_timeout: float


@dataclass(frozen=True)
class PoolParts:
    """What a host takes from an `openrtc.AgentPool`, beside what it says of itself."""

    request: Callable[[Any], Awaitable[None]] | None
    observers: list[Any]
    resolver: Any
    """Of the script's own `tenant_config`, or `None`; it warns once of a tenant that has none (semantics B5)."""
