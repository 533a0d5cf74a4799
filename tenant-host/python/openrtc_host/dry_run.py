"""A host's whole part played to nobody: in the zygote with the loading of a script, and once more, without, in a host
that is not needed yet.

Owns: the stand-in for the channel, and sessions that do nothing. What the interpreter writes into code when it first
runs it (from 3.11 on: the specialised instructions) then lies in pages that all hosts share. Never: runs anything of an
application's, leaves a thread, or is there after the warm-up.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

from . import boot, context, host, logs
from .sessions import Loaded, SessionTask

if TYPE_CHECKING:
    from ._native import Channel

_TIMES = 32
"""Enough for the interpreter to settle on its instructions, after eight runs, and on what objects of a class look like,
after thirty."""
_SCRIPT = os.path.join(os.path.dirname(__file__), "rehearsed_server.py")
_BESIDE = "rehearsed_words"
"""What it imports from its own folder."""


def play_all(times: int = _TIMES) -> None:
    """Plays so many hosts with a session of nobody's, and where the framework is there as many that load a script and
    run a session of it."""
    with _put_back():
        for _ in range(times):
            play()
        if "livekit.agents" in sys.modules:
            for _ in range(times):
                play(_load())


def _load() -> Loaded:
    """Loads the script as a host loads its tenant's application, and forgets that it did."""
    from . import application

    configure = {
        "application": {"target": {"script": _SCRIPT}, "inspect": None},
        "agents": [],
        "agent_config_json": "{}",
        "env": [],
        "secrets": [],
        "terminate_grace_ms": 1000,
    }
    with application.apart():
        loaded, _ = boot.load(cast("Channel", _Nobody()), configure)
    boot.served(loaded.agents, configure)
    sys.modules.pop(_BESIDE, None)
    return loaded


@contextmanager
def _put_back() -> Iterator[None]:
    """Puts back what a host changes in its process when it loads a script."""
    main, argv, path = sys.modules["__main__"], sys.argv, list(sys.path)
    environment, folder, collects = dict(os.environ), os.getcwd(), gc.isenabled()
    try:
        yield
    finally:
        sys.modules["__main__"], sys.argv, sys.path[:] = main, argv, path
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        if not collects:
            gc.disable()


def play(application: Loaded | None = None) -> None:
    """Plays one host with one session, of an application or of one that does nothing."""
    near, far = socket.socketpair()
    far.setblocking(False)
    loop = asyncio.new_event_loop()
    try:
        boot.reseed()
        boot.apply_environment({"env": [], "secrets": []}, "dry-run")
        context.configure("{}")
        handler = logs.install(_nobody)
        near.send(b"x")
        loaded = application or _Application()
        channel = cast("Channel", _Script(far, loaded.agents[0], application is None))
        host.run(loop, lambda: host.Host(channel, loaded, {"terminate_grace_ms": 1000}, None, handler))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
        near.close()
        far.close()


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


class _Nobody:
    """Of whom a load says something."""

    tenant = "dry-run"

    def log(self, _level: str, _message: str) -> None:
        return


class _Script:
    """The channel's stand-in: a session is started, and asked to end where that is wanted; then all is over."""

    def __init__(self, far: socket.socket, agent: str, asks: bool) -> None:
        self._far, self._agent, self._asks = far, agent, asks
        self._state: Literal["idle", "running", "over"] = "idle"
        self.events_dropped = 0

    def fileno(self) -> int:
        return self._far.fileno()

    def receive(self) -> list[tuple[str, dict[str, Any]]]:
        session = {"run": 1, "seq": 1}
        if self._state == "running":
            return [("EndSession", {"session": session, "reason": "dry-run"})] if self._asks else []
        if self._state == "over":
            return [("Shutdown", {"grace_ms": 1000})]
        self._state = "running"
        info = {
            "session": session,
            "tenant": "dry-run",
            "agent": self._agent,
            "room_name": "",
            "job_id": "",
            "metadata": {},
            "started_at_unix_ms": 0,
            "deployment_version": None,
        }
        start = {"info": info, "job_metadata": "", "room_metadata": "", "input": False, "output": False}
        return [("StartSession", start), ("Ping", {"nonce": 1})]

    def take_fd(self) -> int:
        raise OSError

    def report(self, name: str, _fields: dict[str, Any]) -> None:
        if name == "SessionEnded":
            self._state = "over"

    def offer(self, _name: str, _fields: dict[str, Any]) -> bool:
        return True

    def flush(self) -> bool:
        return True
