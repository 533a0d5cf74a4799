"""The process that is warm so that hosts need not be: it imports, pages in, and forks.

Owns: what is imported before the first fork, and in which order memory is made ready to be shared. Never: holds a
tenant's key, starts a thread, runs an event loop beside another, or initialises what a fork would break.

```text
plan ──import──► models ──(application, load_app = "zygote")──► collect, freeze, collapse ──► Ready ──Fork──► boot
   └──────────────any fault──► Unfit{why}, and hosts are spawned cold
```
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from . import _native, boot, context, failure, logs, packing, threads

_LOAD_S = 40.0
"""Below the minute after which the spawner kills a zygote that is not warm: it would die without a word."""
_OURS = ("application", "adapter", "host", "sessions", "context", "logs")
_USUAL = ("numpy.random", "concurrent.futures.thread")
"""What frameworks import late, at a script's or a session's first use."""


class Unfit(Exception):
    """Why the zygote cannot become warm; the text is complete, for the operator."""


class _Late(BaseException):
    """The deadline passed. No `except Exception` of an application holds it."""


def run(plan_json: str) -> int:
    """Warms up and serves forks; in a child, becomes the host and never comes back."""
    began = time.monotonic()
    try:
        modules = warm(json.loads(plan_json))
        threads.require_one()
    except (Unfit, threads.Started) as unfit:
        print(f"zygote: {unfit}", file=sys.stderr)
        _native.unfit(str(unfit))
        return 1
    collapsed = share_memory()
    print(
        f"zygote: warm after {time.monotonic() - began:.1f} s: {len(modules)} modules preloaded,"
        f" {resident_mb()} MB resident, {collapsed >> 20} MB in huge pages",
        file=sys.stderr,
    )
    sys.stdout.flush()
    sys.stderr.flush()
    channel = _native.serve_forks()
    if channel is None:
        return 0
    boot.run(channel)


def warm(plan: dict[str, Any]) -> list[str]:
    """Imports what the plan names, pages models in, and loads the application where that is the zygote's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.install(printed)
    modules = named(plan)
    for module in modules:
        preload(module)
    for module in _OURS:
        importlib.import_module(f"{__package__}.{module}")
    with threads.watched("the warm-up of the frameworks"):
        warm_frameworks(modules, plan.get("preload_end_of_turn", True))
    if plan["load_app"] == "zygote":
        load(plan["target"])
    return modules


def warm_frameworks(modules: list[str], end_of_turn: bool) -> None:
    """Pages the models in, and does what the frameworks and a host do only once."""
    from . import adapter, dry_run, restless

    try:
        for missed in adapter.warm(modules, end_of_turn):
            print(f"zygote: {missed}", file=sys.stderr)
        for module in _USUAL:
            if module.partition(".")[0] in sys.modules:
                importlib.import_module(module)
        dry_run.play_all()
        if restless.gather(lambda: dry_run.play_all(1)):
            dry_run.play_all()
        logs.install(printed)
    except Exception as error:
        step = getattr(error, "step", None)
        detail = str(error) if isinstance(step, str) else failure.summary(error)
        raise Unfit(f"warm-up of the frameworks failed: {detail}") from error


def named(plan: dict[str, Any]) -> list[str]:
    """The modules to import: as configured, or found by reading the application."""
    if plan["preload"] != "auto":
        return list(plan["preload"])
    from . import scan

    try:
        return scan.preload(plan["target"])
    except Exception as error:
        name = boot.name_of(plan["target"])
        raise Unfit(
            f"reading the imports of {name} failed: {failure.summary(error, boot.folder_of(plan['target']))};"
            ' `preload = ["livekit.agents", …]` names them instead'
        ) from error


def preload(module: str) -> None:
    """Imports one module, and says which threads it started."""
    try:
        with deadline(_LOAD_S), threads.watched(f"import of {module}"):
            importlib.import_module(module)
    except _Late as error:
        raise Unfit(
            f"import of {module} (preload) did not end within {_LOAD_S:.0f} s; leave it out of `preload`"
        ) from error
    except (Exception, SystemExit) as error:
        raise Unfit(
            f"import of {module} (preload) failed: {failure.summary(error)};"
            f" install it into {sys.prefix}, or leave it out of `preload`"
        ) from error


def load(target: dict[str, Any]) -> None:
    """Loads the application here, once for all hosts, its `prewarm` included."""
    from . import application

    name, folder = boot.name_of(target), boot.folder_of(target)
    remedy = (
        '; with load_app = "zygote" it is loaded before any tenant is known, without keys:'
        ' build what needs a key in the entrypoint, or set load_app = "host"'
    )
    before = os.getcwd()
    try:
        os.chdir(folder)
        with deadline(_LOAD_S), threads.watched(f"loading {name}"):
            application.load(target, None)
    except _Late as error:
        raise Unfit(f"loading {name} (its prewarm included) did not end within {_LOAD_S:.0f} s{remedy}") from error
    except SystemExit as error:
        raise Unfit(f"loading {name} ended in sys.exit({error.code!r}){remedy}") from error
    except Exception as error:
        complete = isinstance(getattr(error, "step", None), str)
        detail = str(error) if complete else failure.summary(error, folder)
        raise Unfit(f"loading {name} failed: {detail}{remedy}") from error
    finally:
        os.chdir(before)


def share_memory() -> int:
    """Makes what is there stay shared: no collection here or in a child writes to it, nor, from CPython 3.12 on, any
    use of an object. Bytes put into huge pages."""
    gc.collect()
    gc.disable()
    _native.immortalize(gc.get_objects())
    packing.fill_pools()
    gc.freeze()
    return _native.collapse_heap()


def printed(_session: context.SessionContext | None, level: str, message: str) -> None:
    """A log line of the zygote's own."""
    print(f"zygote: {level}: {message}", file=sys.stderr)


def resident_mb() -> int:
    """Resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises `_Late` when the time is over and Python runs; what hangs below Python is the spawner's to end."""

    def late(_signal: int, _frame: FrameType | None) -> None:
        raise _Late

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
