"""What the tests of sessions share: a session without a supervisor, and how it is played."""

from __future__ import annotations

import asyncio
import json
from typing import Any


class Session:
    """A session as a host would give it, and everything that it told."""

    def __init__(
        self,
        *,
        agent: str = "default",
        tenant: str = "acme",
        job: str = "",
        room: str = "",
        input_fd: int | None = None,
        output_fd: int | None = None,
        version: str | None = None,
    ) -> None:
        self.info: dict[str, Any] = {
            "session": {"run": 1, "seq": 1},
            "tenant": tenant,
            "agent": agent,
            "room_name": "room-1",
            "job_id": "AJ_1",
            "metadata": {"tenant": tenant},
            "started_at_unix_ms": 1_700_000_000_000,
            "deployment_version": version,
        }
        self.job_metadata, self.room_metadata = job, room
        self.input_fd, self.output_fd = input_fd, output_fd
        self.call: dict[str, Any] | None = None
        self.leave: Any = None
        self.ending, self.end_reason, self.is_over = asyncio.Event(), None, False
        self.events: list[dict[str, Any]] = []
        self.reroutes: list[str] = []
        self.starts = 0

    def emit(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def rerouted(self, agent: str) -> None:
        self.reroutes.append(agent)

    def started(self) -> None:
        self.starts += 1

    def on_leave(self, leave: Any) -> None:
        self.leave = leave

    def of(self, kind: str) -> list[Any]:
        """The events of one kind."""
        return [event[kind] for event in self.events if kind in event]

    def turns(self) -> list[tuple[str, str]]:
        """Who said what."""
        return [(turn["speaker"], turn["text"]) for turn in self.of("Turn")]


def configured(
    *agents: dict[str, Any], agent_config: dict[str, Any] | None = None, **application: Any
) -> dict[str, Any]:
    """A `Configure` as plain dicts."""
    return {
        "agents": [
            {
                "name": a["name"],
                "command": [],
                "tools": [],
                "providers_json": json.dumps(a.get("providers", {})),
                "defaulted": a.get("defaulted", []),
            }
            for a in agents
        ],
        "agent_config_json": json.dumps(agent_config or {}),
        "env": [],
        "secrets": [],
        "work_dir": "/tmp",
        "terminate_grace_ms": 3000,
        "application": {"target": None, "loaded": False, "inspect": None, **application},
    }


def run(loaded: Any, session: Any, seconds: float = 20.0) -> Any:
    """Runs one session to its end, on a loop of its own."""

    async def within() -> None:
        try:
            await asyncio.wait_for(loaded.run(session), seconds)
        finally:
            await loaded.close()

    asyncio.run(within())
    return session
