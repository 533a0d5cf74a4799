"""Every private name of OpenRTC and livekit-agents that a host touches, behind names of our own.

Owns: the versions that were checked, the warm-up of a zygote, and each reach into a framework. Never: decides what a
session does; starts a thread, an event loop or the FFI runtime while it warms up.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import inspect
import signal
import sys
import types
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from openrtc_host import sdk_log
from openrtc_host.seams import PoolParts, ServerParts, StartHook
from openrtc_host.versions import UnsupportedVersion, check_versions, has_openrtc

__all__ = ["UnsupportedVersion", "check_versions", "has_openrtc"]

#: What is reached into, as `module:attribute`; a test resolves each, so that a moved name is found by name.
PRIVATE_NAMES: tuple[str, ...] = (
    "livekit.agents.job:_JobContextVar",
    "livekit.agents.job:RunningJobInfo",
    *(f"livekit.agents.job:JobContext.{name}" for name in ("_on_setup", "_start_log_buffering", "_prepare_telemetry")),
    *(f"livekit.agents.job:JobContext.{name}" for name in ("_on_session_end", "_on_cleanup")),
    "livekit.agents.utils.http_context:_new_session_ctx",
    "livekit.agents.utils.http_context:_close_http_ctx",
    "livekit.agents.utils.http_context:_ContextVar",
    "livekit.agents.ipc.mock_room:create_mock_room",
    "livekit.agents.inference_runner:_InferenceRunner.registered_runners",
    "livekit.agents.voice.agent_activity:AgentActivity.start",
    "livekit.agents.voice.room_io.types:RoomOptions._ensure_options",
    "livekit.agents.cli._legacy:run_app",
    "livekit.agents.cli.cli:run_app",
    "livekit.rtc._ffi_client:get_ffi_lib",
    "livekit.rtc._ffi_client:signal",
    "openrtc.core.wiring:_PoolRuntimeState",
    "openrtc.core.wiring:_build_session_info",
    "openrtc.core.wiring:_is_held_open_session",
    "openrtc.core.wiring:run_session",
    "openrtc.core.wiring:run_session_end",
    "openrtc.runtime.resources:PrewarmResources.store",
)

_start_hook: contextvars.ContextVar[StartHook | None] = contextvars.ContextVar("openrtc_host_start_hook", default=None)
_installed = False


def warm(modules: Iterable[str], end_of_turn: bool = True) -> list[str]:
    """The warm-up of a zygote (`warmup.warm`): what was missed, as texts for the log."""
    from openrtc_host import warmup

    return warmup.warm(modules, end_of_turn)


def preload_framework() -> None:
    """livekit-agents' own warm-up: dlopens the FFI library, loads VAD and end-of-turn weights, never raises."""
    importlib.import_module("livekit.agents.ipc._preload")


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
        legacy: dict[str, Any] = {
            n: options.pop(n) for n in ("room_input_options", "room_output_options") if n in options
        }
        wanted = _room_options(options.get("room_options"), legacy) if "room" in options else None
        wanted = hook.before_start(self, wanted)
        if wanted is not None:
            options["room_options"] = wanted
        result = await start(self, agent, **options)
        hook.after_start(self)
        return result

    async def activity_start(self: Any, *args: Any, **options: Any) -> None:
        await enter(self, *args, **options)
        hook, task = _start_hook.get(), getattr(self, "_on_enter_task", None)
        if hook is not None and task is not None:
            hook.entered(task)

    AgentSession.start = session_start  # type: ignore[method-assign]
    AgentActivity.start = activity_start  # type: ignore[method-assign]
    if has_openrtc():
        _install_openrtc()
    _panic_is_death()
    sdk_log.spare()
    _installed = True


def _panic_is_death() -> None:
    """A panic of the FFI library sends its own process SIGTERM, which a host takes for a wish of the supervisor and
    obeys in good order; that it cannot go on must be seen."""
    ffi: Any = importlib.import_module("livekit.rtc._ffi_client")
    ffi.signal = types.SimpleNamespace(SIGTERM=signal.SIGABRT)


def _install_openrtc() -> None:
    wiring: Any = importlib.import_module("openrtc.core.wiring")
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
    *,
    proc: Any,
    job: Any,
    accepted: Any,
    room: Any,
    url: str,
    token: str,
    fake: bool,
    executor: Any,
    on_connect: Callable[[], None],
    on_shutdown: Callable[[str], None],
) -> Any:
    """A `JobContext` of our own making."""
    from livekit.agents.job import JobContext, RunningJobInfo

    running = RunningJobInfo(
        accept_arguments=accepted, job=job, url=url, token=token, worker_id="openrtc-supervisor", fake_job=fake
    )
    return JobContext(
        proc=proc,
        info=running,
        room=room,
        on_connect=on_connect,
        on_shutdown=on_shutdown,
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


def finish_openrtc(ctx: Any, error: BaseException | None) -> None:
    """Gives OpenRTC's observers the error that the session ended with, not that of its greeting."""
    import functools

    finish = getattr(ctx, "_openrtc_session_finish", None)
    if finish is not None and error is not None:
        ctx._openrtc_session_finish = functools.partial(finish.func, *finish.args[:-1], error)


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


def pool_parts(pool: Any) -> PoolParts:
    """The parts of a pool; caps and breaker are not among them, its constructor did not get them."""
    state = pool._runtime_state
    return PoolParts(request=pool._request_fnc, observers=list(state.observers), resolver=state.tenant_resolver)


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


def runner_classes() -> dict[str, Any]:
    """The inference runners that plugins registered, by method."""
    module: types.ModuleType | None = sys.modules.get("livekit.agents.inference_runner")
    return dict(module._InferenceRunner.registered_runners) if module is not None else {}
