"""A script's `pool.run()`, `cli.run_app(…)` or `server.run()`, met.

Owns: what stands in their place while an application is loaded, the arguments its objects were made with, and what
those objects must not do in a host. Never: runs a worker; opens a port, a socket or a thread for one.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from openrtc_host.versions import has_openrtc

#: The calls that a script may end with, as its author writes them.
CALLS = "pool.run(), cli.run_app(…) or server.run()"

#: Arguments of `AgentPool` that would act in this process, and the value that keeps them from it: the supervisor holds
#: the caps and the breaker, serves `top.sock`, chooses the loop, and a host has no port and no watcher.
WITHHELD: dict[str, Any] = {
    "enable_introspection": False,
    "introspection_socket_path": None,
    "enable_hot_reload": False,
    "watch_paths": None,
    "enable_uvloop": False,
    "port": None,
    "accept_only_registered_rooms": False,
    "max_sessions_per_agent": None,
    "max_sessions_per_tenant": None,
    "enable_tenant_circuit_breaker": False,
}


class Met(BaseException):
    """Unwinds a script from the call that would have run it. No `Exception`, so that scripts let it pass."""

    def __init__(self, found: Any) -> None:
        super().__init__("met by the host")
        self.found = found


_arguments: dict[int, tuple[Any, dict[str, Any]]] = {}
_explicit: dict[int, dict[str, set[str]]] = {}
_installed = False
_met: list[Any] = []


def met() -> list[Any]:
    """What the calls since `begin` were made on."""
    return list(_met)


def begin() -> None:
    """Before an application is loaded."""
    install()
    _met.clear()


@contextmanager
def apart() -> Iterator[None]:
    """What is made and met within meets nothing of before, and is let go of."""
    before = dict(_arguments), dict(_explicit), list(_met)
    _clear()
    try:
        yield
    finally:
        _clear()
        _arguments.update(before[0])
        _explicit.update(before[1])
        _met.extend(before[2])


def _clear() -> None:
    for kept in (_arguments, _explicit, _met):
        kept.clear()


def arguments(made: Any) -> dict[str, Any]:
    """What a pool's or a server's constructor was given, by name; without defaults."""
    found = _arguments.get(id(made))
    return dict(found[1]) if found is not None and found[0] is made else {}


def made() -> list[Any]:
    """Every pool and server that was made since the capture was put in."""
    return [found for found, _ in _arguments.values()]


def explicit_steps(pool: Any, agent: str) -> set[str]:
    """Which of `stt`, `llm`, `tts` the script gave this agent itself (semantics B4)."""
    return _explicit.get(id(pool), {}).get(agent, set())


def _meet(found: Any) -> None:
    _met.append(found)
    raise Met(found)


def install() -> None:
    """Takes the calls' place, once a process."""
    global _installed
    if _installed:
        return
    _installed = True
    from livekit.agents import AgentServer

    for module in ("livekit.agents.cli", "livekit.agents.cli.cli", "livekit.agents.cli._legacy"):
        home: Any = importlib.import_module(module)
        home.run_app = _run_app
    AgentServer.run = _server_run  # type: ignore[method-assign,assignment]
    AgentServer.__init__ = _recorded(AgentServer.__init__)  # type: ignore[method-assign]
    if has_openrtc():
        from openrtc.core.pool import AgentPool

        AgentPool.__init__ = _recorded(AgentPool.__init__, WITHHELD)  # type: ignore[method-assign]
        AgentPool.add = _recorded_add(AgentPool.add)  # type: ignore[method-assign]
        AgentPool.run = _pool_run  # type: ignore[method-assign]


def _run_app(server: Any) -> None:
    _meet(server)


def _server_run(self: Any, *, devmode: bool = False, unregistered: bool = False) -> None:
    _meet(self)


def _pool_run(self: Any) -> None:
    if not self.list_agents():
        raise RuntimeError("Register at least one agent before calling run().")
    _meet(self)


def _recorded(original: Callable[..., None], withheld: dict[str, Any] | None = None) -> Callable[..., None]:
    known = set(inspect.signature(original).parameters)

    @functools.wraps(original)
    def init(self: Any, *args: Any, **given: Any) -> None:
        _arguments[id(self)] = (self, dict(given))
        original(self, *args, **given | {k: v for k, v in (withheld or {}).items() if k in known})

    return init


def _recorded_add(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def add(self: Any, name: str, agent_cls: Any, **given: Any) -> Any:
        config = original(self, name, agent_cls, **given)
        steps = {step for step in ("stt", "llm", "tts") if given.get(step) is not None}
        _explicit.setdefault(id(self), {})[config.name] = steps
        return config

    return add


def is_entrypoint(found: Any) -> bool:
    """Whether an attribute is an `async def entrypoint(ctx)`."""
    if not inspect.iscoroutinefunction(found):
        return False
    required = [
        p
        for p in inspect.signature(found).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return len(required) == 1
