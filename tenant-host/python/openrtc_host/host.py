"""A host that serves: commands in, sessions run, reports out, all on one event loop.

Owns: the loop's reader of the channel, the answers to pings and the way the host leaves. Never: blocks, or outlives its
channel.

```text
Serving ──Drain──► Draining ──last session ended and left──► Bye
   └──Shutdown, SIGTERM──► Leaving ──last session ended and left, or grace over──► Bye
(any) ──end of the channel──► gone at once
```
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from . import context, failure
from .lag import SLOW_MICROS, LagMeter
from .logs import ChannelHandler
from .outbox import Outbox
from .rest import Rest
from .sessions import Loaded, Sessions

if TYPE_CHECKING:
    from ._native import Channel

_PINGS_PER_SNAPSHOT = 4
_SNAPSHOT_SESSIONS_MAX = 10_000
_SNAPSHOT_APART_S = 1.0
_FLUSH_S = 1.0
_GONE_S = 0.5
_log = logging.getLogger(__name__)


class HostError(Exception):
    """Why a host stopped that was not told to."""


@dataclass(frozen=True)
class Leaving:
    """It ends every session, until the deadline."""

    reason: str
    deadline: float


Stage = Literal["serving", "draining"] | Leaving


class Host:
    """One serving host. Made and used inside its event loop."""

    def __init__(
        self, channel: Channel, loaded: Loaded, configure: dict[str, Any], folder: str | None, logs: ChannelHandler
    ) -> None:
        self._channel = channel
        self._grace_s: float = configure["terminate_grace_ms"] / 1000
        self._loop = asyncio.get_running_loop()
        self._stage: Stage = "serving"
        self._over: asyncio.Future[str | None] = self._loop.create_future()
        self._outbox = Outbox(channel, self._loop, self._broken)
        self._sessions = Sessions(loaded, configure, folder, self._outbox, self._changed)
        self._lag = LagMeter(self._loop, self._slow)
        self._rest = Rest(self._loop)
        self._pings = 0
        self._lag_told = 0
        self._snapshot_at = 0.0
        self._logs = logs

    async def serve(self) -> None:
        """Serves until told to leave, or until the channel ends; raises `HostError` for any other end."""
        self._logs.redirect(self._log_line, self._wake_logs)
        self._logs.drain()
        self._loop.add_signal_handler(signal.SIGTERM, self._leave, "terminated", self._grace_s)
        self._loop.add_reader(self._channel.fileno(), self._readable)
        self._readable()
        try:
            reason = await self._over
            if reason is not None:
                await self._say_goodbye(reason)
        finally:
            self._loop.remove_reader(self._channel.fileno())
            self._lag.run(False)
            self._outbox.close()
            await self._end_tasks()

    def left(self, exit: BaseException) -> None:
        """Some task raised `SystemExit` or `KeyboardInterrupt` through the loop: its session fails."""
        session = session_of(exit)
        fault = failure.exited(exit.code) if isinstance(exit, SystemExit) else "the agent raised KeyboardInterrupt"
        if session is None or not self._sessions.exited(session.session_id, fault):
            _log.error("%s outside of a session, which is ignored", fault)

    def _readable(self) -> None:
        try:
            commands = self._channel.receive()
            for name, fields in commands:
                self._obey(name, fields)
        except (EOFError, ConnectionError):
            self._finish(None)
        except Exception as error:
            self._fail(HostError(f"failed to read a command: {error}"))

    def _obey(self, name: str, fields: dict[str, Any]) -> None:
        match name:
            case "Ping":
                self._pong(fields["nonce"])
            case "StartSession":
                self._name_tenant(fields["info"])
                self._sessions.start(fields, self._channel.take_fd, self._stage == "serving")
            case "EndSession":
                self._sessions.end(fields["session"], fields["reason"], self._grace_s)
            case "LeaveRoom":
                self._sessions.leave_room(fields["session"])
            case "Drain":
                if self._stage == "serving":
                    self._stage = "draining"
                    self._changed()
            case "Shutdown":
                self._leave("shutdown", fields["grace_ms"] / 1000)
            case _:
                raise HostError(f"{name} came after the host was ready")

    @staticmethod
    def _name_tenant(info: dict[str, Any]) -> None:
        os.environ.setdefault("OPENRTC_TENANT", info["tenant"])
        os.environ.setdefault("OPENRTC_DEPLOYMENT_VERSION", info["deployment_version"] or "")

    def _pong(self, nonce: int) -> None:
        """Answers at once; what it measures of the loop is told with every fourth ping, and when it is slow."""
        self._outbox.report("Pong", {"nonce": nonce})
        self._pings += 1
        slow = max(self._lag.micros, self._lag_told) >= SLOW_MICROS
        if self._pings % _PINGS_PER_SNAPSHOT == 0 or slow:
            self._snapshot()
        self._lag.probe()

    def _slow(self) -> None:
        if self._loop.time() - self._snapshot_at >= _SNAPSHOT_APART_S:
            self._snapshot()

    def _snapshot(self) -> None:
        self._snapshot_at = self._loop.time()
        self._lag_told = self._lag.take()
        snapshot = {
            "sessions": list(self._sessions.ids())[:_SNAPSHOT_SESSIONS_MAX],
            "events_dropped": self._outbox.events_dropped,
            "loop_lag_micros": self._lag_told,
        }
        self._outbox.offer("Snapshot", snapshot)

    def _leave(self, reason: str, grace_s: float) -> None:
        """Ends every session, then leaves. Agents get three quarters of the grace, so that their ends can be told."""
        deadline = self._loop.time() + grace_s
        match self._stage:
            case Leaving(reason=first, deadline=before):
                self._stage = Leaving(first, min(before, deadline))
            case _:
                self._stage = Leaving(reason, deadline)
        self._loop.call_at(self._stage.deadline, self._sessions.drop_all)
        self._sessions.end_all(reason, min(self._grace_s, grace_s * 3 / 4))
        self._changed()

    def _changed(self) -> None:
        """A session began, ended or left, or the stage is another."""
        self._lag.run(len(self._sessions) > 0)
        self._rest.begin(self._sessions.are_gone)
        if self._stage != "serving" and self._sessions.are_gone:
            self._finish(self._stage.reason if isinstance(self._stage, Leaving) else "drained")

    def _finish(self, reason: str | None) -> None:
        if not self._over.done():
            self._over.set_result(reason)

    def _fail(self, error: HostError) -> None:
        if not self._over.done():
            self._over.set_exception(error)

    def _broken(self, error: Exception) -> None:
        """Nothing can be said any more."""
        if isinstance(error, BufferError):
            self._fail(HostError(f"failed to report: the supervisor does not read ({error})"))
        else:
            self._finish(None)

    async def _say_goodbye(self, reason: str) -> None:
        self._outbox.report("Bye", {"reason": reason})
        try:
            await asyncio.wait_for(self._outbox.flushed(), _FLUSH_S)
        except TimeoutError:
            pass

    async def _end_tasks(self) -> None:
        """Cancels what runs still, and gives it a moment to let go of rooms and files."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_GONE_S)

    def _log_line(self, session: context.SessionContext | None, level: str, message: str) -> None:
        if session is None or not self._sessions.emit_log(session.session_id, level, message):
            self._outbox.log(level, message)

    def _wake_logs(self) -> None:
        self._loop.call_soon_threadsafe(self._logs.drain)


def session_of(exit: BaseException) -> context.SessionContext | None:
    """The session of the callback or task that let an exception through to the loop."""
    trace = exit.__traceback__
    while trace is not None:
        handle = trace.tb_frame.f_locals.get("self")
        if isinstance(handle, asyncio.Handle):
            found = getattr(handle, "get_context", None)
            scope = found() if found is not None else getattr(handle, "_context", None)
            return None if scope is None else scope.get(context.CURRENT)
        trace = trace.tb_next
    return None


def run(loop: asyncio.AbstractEventLoop, make: Callable[[], Host]) -> None:
    """Serves on the loop until the host is done, whatever its agents raise through it."""
    hosts: list[Host] = []

    async def serve() -> None:
        hosts.append(make())
        await hosts[0].serve()

    serving = loop.create_task(serve(), name="host")
    while True:
        try:
            loop.run_until_complete(serving)
            return
        except (SystemExit, KeyboardInterrupt) as exit:
            if serving.done() or not hosts:
                raise
            hosts[0].left(exit)
