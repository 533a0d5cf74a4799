"""From a bare process to a serving host: the same for one that a zygote forked and one that was exec'd.

Owns: the order of the steps after the fork: settling where there is time, walls, chance, environment, application,
ready, serving. Never: loads
anything of the tenant's before the supervisor's green light, or shares a random number with a sibling.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

from . import context, denied, failure, logs

if TYPE_CHECKING:
    from ._native import Channel
    from .sessions import Loaded

PROGRAM = "openrtc_host"
_AGENT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_AGENTS_MAX = 1024

_FIXED = (
    "PATH",
    "LANG",
    "TZ",
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ORT_DISABLE_TELEMETRY",
    "TOKENIZERS_PARALLELISM",
    "PYTHON_DOTENV_DISABLED",
)
"""What the host program set for every interpreter, and a host keeps unless its tenant says otherwise."""


class SetupError(Exception):
    """The host cannot serve; the text is complete, for the operator."""

    def __init__(self, step: str, detail: str) -> None:
        super().__init__(detail)
        self.step = step


def run(channel: Channel) -> NoReturn:
    """Boots and serves, and ends the process; not by the interpreter's own end, which touches every inherited page."""
    code = 1
    try:
        code = _run(channel)
    except EOFError:
        code = 0  # The supervisor is gone, and that is no fault of ours.
    except BaseException as error:
        if type(error).__module__.startswith(__package__):
            print(f"{PROGRAM}: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
    end(code)


def end(code: int) -> NoReturn:
    """Ends the process after what was printed has left."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(code)


def _run(channel: Channel) -> int:
    if channel.ahead:
        settle()
    reseed()
    reset_signals()
    logs.print_lines()
    channel.launch(PROGRAM)
    # While the supervisor reads the walls back.
    handler = logs.install(lambda _, level, message: channel.log(level, message))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    configure = channel.boot()
    if configure is None:
        return 0
    try:
        loaded, folder = load(channel, configure)
        channel.ready(served(loaded.agents, configure))
    except SetupError as error:
        channel.failed(error.step, failure.cut(str(error), failure.ERROR_BYTES_MAX))
        return 1
    from .host import Host
    from .host import run as serve

    asyncio.set_event_loop(loop)
    serve(loop, lambda: Host(channel, loaded, configure, folder, handler))
    return 0


def settle() -> None:
    """Makes the pages that every host writes to this process's own, while nobody waits for it: by playing its part."""
    from . import dry_run, threads

    dry_run.play_all(1)
    # Walls are raised by the only thread, and one that was joined may be there for a moment still.
    threads.require_one()


def load(channel: Channel, configure: dict[str, Any]) -> tuple[Loaded, str]:
    """The tenant's application with its folder, in the environment that the supervisor says."""
    target = configure["application"] and configure["application"]["target"]
    if not target:
        raise SetupError("configure", "a Python host was given no application; this is a fault of the supervisor")
    apply_environment(configure, getattr(channel, "tenant", None))
    try:
        context.configure(configure["agent_config_json"])
    except ValueError as error:
        raise SetupError("configure", f"agent_config: {error}") from error
    folder = folder_of(target)
    try:
        os.chdir(folder)
    except OSError as error:
        raise SetupError("configure", f"enter the application's folder: {failure.summary(error)}") from error
    if "script" in target and not os.path.exists(target["script"]):
        raise SetupError("configure", f"there is no {target['script']}; check `app`")
    gc.enable()
    loaded = _loaded(target, configure, folder)
    for notice in loaded.notices:
        channel.log("warn", notice)
    return loaded, folder


def _loaded(target: dict[str, Any], configure: dict[str, Any], folder: str) -> Loaded:
    from . import application

    try:
        loaded: Loaded = application.load(target, configure)
    except SystemExit as exit:
        code = "" if exit.code is None else repr(exit.code)
        detail = f"load {name_of(target)}: it called sys.exit({code}) before it gave a pool, a server or an entrypoint"
        raise SetupError("ready", detail + "; whatever it checks there must hold in a host too") from exit
    except KeyboardInterrupt as error:
        raise SetupError("ready", f"load {name_of(target)}: it raised KeyboardInterrupt") from error
    except Exception as error:
        step = getattr(error, "step", None)
        if isinstance(step, str):
            raise SetupError(step, str(error)) from error
        traceback.print_exc()
        remedy = denied.remedy(error)
        detail = failure.summary(error, folder) + (f"; {remedy}" if remedy else "")
        raise SetupError("ready", f"load {name_of(target)}: {detail}") from error
    return loaded


def served(registered: list[str], configure: dict[str, Any]) -> list[str]:
    """The agents to serve: those configured, which the application must register; all of its own where none is."""
    fault = None
    wrong = [agent for agent in registered if not _AGENT.fullmatch(agent)]
    wanted = [agent["name"] for agent in configure["agents"]]
    missing = [agent for agent in wanted if agent not in registered]
    inspects = configure["application"]["inspect"] is not None
    if not registered:
        fault = "registers no agent; give it one, with `pool.add(…)` for example"
    elif wrong:
        fault = f"registers an agent named {wrong[0]!r}; a name has 1-64 ASCII letters, digits, dashes or underscores"
    elif len(registered) > _AGENTS_MAX:
        fault = f"registers {len(registered)} agents; at most {_AGENTS_MAX} are allowed"
    elif missing and not inspects:
        fault = (
            f"registers no agent {', '.join(missing)}; those it has: {', '.join(registered)}."
            " Name one of these under [agents], or leave [agents] out to take all"
        )
    if fault is not None:
        raise SetupError("configure", f"{name_of(configure['application']['target'])} {fault}")
    return registered if inspects or not wanted else wanted


def reseed() -> None:
    """Gives this process chance of its own: what a zygote's children inherit is the same in all of them."""
    random.seed(os.urandom(32))
    tempfile.tempdir = None
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed(int.from_bytes(os.urandom(4), "little"))
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(int.from_bytes(os.urandom(7), "little"))
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None:
        processes.current_process().authkey = os.urandom(32)


def reset_signals() -> None:
    """What an exec'd host has: SIGINT ends it, a file over its limit is an error, a fault prints where it happened."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    faulthandler.disable()
    faulthandler.enable()


def apply_environment(configure: dict[str, Any], tenant: str | None) -> None:
    """Makes the environment what the supervisor says, and nothing that was there before."""
    kept = {name: os.environ[name] for name in _FIXED if name in os.environ}
    os.environ.clear()
    os.environ.update(kept)
    os.environ.update(dict(configure["env"]))
    os.environ.update({secret["variable"]: secret["value"] for secret in configure["secrets"]})
    if tenant is not None:
        os.environ["OPENRTC_TENANT"] = tenant
    time.tzset()


def folder_of(target: dict[str, Any]) -> str:
    """The application's folder."""
    if "script" in target:
        return os.path.dirname(str(target["script"]))
    if "attribute" in target:
        return str(target["attribute"]["folder"])
    return str(target["agents_dir"])


def name_of(target: dict[str, Any]) -> str:
    """The application, as the configuration names it."""
    if "attribute" in target:
        return f"{target['attribute']['module']}:{target['attribute']['attribute']}"
    return str(target.get("script") or target.get("agents_dir"))
