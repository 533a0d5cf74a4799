"""A host's whole part played to nobody: once in the zygote, and once more in a host that is not needed yet.

Owns: the stand-in for the channel, and sessions that do nothing. What the interpreter writes into code when it first
runs it (from 3.11 on: the specialised instructions) then lies in pages that all hosts share. Never: runs anything of an
application's, leaves a thread, or is there after the warm-up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import TYPE_CHECKING, Any, cast

from . import boot, context, host, logs
from .sessions import SessionTask

if TYPE_CHECKING:
    from ._native import Channel

_TIMES = 24
"""Enough for the interpreter to settle on its instructions: it begins to after eight runs."""


def play(times: int = _TIMES) -> None:
    """Plays it, with so many sessions."""
    environment = dict(os.environ)
    near, far = socket.socketpair()
    far.setblocking(False)
    loop = asyncio.new_event_loop()
    try:
        for _ in range(times):
            boot.reseed()
            boot.apply_environment({"env": [], "secrets": []}, "dry-run")
        context.configure("{}")
        handler = logs.install(_nobody)
        near.send(b"x")
        channel = cast("Channel", _Script(far, times))
        host.run(loop, lambda: host.Host(channel, _Application(), {"terminate_grace_ms": 1000}, None, handler))
    finally:
        loop.close()
        near.close()
        far.close()
        os.environ.clear()
        os.environ.update(environment)


def _nobody(session: context.SessionContext | None, level: str, message: str) -> None:
    return


class _Application:
    def __init__(self) -> None:
        self.agents = ["dry-run"]
        self.notices: list[str] = []

    async def run(self, session: SessionTask) -> None:
        session.started()
        logging.getLogger("dry-run").info("session %s", session.id)
        session.emit({"State": {"state": "listening"}})
        waiting = asyncio.create_task(asyncio.wait_for(session.ending.wait(), 1))
        await asyncio.sleep(0)
        await waiting


class _Script:
    """The channel's stand-in: each session is started, asked to end and followed by a ping; then all is over."""

    def __init__(self, far: socket.socket, times: int) -> None:
        self._far = far
        self._times = times
        self._turn = 0
        self.events_dropped = 0

    def fileno(self) -> int:
        return self._far.fileno()

    def receive(self) -> list[tuple[str, dict[str, Any]]]:
        self._turn += 1
        if self._turn > self._times:
            return [("Shutdown", {"grace_ms": 1000})]
        session = {"run": 1, "seq": self._turn}
        info = {
            "session": session,
            "tenant": "dry-run",
            "agent": "dry-run",
            "room_name": "",
            "job_id": "",
            "metadata": {},
            "started_at_unix_ms": 0,
            "deployment_version": None,
        }
        start = {"info": info, "job_metadata": "", "room_metadata": "", "input": False, "output": False}
        return [
            ("StartSession", start),
            ("Ping", {"nonce": self._turn}),
            ("EndSession", {"session": {"run": 1, "seq": self._turn - 1}, "reason": "dry-run"}),
        ]

    def take_fd(self) -> int:
        raise OSError

    def report(self, _name: str, _fields: dict[str, Any]) -> None:
        return

    def offer(self, _name: str, _fields: dict[str, Any]) -> bool:
        return True

    def flush(self) -> bool:
        return True
