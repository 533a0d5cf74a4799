"""The sessions that run on this host: each a task, each ended with exactly one report.

Owns: the table of running sessions, their deadlines and the status each ends with. Never: lets an agent's exception,
its `sys.exit` or its refusal to end reach another session.

```text
StartSession ──► task ──returns──► success        EndSession ──► `ending` is set ──grace──► cancelled ──2 s──► given up
                   └────raises──► failed (the exception's summary), or misconfigured where it says so
SessionEnded told ──LeaveRoom, or 5 s──► a call's agent leaves its room (`leaving`)
```
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

from . import context, denied, failure
from .leaving import Leaving
from .outbox import Outbox

_OVERDUE_S = 2.0
_log = logging.getLogger(__name__)


class Loaded(Protocol):
    """An application, ready to run sessions (`application.load`)."""

    agents: list[str]
    notices: list[str]

    async def run(self, session: SessionTask) -> None:
        """Runs one session to its end; raises what its entrypoint raised."""


class SessionTask:
    """One session, for what runs it.

    `ending` is set when the session is to end, `end_reason` then says why; after the grace its task is cancelled.
    `is_over`: its caller left before that. `input_fd` and `output_fd` belong to the host, which closes them.
    """

    def __init__(self, fields: dict[str, Any], configure: dict[str, Any], outbox: Outbox) -> None:
        self.info: dict[str, Any] = fields["info"]
        self.job_metadata: str = fields["job_metadata"]
        self.room_metadata: str = fields["room_metadata"]
        self.call: dict[str, Any] | None = fields.get("call")
        self.configure = configure
        self.context = context.context_of(self.info)
        self.ending = asyncio.Event()
        self.end_reason: str | None = None
        self.is_over = False
        self.input_fd: int | None = None
        self.output_fd: int | None = None
        self.leave: Callable[[], Awaitable[None]] | None = None
        self._outbox = outbox
        self._has_started = False
        self._has_ended = False

    @property
    def id(self) -> str:
        """Its id as text."""
        return self.context.session_id

    def emit(self, event: dict[str, Any]) -> None:
        """Tells what happened, as `{"Turn": {…}}`. What cannot be told is logged, and never raised to the agent."""
        if self._has_ended:
            return
        try:
            self._outbox.event(self.info["session"], event)
        except Exception as error:
            _log.warning("an event of session %s was not told: %s", self.id, error)

    def started(self) -> None:
        """Tells that the session runs; once, however often it is called."""
        if not self._has_started and not self._has_ended:
            self._has_started = True
            self._outbox.report("SessionStarted", {"session": self.info["session"]})

    def rerouted(self, agent: str) -> None:
        """Tells that the application's own router chose another agent."""
        if not self._has_ended:
            self._outbox.report("SessionRerouted", {"session": self.info["session"], "agent": agent})

    def on_leave(self, leave: Callable[[], Awaitable[None]]) -> None:
        """What is to be done once its end is known: until then its agent stays in the room."""
        self.leave = leave

    def ended(self, status: str, error: str | None) -> None:
        """Tells how it ended. For the table only."""
        if status == "success":
            self.started()
        self._has_ended = True
        self._outbox.report("SessionEnded", {"session": self.info["session"], "status": status, "error": error})
        self.close()

    def close(self) -> None:
        """Closes its recordings. For the table only."""
        for fd in (self.input_fd, self.output_fd):
            if fd is not None:
                with contextlib.suppress(OSError):
                    os.close(fd)
        self.input_fd = self.output_fd = None


class _Running:
    def __init__(self, session: SessionTask, task: asyncio.Task[None], scope: contextvars.Context) -> None:
        self.session = session
        self.task = task
        self.scope = scope
        self.deadline: float | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.fault: str | None = None


class Sessions:
    """The table."""

    def __init__(
        self,
        loaded: Loaded,
        configure: dict[str, Any],
        folder: str | None,
        outbox: Outbox,
        changed: Callable[[], None],
    ) -> None:
        self._loaded = loaded
        self._configure = configure
        self._folder = folder
        self._outbox = outbox
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._running: dict[str, _Running] = {}
        self._leaving = Leaving(changed)

    def __len__(self) -> int:
        return len(self._running)

    @property
    def are_gone(self) -> bool:
        """Whether none runs, and none has a room to leave."""
        return len(self._running) == 0 and len(self._leaving) == 0

    def ids(self) -> Iterator[object]:
        """Of those that run, as the supervisor gave them."""
        return (running.session.info["session"] for running in self._running.values())

    def emit_log(self, session_id: str, level: str, message: str) -> bool:
        """A log line of a session; no if it runs no longer."""
        running = self._running.get(session_id)
        if running is not None:
            running.session.emit({"Log": {"level": level, "message": message}})
        return running is not None

    def start(self, fields: dict[str, Any], take_fd: Callable[[], int], serving: bool) -> None:
        """Starts a session. One that cannot start is ended at once."""
        session = SessionTask(fields, self._configure, self._outbox)
        refusal = self._receive(session, fields, take_fd)
        if session.id in self._running:
            _log.warning("session %s was started twice; the second start is ignored", session.id)
            session.close()
            return
        if not serving:
            session.ended("cancelled", "this host takes no more sessions: it is draining")
        elif refusal is not None:
            session.ended("failed", refusal)
        elif session.context.agent not in self._loaded.agents:
            session.ended("failed", f"this host serves no agent {session.context.agent}")
        else:
            self._spawn(session)

    def end(self, session: object, reason: str, grace_s: float) -> None:
        """Asks a session to end within the grace."""
        running = self._running.get(context.session_text(session))
        if running is not None:
            self._ask(running, reason, grace_s)

    def leave_room(self, session: object) -> None:
        """The end of a session is known: its agent may leave the room."""
        self._leaving.release(context.session_text(session))

    def end_all(self, reason: str, grace_s: float) -> None:
        """Asks every session to end within the grace."""
        for running in list(self._running.values()):
            self._ask(running, reason, grace_s)

    def drop_all(self) -> None:
        """Cancels every session and waits for none."""
        for running in list(self._running.values()):
            running.task.cancel("the host leaves")
            self._give_up(running)
        self._leaving.drop_all()

    def exited(self, session_id: str, fault: str) -> bool:
        """An agent left the interpreter from a task of its own: its session fails, and only that."""
        running = self._running.get(session_id)
        if running is None:
            return False
        running.fault = running.fault or fault
        running.task.cancel(fault)
        self._set_timer(running, self._loop.time() + _OVERDUE_S, self._give_up)
        return True

    @staticmethod
    def _receive(session: SessionTask, fields: dict[str, Any], take_fd: Callable[[], int]) -> str | None:
        try:
            if fields["input"]:
                session.input_fd = take_fd()
            if fields["output"]:
                session.output_fd = take_fd()
        except OSError:
            return "the recording announced with the session did not come"
        return None

    def _spawn(self, session: SessionTask) -> None:
        scope = contextvars.copy_context()
        scope.run(context.CURRENT.set, session.context)
        task = self._loop.create_task(self._run(session), name=f"session {session.id}", context=scope)
        running = self._running[session.id] = _Running(session, task, scope)
        task.add_done_callback(lambda _: self._done(running))
        self._changed()

    async def _run(self, session: SessionTask) -> None:
        try:
            await self._loaded.run(session)
        except SystemExit as exit:
            raise _Left(failure.exited(exit.code)) from None
        except KeyboardInterrupt:
            raise _Left("the agent raised KeyboardInterrupt") from None

    def _done(self, running: _Running) -> None:
        raised = None if running.task.cancelled() else running.task.exception()
        if self._running.get(running.session.id) is not running:
            return
        if running.fault is not None:
            self._conclude(running, "failed", running.fault)
        elif running.task.cancelled():
            self._conclude(running, "cancelled", None)
        elif raised is None:
            self._conclude(running, "success", None)
        elif isinstance(raised, _Left):
            self._conclude(running, "failed", str(raised))
        elif (fault := _misconfigured(raised)) is not None:
            self._conclude(running, "misconfigured", failure.cut(str(fault), failure.ERROR_BYTES_MAX))
        else:
            text = logging.Formatter().formatException((type(raised), raised, raised.__traceback__))
            running.session.emit({"Log": {"level": "error", "message": f"the session failed\n{text}"}})
            self._conclude(running, "failed", failure.summary(raised, self._folder))

    def _conclude(self, running: _Running, status: str, error: str | None) -> None:
        del self._running[running.session.id]
        if running.timer is not None:
            running.timer.cancel()
        if running.session.ending.is_set() and not (running.session.is_over and status == "success"):
            status = "cancelled"
        running.session.ended(status, error)
        if running.session.leave is not None:
            self._leaving.add(running.session.id, running.session.leave, running.scope)
        self._changed()

    def _ask(self, running: _Running, reason: str, grace_s: float) -> None:
        deadline = self._loop.time() + grace_s
        if not running.session.ending.is_set():
            running.session.end_reason = reason
            running.session.ending.set()
        if running.deadline is None or deadline < running.deadline:
            running.deadline = deadline
            self._set_timer(running, deadline, self._cancel)

    def _cancel(self, running: _Running) -> None:
        running.task.cancel("the grace to end was over")
        self._set_timer(running, self._loop.time() + _OVERDUE_S, self._give_up)

    def _give_up(self, running: _Running) -> None:
        running.task.cancel()
        if running.task.done():
            self._done(running)
        elif running.fault is not None:
            self._conclude(running, "failed", running.fault)
        else:
            self._conclude(running, "cancelled", "agent did not end within its grace")

    def _set_timer(self, running: _Running, at: float, act: Callable[[_Running], None]) -> None:
        if running.timer is not None:
            running.timer.cancel()
        running.timer = self._loop.call_at(at, act, running)


def _misconfigured(raised: BaseException) -> BaseException | None:
    """What says that the configuration is at fault, in the exception or behind it; its text is complete."""
    return next((cause for cause in denied.causes(raised) if getattr(cause, "misconfigured", False) is True), None)


class _Left(Exception):
    """An agent that tried to end the interpreter."""
