"""A supervisor's side of a channel for tests: the `_native.Channel` of the extension, with JSON lines for its codec.

Owns: what the host under test said, in order. Never: stands for the codec; the extension's own tests do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from typing import Any


class FakeChannel:
    """The host's end. `near` is the supervisor's."""

    def __init__(self) -> None:
        self.near, self._far = socket.socketpair()
        self._far.setblocking(False)
        self._partial = b""
        self.fds: list[int] = []
        self.said: list[tuple[str, Any]] = []
        self.events_dropped = 0
        self.blocked = False
        self.full = False
        self.thread = threading.get_ident()

    def fileno(self) -> int:
        return self._far.fileno()

    def receive(self) -> list[tuple[str, dict[str, Any]]]:
        with contextlib.suppress(BlockingIOError):
            received = self._far.recv(65536)
            if not received:
                raise EOFError
            self._partial += received
        *lines, self._partial = self._partial.split(b"\n")
        return [tuple(json.loads(line)) for line in lines]

    def take_fd(self) -> int:
        if not self.fds:
            raise OSError("no descriptor came")
        return self.fds.pop(0)

    def report(self, name: str, fields: dict[str, Any]) -> None:
        assert threading.get_ident() == self.thread, "the channel belongs to one thread"
        if self.full:
            raise BufferError("8388608 bytes wait")
        json.dumps(fields)
        self.said.append((name, fields))

    def offer(self, name: str, fields: dict[str, Any]) -> bool:
        self.report(name, fields)
        return True

    def flush(self) -> bool:
        return not self.blocked

    def command(self, name: str, **fields: Any) -> None:
        self.near.sendall(json.dumps([name, fields]).encode() + b"\n")

    def named(self, name: str) -> list[Any]:
        return [fields for said, fields in self.said if said == name]

    async def until(self, name: str, count: int = 1) -> Any:
        """Waits until so many reports of this kind were said; gives the last of them."""
        deadline = time.monotonic() + 5
        while len(self.named(name)) < count:
            assert time.monotonic() < deadline, f"no {count} of {name} in {self.said}"
            await asyncio.sleep(0.002)
        return self.named(name)[count - 1]


def info(seq: int = 1, agent: str = "support", tenant: str = "acme") -> dict[str, Any]:
    """A session's description, as the extension gives it."""
    return {
        "session": {"run": 0x1A2B3C4D, "seq": seq},
        "tenant": tenant,
        "agent": agent,
        "room_name": "room-1",
        "job_id": "job-1",
        "metadata": {"tenant": tenant, "plan": "gold"},
        "started_at_unix_ms": 1_700_000_000_500,
        "deployment_version": "v7",
    }


def start(seq: int = 1, **fields: Any) -> dict[str, Any]:
    """What `StartSession` carries."""
    known = {"info": info(seq), "job_metadata": "", "room_metadata": "", "input": False, "output": False}
    return {**known, **fields}


CONFIGURE: dict[str, Any] = {
    "agents": [],
    "agent_config_json": '{"greeting": "hello", "nested": {"a": 1}}',
    "env": [["HOME", "/work"], ["GREETING", "hi"]],
    "secrets": [{"variable": "OPENAI_API_KEY", "value": "sk-canary"}],
    "work_dir": "/work",
    "terminate_grace_ms": 300,
    "application": {"target": {"script": "/srv/app/main.py"}, "loaded": False, "inspect": None},
}
