"""Every private name of OpenRTC and livekit-agents that a host touches, behind names of our own.

Owns: the versions that were checked, the warm-up of a zygote, and each reach into a framework. Never: decides what a
session does; starts a thread, an event loop or the FFI runtime while it warms up.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import inspect
import sys
import types
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from openrtc_host.versions import UnsupportedVersion, check_versions, has_openrtc

__all__ = ["UnsupportedVersion", "check_versions", "has_openrtc"]

#: What is reached into, as `module:attribute`; a test resolves each, so that a moved name is found by name.
PRIVATE_NAMES: tuple[str, ...] = (
    "livekit.agents.job:_JobContextVar",
    "livekit.agents.job:RunningJobInfo",
    "livekit.agents.job:JobContext._on_setup",
    "livekit.agents.job:JobContext._start_log_buffering",
    "livekit.agents.job:JobContext._prepare_telemetry",
    "livekit.agents.job:JobContext._on_session_end",
    "livekit.agents.job:JobContext._on_cleanup",
    "livekit.agents.utils.http_context:_new_session_ctx",
    "livekit.agents.utils.http_context:_close_http_ctx",
    "livekit.agents.utils.http_context:_ContextVar",
    "livekit.agents.ipc.mock_room:create_mock_room",
    "livekit.agents.inference_runner:_InferenceRunner.registered_runners",
    "livekit.agents.voice.agent_activity:AgentActivity.start",
    "livekit.agents.voice.room_io.types:RoomOptions._ensure_options",
    "livekit.agents.cli._legacy:run_app",
    "livekit.agents.cli.cli:run_app",
    "openrtc.core.wiring:_PoolRuntimeState",
    "openrtc.core.wiring:_build_session_info",
    "openrtc.core.wiring:_is_held_open_session",
    "openrtc.core.wiring:run_session",
    "openrtc.core.wiring:run_session_end",
    "openrtc.runtime.resources:PrewarmResources.store",
    "openrtc.routing.resolver:_metadata_to_mapping",
)


class StartHook(Protocol):
    """What a job wants to know of the `AgentSession`s that its code starts."""

    def before_start(self, session: Any, room_options: Any) -> Any: ...
    def after_start(self, session: Any) -> None: ...
    def entered(self, task: asyncio.Task[Any]) -> None: ...
    def openrtc_info(self, info: Any) -> Any: ...


_start_hook: contextvars.ContextVar[StartHook | None] = contextvars.ContextVar("openrtc_host_start_hook", default=None)
_installed = False


def warm(modules: Iterable[str]) -> list[str]:
    """Imports modules and pages the models in; what could not be, as texts for the log. Starts no thread."""
    from openrtc_host import warmup

    return warmup.warm(modules)


def preload_framework() -> None:
    """livekit-agents' own warm-up: it dlopens the FFI library and loads the VAD and end-of-turn weights, and never raises."""
    importlib.import_module("livekit.agents.ipc._preload")


# ---- hooks into the frameworks ---------------------------------------------------------------------------------------


def install() -> None:
    """Puts the hooks in, once a process; those of plugins that came since are added."""
    global _installed
    from openrtc_host import warmup

    warmup.share_silero()
    if _installed:
        return
    from livekit.agents import AgentSession
    from livekit.agents.voice.agent_activity import AgentActivity

    start, enter = AgentSession.start, AgentActivity.start

    async def session_start(self: Any, agent: Any, **options: Any) -> Any:
        hook = _start_hook.get()
        if hook is None:
            return await start(self, agent, **options)
        inputs, outputs = options.pop("room_input_options", None), options.pop("room_output_options", None)
        given = {"room_input_options": inputs, "room_output_options": outputs}
        if "room" in options:
            wanted = _room_options(options.get("room_options"), {k: v for k, v in given.items() if v is not None})
            options["room_options"] = hook.before_start(self, wanted)
        else:
            hook.before_start(self, None)
        result = await start(self, agent, **options)
        hook.after_start(self)
        return result

    async def activity_start(self: Any, *args: Any, **options: Any) -> Any:
        result = await enter(self, *args, **options)
        hook, task = _start_hook.get(), getattr(self, "_on_enter_task", None)
        if hook is not None and task is not None:
            hook.entered(task)
        return result

    AgentSession.start = session_start  # type: ignore[assignment,method-assign]
    AgentActivity.start = activity_start  # type: ignore[method-assign]
    if has_openrtc():
        _install_openrtc()
    _installed = True


def _install_openrtc() -> None:
    wiring = importlib.import_module("openrtc.core.wiring")
    build, held = wiring._build_session_info, wiring._is_held_open_session

    def build_session_info(*args: Any, **options: Any) -> Any:
        hook = _start_hook.get()
        info = build(*args, **options)
        return info if hook is None else hook.openrtc_info(info)

    def is_held_open(ctx: Any) -> bool:
        if _start_hook.get() is None:
            return bool(held(ctx))
        return ctx._primary_agent_session is not None

    wiring._build_session_info = build_session_info
    wiring._is_held_open_session = is_held_open


def _room_options(given: Any, legacy: Mapping[str, Any]) -> Any:
    import copy

    from livekit.agents.types import NOT_GIVEN
    from livekit.agents.voice.room_io.types import RoomOptions

    return copy.copy(RoomOptions._ensure_options(given if given is not None else NOT_GIVEN, **legacy))


# ---- jobs ------------------------------------------------------------------------------------------------------------


@dataclass
class HttpScope:
    """The one HTTP client of a host: plugin objects outlive a session and keep the client they met first."""

    factory: Any = None

    def enter(self) -> None:
        """Makes it the one of this context."""
        from livekit.agents.utils import http_context

        if self.factory is None:
            self.factory = http_context._new_session_ctx()
        else:
            http_context._ContextVar.set(self.factory)

    async def close(self) -> None:
        """Closes it; with the host."""
        from livekit.agents.utils import http_context

        if self.factory is not None:
            http_context._ContextVar.set(self.factory)
            await http_context._close_http_ctx()
            self.factory = None


def shared_mock_room() -> Any:
    """The frameworks' mock room, made once a process: making one takes 50 ms."""
    from livekit.agents.ipc.mock_room import create_mock_room

    return create_mock_room()


def new_process() -> Any:
    """The `JobProcess` that every job of a host shares; THREAD, so that log fields follow the job's context."""
    from livekit.agents import JobExecutorType, JobProcess

    return JobProcess(executor_type=JobExecutorType.THREAD, user_arguments=None, http_proxy=None)


def new_context(
    *, proc: Any, job: Any, accepted: Any, room: Any, url: str, token: str, fake: bool, executor: Any,
    on_shutdown: Callable[[str], None],
) -> Any:
    """A `JobContext` of our own making."""
    from livekit.agents.job import JobContext, RunningJobInfo

    running = RunningJobInfo(
        accept_arguments=accepted, job=job, url=url, token=token, worker_id="openrtc-supervisor", fake_job=fake
    )
    return JobContext(
        proc=proc, info=running, room=room, on_connect=lambda: None, on_shutdown=on_shutdown,
        inference_executor=executor,
    )


def enter_job(ctx: Any, hook: StartHook) -> None:
    """Makes a job the current one of this task and those it starts."""
    from livekit.agents.job import _JobContextVar

    ctx._on_setup()
    ctx._start_log_buffering()
    ctx._prepare_telemetry()
    ctx._openrtc_defer_session_end = True
    _JobContextVar.set(ctx)
    _start_hook.set(hook)


def current_job() -> Any:
    """The job of this task, or `None`."""
    from livekit.agents.job import _JobContextVar

    return _JobContextVar.get(None)


def primary_session(ctx: Any) -> Any:
    """The job's main `AgentSession`, or `None`."""
    return ctx._primary_agent_session


def shutdown_callbacks(ctx: Any) -> list[Callable[[str], Coroutine[Any, Any, None]]]:
    """What the script added with `ctx.add_shutdown_callback`."""
    return list(ctx._shutdown_callbacks)


async def report_session(ctx: Any) -> None:
    """The framework's own last step of a session."""
    await ctx._on_session_end()


async def clean_up(ctx: Any) -> None:
    """Cancels what the job left behind and gives its directory and log filters back."""
    if tasks := list(ctx._pending_tasks):
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    done = ctx._on_cleanup()
    if inspect.isawaitable(done):  # a plain function before livekit-agents 1.8
        await done


async def wait_until_idle(session: Any) -> None:
    """Until nobody speaks, nothing is being thought and `on_enter` is done."""
    while True:
        activity = await session.wait_for_idle()
        task = activity._on_enter_task
        if task is None or task.done():
            return
        await asyncio.wait({task})


def endpointing_max_s(session: Any) -> float:
    """How long a session may wait for more words before a turn is the agent's."""
    found = session.options.turn_handling.get("endpointing") or {}
    return float(found.get("max_delay", 3.0))


def expect_no_words(session: Any) -> None:
    """Nobody is speaking: a close need not wait two seconds for a last transcript."""
    session.options.session_close_transcript_timeout = 0.0


def finish_openrtc(ctx: Any, error: BaseException | None) -> None:
    """Gives OpenRTC's observers the error that the session ended with, not the one it had when the greeting was said."""
    import functools

    finish = getattr(ctx, "_openrtc_session_finish", None)
    if finish is not None and error is not None:
        ctx._openrtc_session_finish = functools.partial(finish.func, *finish.args[:-1], error)


# ---- pools and servers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ServerParts:
    """What a host takes from a `livekit.agents.AgentServer`."""

    entrypoint: Callable[[Any], Awaitable[None]] | None
    request: Callable[[Any], Awaitable[None]] | None
    session_end: Callable[[Any], Awaitable[None]] | None
    setup: Callable[[Any], Any] | None
    agent_name: str
    session_end_timeout: float


def server_parts(server: Any) -> ServerParts:
    """The parts of a server."""
    return ServerParts(
        entrypoint=server._entrypoint_fnc,
        request=server._request_fnc,
        session_end=server._session_end_fnc,
        setup=server._setup_fnc,
        agent_name=server._agent_name,
        session_end_timeout=float(server._session_end_timeout),
    )


def pool_request(pool: Any) -> Callable[[Any], Awaitable[None]] | None:
    """The script's own accept/reject hook; caps and breaker are not in it, the constructor did not get them."""
    return cast("Callable[[Any], Awaitable[None]] | None", pool._request_fnc)


def session_state(pool: Any, agent: str, resolver: Any, observers: list[Any], version: str | None) -> Any:
    """A state for one session of a pool: the agent is chosen already, and caps and breaker are the supervisor's."""
    from openrtc.core.wiring import _PoolRuntimeState

    state = pool._runtime_state
    return _PoolRuntimeState(
        agents=state.agents,
        metrics=state.metrics,
        observers=observers,
        observer_timeout=state.observer_timeout,
        router=lambda _metadata: agent,
        tenant_resolver=resolver,
        deployment_version=version or state.deployment_version,
    )


def pool_observers(pool: Any) -> list[Any]:
    """The script's observers."""
    return list(pool._runtime_state.observers)


def pool_resolver(pool: Any) -> Any:
    """The resolver of the script's own `tenant_config`, or `None`; it warns once of a tenant that has none (B5)."""
    return pool._runtime_state.tenant_resolver


def router_metadata(text: str) -> Any:
    """What OpenRTC gives a router: the dispatch metadata as a mapping, or `None`."""
    from openrtc.routing.resolver import _metadata_to_mapping

    return _metadata_to_mapping(text)


def runner_classes() -> dict[str, Any]:
    """The inference runners that plugins registered, by method."""
    module: types.ModuleType | None = sys.modules.get("livekit.agents.inference_runner")
    return dict(module._InferenceRunner.registered_runners) if module is not None else {}
