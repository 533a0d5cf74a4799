"""One session as livekit-agents knows it: a `JobContext` of our own making, run to its end.

Owns: when a session is over and the sequence that ends it. Never: reads a tenant from metadata; tells anything to the
supervisor but through the session it was given.

```text
entered ──entrypoint raised──────────────────────────────► ending (failed)
   ├──ctx.shutdown(), `ending`, room disconnected or deserted──► ending
   └──entrypoint returned──► mock room: idle, recording played out, the AgentSession closed ──► ending
                             call: joined no room for 10 s ──► ending
ending: entrypoint, `on_enter`, AgentSession, session-end hook, report ──► leaving: room, shutdown callbacks, clean-up
        (a call leaves once its end is known to the server: `SessionTask.on_leave`)
```
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

from openrtc_host import adapter
from openrtc_host.closing import CLOSE_S, Closing
from openrtc_host.deserted import AWAY_S, Deserted
from openrtc_host.quiet import endpointing_max_s, expect_words, quiet
from openrtc_host.seams import SessionTask
from openrtc_host.seat import Seat, introduce
from openrtc_host.stamp import as_object
from openrtc_host.usage import Telemetry

logger = logging.getLogger("openrtc_host")

#: What upstream gives the entrypoint when it is to end.
ENTRYPOINT_S = 15.0
#: How long an agent that has spoken for itself must stay idle before a session without a caller is over.
QUIET_S = 0.2
#: What a caller's words may need until a turn comes of them, beyond the end-pointing of the session.
TRANSCRIPT_S = 1.5
#: How long the end of a call waits for the caller's last words; where the script itself ends it, as long as upstream.
LAST_WORDS_S = 0.5
#: How long a call may stay out of its room after its entrypoint returned.
JOIN_S = 10.0


class AgentFailed(RuntimeError):
    """The `AgentSession` ended, or said nothing, because of an error of its plugins."""


class SessionEnding(asyncio.CancelledError):
    """What OpenRTC's observers are given when a session is ended on request."""


Entrypoint = Callable[[Any], Awaitable[None]]


class Job:
    """A running session: also what the hooks of the adapter ask and tell."""

    def __init__(self, session: SessionTask, seat: Seat, proc: Any, executor: Any, accepted: Any) -> None:
        self._session, self._seat, self._accepted = session, seat, accepted
        loop = asyncio.get_running_loop()
        self._shutdown: asyncio.Future[str] = loop.create_future()
        self._closed: asyncio.Future[str] = loop.create_future()
        self._failed: asyncio.Future[BaseException] = loop.create_future()
        self.ctx = adapter.new_context(
            proc=proc,
            job=seat.job,
            accepted=accepted,
            room=seat.room,
            url=seat.url,
            token=seat.token,
            fake=seat.fake,
            executor=executor,
            on_connect=self._on_connect,
            on_shutdown=self._on_shutdown,
        )
        seat.room.on("disconnected", lambda *_: self._on_shutdown("room disconnected"))
        if not seat.fake:
            away_s = float(seat.job.room.departure_timeout) or AWAY_S
            Deserted(seat.room, away_s, self._closed.done, self._on_shutdown)
        self._telemetry = Telemetry(session.emit, self.ctx)
        self._input: Any = None
        self._output: Any = None
        self._is_heard = False
        self._live, self._returned, self._joined = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._entering: set[asyncio.Task[Any]] = set()
        self._introduction: asyncio.Task[None] | None = None

    # ---- what the adapter tells ----

    def before_start(self, session: Any, room_options: Any) -> Any:
        """An `AgentSession` is about to start: gives it ears and a mouth, which a mock room has not."""
        self._telemetry.attach(session)
        session.on("close", lambda event: self._on_close(session, event))
        if not self._seat.fake:
            return room_options
        if self._output is None and session.output.audio is None:
            from openrtc_host.recording import SpokenOutput, WavWriter

            writer = None if self._session.output_fd is None else WavWriter(os.dup(self._session.output_fd))
            session.output.audio = self._output = SpokenOutput(writer)
        if self._input is not None and session.input.audio is None and not self._is_heard:
            session.input.audio, self._is_heard = self._input, True
        if room_options is not None:
            room_options.audio_input = room_options.audio_output = False
        return room_options

    def after_start(self, session: Any) -> None:
        """An `AgentSession` runs."""
        with contextlib.suppress(Exception):  # an attribute that agents' code may read; OpenRTC sets it too
            session.tenant_id = self._session.info["tenant"]
        self._live.set()
        self._session.started()

    def entered(self, task: asyncio.Task[Any]) -> None:
        """An agent's `on_enter` runs; upstream only logs what it raises."""
        self._entering.add(task)
        task.add_done_callback(self._entered)

    def _entered(self, task: asyncio.Task[Any]) -> None:
        self._entering.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failed.done():
            self._failed.set_result(error)

    def openrtc_info(self, info: Any) -> Any:
        """OpenRTC's description of the session, as the supervisor stamped it (decision H3)."""
        known = self._session.info
        metadata = {**info.metadata, **known["metadata"], "tenant": known["tenant"]}
        if "agent_config" in (job := as_object(self._seat.job.metadata) or {}):
            metadata["agent_config"] = json.dumps(job["agent_config"], ensure_ascii=False)
        version = known["deployment_version"] or info.deployment_version
        return dataclasses.replace(
            info,
            tenant=known["tenant"],
            metadata=metadata,
            job_id=known["job_id"],
            room_name=known["room_name"],
            started_at=known["started_at_unix_ms"] / 1000,
            deployment_version=version,
        )

    def _on_close(self, session: Any, event: Any) -> None:
        if session is adapter.primary_session(self.ctx) and not self._closed.done():
            self._closed.set_result(event.reason.value)
            if event.error is not None:
                self._on_shutdown(event.reason.value)
            elif event.reason.value == "participant_disconnected":  # some time before the room closes
                self._session.is_over = not self._session.ending.is_set()

    def _on_shutdown(self, reason: str) -> None:
        if not self._shutdown.done():
            self._shutdown.set_result(reason or "shutdown")

    def _on_connect(self) -> None:
        """The call's room is joined."""
        self._joined.set()
        self._session.started()
        self._introduction = asyncio.create_task(introduce(self._seat.room, self._accepted), name="introduction")

    # ---- the life of a session ----

    async def run(
        self,
        entrypoint: Entrypoint,
        *,
        session_end: Entrypoint | None,
        session_end_s: float,
        grace_s: float,
        http: adapter.HttpScope,
    ) -> None:
        """Runs the entrypoint and what it started to the end; raises what made it fail."""
        if self._session.input_fd is not None:
            from openrtc_host.recording import RecordingInput

            self._input = RecordingInput(os.dup(self._session.input_fd))
        adapter.enter_job(self.ctx, self)
        http.enter()
        if not self._seat.fake:
            self._session.on_leave(self._leave)
        entry = asyncio.create_task(self._enter(entrypoint), name="entrypoint")
        error: BaseException | None = None
        try:
            error = await self._until_over(entry)
        except asyncio.CancelledError as cancelled:
            error = cancelled
            raise
        finally:
            error = error or self._verdict()
            cut_off = isinstance(error, asyncio.CancelledError)
            late = await self._end(entry, error, (session_end, session_end_s), 0.0 if cut_off else grace_s)
            error = error or late
        if error is not None and not self._session.ending.is_set():
            raise error

    async def _enter(self, entrypoint: Entrypoint) -> None:
        try:
            await entrypoint(self.ctx)
        except SystemExit as left:  # in a task of its own it would end the event loop, and all sessions with it
            raise AgentFailed(f"the agent called sys.exit({'' if left.code is None else repr(left.code)})") from left

    async def _until_over(self, entry: asyncio.Task[None]) -> BaseException | None:
        ending = asyncio.create_task(self._session.ending.wait())
        over: set[asyncio.Future[Any]] = {ending, self._shutdown, self._failed}
        idle: asyncio.Task[None] | None = None
        try:
            if self._input is not None:
                idle = asyncio.create_task(self._feed(), name="recording")
            await asyncio.wait({entry, *over}, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                return self._failed.result()
            if entry.done():
                if entry.cancelled():
                    return AgentFailed("the entrypoint was cancelled by its own code")
                if (error := entry.exception()) is not None:
                    self._session.started()  # OpenRTC counts one that crashes in its entrypoint as started, too
                    return error
                self._returned.set()
                if not self._seat.fake:
                    await self._until_left(over)
                    return self._failed.result() if self._failed.done() else None
                self._session.started()
                if adapter.primary_session(self.ctx) is not None:
                    if idle is None:
                        idle = asyncio.create_task(quiet(adapter.primary_session(self.ctx), QUIET_S), name="idle")
                    over |= {self._closed, *({idle} if idle else ())}
                    await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
                    if idle is not None and idle.done() and idle.exception() is not None:
                        return idle.exception()
            return self._failed.result() if self._failed.done() else None
        finally:
            for task in (ending, idle):
                if task is not None:
                    task.cancel()

    async def _until_left(self, over: set[asyncio.Future[Any]]) -> None:
        """A call lasts until its room is left, whatever its entrypoint does; one that joins none does not last."""
        if not self._joined.is_set() and not self._seat.room.isconnected():
            joined = asyncio.create_task(self._joined.wait())
            done, _ = await asyncio.wait({joined, *over}, timeout=JOIN_S, return_when=asyncio.FIRST_COMPLETED)
            joined.cancel()
            if not done and not self._seat.room.isconnected():
                logger.warning("the entrypoint returned and joined no room within %g s: no ctx.connect()?", JOIN_S)
                return
        self._session.started()
        await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)

    async def _feed(self) -> None:
        """Plays the recording once the agent has greeted, and waits for what it answers to the last words."""
        await self._live.wait()
        with contextlib.suppress(asyncio.TimeoutError):  # some entrypoints stay in their function for the whole call
            await asyncio.wait_for(self._returned.wait(), 1.0)
        session = adapter.primary_session(self.ctx)
        await quiet(session, QUIET_S)
        self._input.begin()
        if self._is_heard:
            await self._input.played.wait()
        else:
            logger.warning("the recording is not played: the script gave its AgentSession an audio input of its own")
        await quiet(session, endpointing_max_s(session) + TRANSCRIPT_S)
        self._on_shutdown("the recording is played out")

    def _verdict(self) -> BaseException | None:
        said = self._telemetry.closed_by_error or self._telemetry.unanswered_error
        return AgentFailed(said) if said and not self._session.ending.is_set() else None

    async def _end(
        self, entry: asyncio.Task[None], error: BaseException | None, hook: tuple[Any, float], grace_s: float
    ) -> BaseException | None:
        loop, closing, asked = asyncio.get_running_loop(), Closing(), self._session.ending.is_set()
        # What is left of the grace after that is for those who are told of the end.
        deadline = loop.time() + grace_s * 3 / 4
        await closing.finish({entry}, min(ENTRYPOINT_S, grace_s / 3), 1.0)
        if asked:  # the AgentSession would wait for it
            await closing.finish(self._entering, max(0.0, deadline - loop.time()) / 2, 0.2)
        session = adapter.primary_session(self.ctx)
        if session is not None:
            by_script = self._shutdown.done() and not asked and self._seat.room.isconnected()
            if self._seat.fake or not by_script:
                expect_words(session, 0.0 if self._seat.fake else LAST_WORDS_S)
            limit = max(1.0, deadline - loop.time()) if asked else CLOSE_S
            await closing.step("close the agent session", session.aclose(), limit)
        # Not before the entrypoint is over: it is then that OpenRTC takes down how that went.
        adapter.finish_openrtc(self.ctx, error or (SessionEnding(self._session.end_reason or "") if asked else None))
        session_end, session_end_s = hook
        if session_end is not None:
            await closing.step("on_session_end", session_end(self.ctx), session_end_s)
        await closing.step("make the session report", adapter.report_session(self.ctx), session_end_s)
        if self._seat.fake:
            await self._leave()
        await closing.over()
        return entry.exception() if entry.done() and not entry.cancelled() else None

    async def _leave(self) -> None:
        """Leaves the room, and does what comes after that."""
        reason = self._session.end_reason or (self._shutdown.result() if self._shutdown.done() else "job ended")
        if self._introduction is not None:
            self._introduction.cancel()
        closing = Closing()
        await closing.step("leave the room", self._seat.room.disconnect(), CLOSE_S)
        calls = adapter.shutdown_callbacks(self.ctx)
        await asyncio.gather(*(closing.step("a shutdown callback", call(reason), CLOSE_S) for call in calls))
        self._keep()
        await closing.step("clean up", adapter.clean_up(self.ctx), CLOSE_S)
        await closing.over()

    def _keep(self) -> None:
        """Leaves the WAV file of what was said behind, even of nothing."""
        if self._output is None and self._session.output_fd is not None:
            from openrtc_host.recording import WavWriter

            WavWriter(os.dup(self._session.output_fd)).close()
        elif self._output is not None:
            self._output.close()
