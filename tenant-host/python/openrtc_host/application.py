"""From a script, an attribute or a folder of agents to an application that can run sessions.

Owns: running the script as `python main.py start` would, finding what it registers, and the faults of loading. Never:
runs a worker, or loads anything before the host has its environment.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import os
import re
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from openrtc_host import adapter, capture, notices, settings
from openrtc_host.livekit_session import LiveKitApplication
from openrtc_host.openrtc_session import OpenRtcApplication
from openrtc_host.providers import ConfigurationFault, inference_fault
from openrtc_host.seams import ServerParts, SessionTask

_AGENT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KINDS = "an openrtc.AgentPool, a livekit.agents.AgentServer, WorkerOptions or an `async def entrypoint(ctx)`"


class LoadError(Exception):
    """An application cannot be loaded; the text is whole, for the operator. `step` is where setting up failed."""

    def __init__(self, detail: str, step: str = "configure") -> None:
        super().__init__(detail)
        self.step = step


class Application(Protocol):
    """What a pool and a server have in common here."""

    agents: list[str]

    def prewarm(self) -> None: ...
    def configure(self, configure: dict[str, Any]) -> None: ...
    async def run(self, session: SessionTask) -> None: ...


class Loaded:
    """An application, ready to run sessions."""

    def __init__(self, application: Application, subject: Any, name: str) -> None:
        self._application, self._subject, self._name = application, subject, name
        self._is_warm = False
        self.agents = application.agents
        self.notices: list[str] = []

    def prewarm(self) -> None:
        """The application's own prewarm, once a process (and once for all hosts when a zygote did it)."""
        if not self._is_warm:
            self._application.prewarm()
            self._is_warm = True

    def configure(self, configure: dict[str, Any]) -> None:
        """Takes what the supervisor says of this host's tenant."""
        self._application.configure(configure)
        in_force = (configure.get("application") or {}).get("inspect")
        if in_force is not None:
            self.notices = notices.of(self._subject, configure, self._name, json.loads(in_force))

    async def run(self, session: SessionTask) -> None:
        """Runs one session to its end; raises what its entrypoint raised."""
        await self._application.run(session)

    async def close(self) -> None:
        """Gives back what the sessions shared; with the host."""
        await self._application.state.http.close()  # type: ignore[attr-defined]


_loaded: dict[str, Loaded] = {}


def load(target: dict[str, Any], configure: dict[str, Any] | None) -> Loaded:
    """Loads an application, or takes the one that the zygote has loaded; `configure` is `None` in a zygote."""
    adapter.check_versions()
    key = json.dumps(target, sort_keys=True)
    loaded = _loaded.get(key)
    application = (configure or {}).get("application") or {}
    if loaded is None:
        adapter.install()
        capture.begin()
        loaded = _loaded_anew(target)
        _loaded[key] = loaded
    if application.get("inspect") is None:
        try:
            loaded.prewarm()
        except Exception as error:
            raise _fault(error, _name(target)) from error
    if configure is not None:
        loaded.configure(configure)
    return loaded


@contextmanager
def apart() -> Iterator[None]:
    """What is loaded within meets nothing that was loaded before, and is let go of."""
    before = dict(_loaded)
    _loaded.clear()
    try:
        with capture.apart():
            yield
    finally:
        _loaded.clear()
        _loaded.update(before)


def _name(target: dict[str, Any]) -> str:
    if "script" in target:
        return os.path.basename(str(target["script"]))
    if "attribute" in target:
        return f"{target['attribute']['module']}:{target['attribute']['attribute']}"
    return f"{target['agents_dir']}"


def _fault(error: Exception, name: str) -> Exception:
    if isinstance(error, ConfigurationFault):
        return LoadError(str(error))
    fault = inference_fault(error, name)
    return LoadError(str(fault)) if fault is not None else error


def _loaded_anew(target: dict[str, Any]) -> Loaded:
    name = _name(target)
    try:
        if "script" in target:
            found = _run_script(target["script"])
        elif "attribute" in target:
            found = _attribute(name, **target["attribute"])
        else:
            found = _discover(target["agents_dir"])
    except LoadError:
        raise
    except Exception as error:
        fault = _fault(error, name)
        if fault is error:
            raise
        raise fault from error
    return _made(found, name)


def _made(found: Any, name: str) -> Loaded:
    from livekit.agents import AgentServer, WorkerOptions

    subject = _owner(found)
    if isinstance(subject, WorkerOptions):
        application: Application = LiveKitApplication(
            adapter.server_parts(AgentServer.from_server_options(subject)), name
        )
    elif isinstance(subject, AgentServer):
        application = LiveKitApplication(adapter.server_parts(subject), name)
    elif _is_pool(subject):
        try:
            settings.require_no_keys(subject, name)
        except ConfigurationFault as fault:
            raise LoadError(str(fault)) from fault
        application = OpenRtcApplication(subject, name)
    else:
        parts = ServerParts(subject, None, None, None, "", 300.0)
        application = LiveKitApplication(parts, name)
    for agent in application.agents:
        if not _AGENT_NAME.fullmatch(agent):
            raise LoadError(
                f"{name}: the agent name {agent!r} must be 1 to 64 letters, digits, dashes or underscores, so that "
                "rooms and rules can name it"
            )
    return Loaded(application, subject, name)


def _is_pool(found: Any) -> bool:
    module = sys.modules.get("openrtc.core.pool")
    return module is not None and isinstance(found, module.AgentPool)


def _owner(found: Any) -> Any:
    """The pool whose server was handed to `cli.run_app`, else what was found."""
    for made in capture.made():
        if _is_pool(made) and made.server is found:
            return made
    return found


def _run_script(script: str) -> Any:
    """Runs a script as `__main__`, as `python SCRIPT start` would, until it calls what would run its worker."""
    name = os.path.basename(script)
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=script, __builtins__=__builtins__, __cached__=None, __spec__=None)
    sys.modules["__main__"] = module
    sys.argv = [script, "start"]
    _first_on_path(os.path.dirname(script))
    with io.open_code(script) as file:
        code = compile(file.read(), script, "exec")
    try:
        exec(code, module.__dict__)
    except capture.Met as met:
        return met.found
    if capture.met():
        raise LoadError(
            f"{name} caught what unwinds it from {capture.CALLS} (a bare `except:` or `except BaseException`): "
            "catch `Exception` there, or let it pass"
        )
    raise LoadError(f"{name} ended without {capture.CALLS}")


def _first_on_path(folder: str) -> None:
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)


def _attribute(name: str, folder: str, module: str, attribute: str) -> Any:
    _first_on_path(folder)
    try:
        home = importlib.import_module(module)
    except capture.Met as met:
        raise LoadError(
            f'{name}: {module} runs a worker when it is imported; put that call below `if __name__ == "__main__":`'
        ) from met
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise LoadError(
            f"{name}: there is no module {error.name!r} in {folder} or on the interpreter's path"
        ) from error
    found: Any = home
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise LoadError(f"{name}: {module} has no attribute {attribute!r}; {_has(home)}") from None
    if not _is_application(found):
        raise LoadError(f"{name} is {_article(found)}, not {_KINDS}; {_has(home)}")
    return found


def _article(found: Any) -> str:
    kind = "a function that is not async, or takes other than one argument" if inspect.isfunction(found) else ""
    return kind or f"of type {type(found).__module__}.{type(found).__qualname__}"


def _is_application(found: Any) -> bool:
    from livekit.agents import AgentServer, WorkerOptions

    return isinstance(found, (AgentServer, WorkerOptions)) or _is_pool(found) or capture.is_entrypoint(found)


def _has(home: types.ModuleType) -> str:
    names = [
        name
        for name, value in vars(home).items()
        if not name.startswith("_")
        and _is_application(value)
        and not (inspect.isfunction(value) and value.__module__ != home.__name__)
    ]
    return f"of those it has: {', '.join(names)}" if names else "of those it has none"


def _discover(folder: str) -> Any:
    """OpenRTC's own discovery, into a pool that nothing else was given to."""
    try:
        from openrtc import AgentPool
    except ImportError as error:
        raise LoadError(f"agents_dir = {folder!r} needs OpenRTC: {error}; pip install openrtc") from error
    _first_on_path(folder)
    pool = AgentPool()
    pool.discover(folder)
    if not pool.list_agents():
        raise LoadError(f"{folder} holds no agent: each is a subclass of livekit.agents.Agent in a file of its own")
    return pool
