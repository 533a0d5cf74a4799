"""Sessions of a plain livekit-agents application: its own entrypoint, on a `JobContext` of ours.

Owns: the job process that all sessions of a host share, prewarmed once, and the script's `request_fnc`. Never: decides
who may have a session; the supervisor has admitted it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from openrtc_host import adapter
from openrtc_host.job import Entrypoint, Job
from openrtc_host.providers import inference_fault
from openrtc_host.seams import ServerParts, SessionTask
from openrtc_host.seat import Seat
from openrtc_host.turn_detector import HostExecutor

logger = logging.getLogger("openrtc_host")

#: How long a script's `request_fnc` may think.
REQUEST_S = 10.0


class SessionRejected(RuntimeError):
    """The application itself turned the session away."""


async def accepted(request: Callable[[Any], Awaitable[None]] | None, seat: Seat) -> Any:
    """What the script's `request_fnc` accepts the job as; raises when it does not. `None` accepts as upstream does."""
    arguments = await _asked(request, seat.job)
    if seat.identity is None or arguments.identity == seat.identity:
        return arguments
    if request is not None and arguments.identity != f"agent-{seat.job.id}":
        logger.warning(
            "the script's request_fnc asks for the identity %r; the server was told %r already",
            arguments.identity,
            seat.identity,
        )
    return dataclasses.replace(arguments, identity=seat.identity)


async def _asked(request: Callable[[Any], Awaitable[None]] | None, job: Any) -> Any:
    import asyncio

    from livekit.agents import JobRequest
    from livekit.agents.job import JobAcceptArguments

    answers: list[Any] = []

    async def on_accept(arguments: Any) -> None:
        answers.append(arguments)

    async def on_reject(_terminate: bool) -> None:
        answers.append(None)

    if request is None:
        return JobAcceptArguments(name="", identity=f"agent-{job.id}", metadata="")
    try:
        await asyncio.wait_for(request(JobRequest(job=job, on_reject=on_reject, on_accept=on_accept)), REQUEST_S)
    except TimeoutError:
        if not answers:
            raise SessionRejected(f"the script's request_fnc gave no answer within {REQUEST_S:g} s") from None
    except Exception as error:
        if not answers:
            raise SessionRejected(f"the script's request_fnc raised {type(error).__name__}: {error}") from error
        logger.exception("the script's request_fnc failed after its answer")
    if not answers:
        raise SessionRejected("the script's request_fnc neither accepted nor rejected the session")
    if answers[0] is None:
        raise SessionRejected("rejected by the script's request_fnc")
    return answers[0]


class HostState:
    """What all sessions of this host share."""

    def __init__(self) -> None:
        self.proc = adapter.new_process()
        self.http = adapter.HttpScope()
        self.executor: Any = HostExecutor()
        self.agent_config: dict[str, Any] = {}
        self.grace_s = 10.0

    def configure(self, configure: dict[str, Any]) -> None:
        """Takes what the supervisor says of this host's tenant."""
        self.agent_config = json.loads(configure.get("agent_config_json") or "{}")
        self.grace_s = float(configure.get("terminate_grace_ms", 10_000)) / 1000


class LiveKitApplication:
    """An `AgentServer`, `WorkerOptions` or a bare entrypoint: one agent."""

    def __init__(self, parts: ServerParts, name: str) -> None:
        self._parts, self._name = parts, name
        self.state = HostState()
        self.agents = [parts.agent_name or "default"]

    def prewarm(self) -> None:
        """The script's `setup_fnc` or `prewarm_fnc`, once a host."""
        if self._parts.setup is not None:
            self._parts.setup(self.state.proc)

    def configure(self, configure: dict[str, Any]) -> None:
        """Takes what the supervisor says of this host's tenant."""
        self.state.configure(configure)

    async def run(self, session: SessionTask) -> None:
        """One session."""
        state, parts = self.state, self._parts
        seat = Seat.of(session, state.agent_config, parts.agent_name)
        arguments = await accepted(parts.request, seat)
        if parts.entrypoint is None:
            raise RuntimeError(f"{self._name} registered no entrypoint: decorate one with @server.rtc_session()")
        await run_job(
            session, seat, state, arguments, parts.entrypoint, parts.session_end, parts.session_end_timeout, self._name
        )


async def run_job(
    session: SessionTask,
    seat: Seat,
    state: HostState,
    arguments: Any,
    entrypoint: Entrypoint,
    session_end: Entrypoint | None,
    session_end_s: float,
    application: str,
) -> None:
    """One job, and what its failure means."""
    job = Job(session, seat, state.proc, state.executor, arguments)
    try:
        await job.run(
            entrypoint, session_end=session_end, session_end_s=session_end_s, grace_s=state.grace_s, http=state.http
        )
    except Exception as error:
        fault = inference_fault(error, application)
        if fault is not None:
            raise fault from error
        raise
