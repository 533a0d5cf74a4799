"""What an application's zygote would be and what each of its hosts would pay, measured by being one.

Owns: warming up as the zygote does, one forked child that loads the application, and the report on both. Never: gives
the application a real key, or raises a wall: the application runs as whoever asks.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import select
import signal
import ssl
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from . import _native, boot, failure, scan, zygote

LOAD_S = 60.0
# What the host program sets for every interpreter; libraries read it when they are loaded.
QUIET = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHON_DOTENV_DISABLED": "1",
}
# Handlers that a fork may skip: libgnutls's (PyAV) is made good in the child, whose generator is reseeded; OpenBLAS's
# ends a pool of threads before the fork, and a zygote has none.
KNOWN_ATFORK = ("libgnutls", "libopenblas", "libscipy_openblas")
SYSTEM = ("/usr/", "/lib", "/etc/", "/dev/", "/proc/", "/memfd:", "/SYSV", "/run/", "/sys/")


def main(argv: list[str]) -> int:
    """`python -m openrtc_host inspect JSON`: `target`, `preload`, `load_app`, `configure`, `output`."""
    try:
        plan = json.loads(argv[0])
        plan = {"preload": "auto", "load_app": "host", "configure": {}, **plan, "target": plan["target"]}
    except (IndexError, KeyError, TypeError, ValueError) as error:
        print(f'inspect: the plan {error!r} is not understood: pass {{"target": …}} as JSON', file=sys.stderr)
        return 2
    os.environ.update(QUIET)
    # What the application prints must not be taken for the report.
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    report = inspect(plan)
    sys.stdout.flush()
    os.dup2(answer, sys.stdout.fileno())
    scan.write(report, plan.get("output"))
    sys.stdout.flush()
    sys.stderr.flush()
    # The interpreter's own end would run what the application left to run at exit.
    os._exit(0)


def inspect(plan: dict[str, Any]) -> dict[str, Any]:
    """Warms up, forks once, and says what that was."""
    report: dict[str, Any] = {
        "python": {"executable": sys.executable, "version": scan.version_text()},
        "openrtc_host": _native.VERSION,
        "preload": [],
        "unfit": None,
        "host": None,
    }
    began = time.monotonic()
    try:
        names = zygote.named(plan)
        report["preload"] = [_import(name) for name in names]
        zygote.warm({**plan, "preload": names})
    except zygote.Unfit as unfit:
        report["unfit"] = str(unfit)
    report["warm_ms"] = _ms(began)
    report["huge_bytes"] = zygote.share_memory()
    report["threads"] = _native.threads()
    report["image"] = memory()
    report["atfork"] = [{"library": name, "known": _known(name)} for name in _native.atfork_libraries()]
    if report["unfit"] is None:
        report["host"] = fork(plan)
    report["paths"] = paths()
    return report


def _import(name: str) -> dict[str, Any]:
    # Counted, for a thread that nobody named has the process's own name.
    before, began = Counter(_native.threads()), time.monotonic()
    zygote.preload(name)
    started = Counter(_native.threads()) - before
    return {"module": name, "ms": _ms(began), "threads": sorted(started.elements())}


def fork(plan: dict[str, Any]) -> dict[str, Any]:
    """Loads the application in a child as a host does after its fork; what that took."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(plan, writing)
    fork_ms = _ms(began)
    os.close(writing)
    text, late = _read(reading, LOAD_S)
    if late:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    host: dict[str, Any] = {"fork_ms": fork_ms, "load_ms": None, "agents": [], "notices": [], "error": None}
    try:
        host.update(json.loads(text))
    except ValueError:
        host["error"] = _end(late, status)
    return host


def _end(late: bool, status: int) -> str:
    if late:
        return f"loading the application did not end within {LOAD_S:.0f} s"
    if os.WIFSIGNALED(status):
        return f"loading the application ended its process: {signal.Signals(os.WTERMSIG(status)).name}"
    return f"loading the application ended its process with code {os.waitstatus_to_exitcode(status)}"


def _child(plan: dict[str, Any], writing: int) -> NoReturn:
    """The life of a host until it would be ready."""
    code = 1
    try:
        text = json.dumps(_load(plan)).encode()
        while text:
            text = text[os.write(writing, text) :]
        code = 0
    finally:
        os._exit(code)


def _load(plan: dict[str, Any]) -> dict[str, Any]:
    before = memory()
    began = time.monotonic()
    boot.reseed()
    boot.reset_signals()
    target = plan["target"]
    folder = boot.folder_of(target)
    with tempfile.TemporaryDirectory(prefix="openrtc-inspect-") as work_dir:
        configure = {
            "agents": [],
            "agent_config_json": "{}",
            "env": [],
            "secrets": [],
            "terminate_grace_ms": 10_000,
            **plan["configure"],
            "work_dir": work_dir,
            "application": {"target": target, "loaded": plan["load_app"] == "zygote", "inspect": "{}"},
        }
        configure["env"] = [*configure["env"], ["HOME", work_dir], ["TMPDIR", work_dir]]
        boot.apply_environment(configure, None)
        asyncio.set_event_loop(asyncio.new_event_loop())
        os.chdir(folder)
        gc.enable()
        found: dict[str, Any] = {"agents": [], "notices": [], "error": None}
        try:
            from . import application

            loaded = application.load(target, configure)
            found = {"agents": list(loaded.agents), "notices": list(loaded.notices), "error": None}
        except SystemExit as error:
            found["error"] = f"it called sys.exit({error.code!r}) before it gave a pool, a server or an entrypoint"
        except BaseException as error:
            complete = isinstance(getattr(error, "step", None), str)
            found["error"] = str(error) if complete else failure.summary(error, folder)
    sys.stdout.flush()
    sys.stderr.flush()
    return {
        **found,
        "load_ms": _ms(began),
        "threads": _native.threads(),
        "private_kb_forked": before["private_dirty_kb"],
        "private_kb": memory()["private_dirty_kb"],
    }


def _read(reading: int, seconds: float) -> tuple[str, bool]:
    """All that comes until the end of the pipe, and whether the time was over before."""
    deadline, taken = time.monotonic() + seconds, b""
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                return taken.decode("utf-8", "replace"), True
            chunk = pipe.read(65536)
            if not chunk:
                return taken.decode("utf-8", "replace"), False
            taken += chunk


def memory() -> dict[str, int]:
    """Memory of this process, from smaps_rollup, in KiB."""
    wanted = {"Rss": "rss_kb", "Pss": "pss_kb", "Anonymous": "anonymous_kb", "Private_Dirty": "private_dirty_kb"}
    found = dict.fromkeys(wanted.values(), 0)
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, value, *_ = line.split()
        if name[:-1] in wanted:
            found[wanted[name[:-1]]] = int(value)
    return found


def paths() -> dict[str, Any]:
    """What must be readable for this interpreter to run (decision W9)."""
    verify = ssl.get_default_verify_paths()
    bundles = [verify.cafile or verify.openssl_cafile, verify.capath or verify.openssl_capath]
    certifi = sys.modules.get("certifi")
    if certifi is not None:
        bundles.append(certifi.where())
    standard = sysconfig.get_paths()
    return {
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "stdlib": sorted({standard["stdlib"], standard["platstdlib"]}),
        "certificates": sorted({bundle for bundle in bundles if bundle and os.path.exists(bundle)}),
        "elsewhere": elsewhere(),
    }


def elsewhere() -> list[str]:
    """Mapped files outside of the prefixes and of the system: they need a grant of their own."""
    known = (*SYSTEM, f"{os.path.realpath(sys.prefix)}/", f"{os.path.realpath(sys.base_prefix)}/", f"{sys.prefix}/")
    found = set()
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and parts[5].startswith("/") and not parts[5].startswith(known):
            found.add(parts[5])
    own = f"{Path(__file__).resolve().parent}/"
    return sorted(path for path in found if not path.startswith(own))


def _known(library: str) -> bool:
    return os.path.basename(library).startswith(KNOWN_ATFORK)


def _ms(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)
