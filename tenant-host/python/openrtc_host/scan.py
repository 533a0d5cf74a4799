"""What an application is made of, as far as reading its source tells.

Owns: the default of `preload`, the frameworks and plugins in use, and the report that `openrtc-supervisor run`,
`config import` and `runtime inspect` start from. Never: executes a line of the application, imports a framework, or
prints a value that may be a key.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import sources
from .folding import ENVIRONMENT_READERS, ENVIRONMENTS
from .import_config import find
from .sources import Application, Module

PLUGINS = "livekit.plugins"
TURN_DETECTOR = "livekit.plugins.turn_detector.multilingual"
# What OpenRTC's worker loads before its first session (`openrtc.runtime.prewarm`), named by the application or not.
OPENRTC_NEEDS = ("livekit.agents", "livekit.plugins.silero", TURN_DETECTOR)
FRAMEWORKS = ("openrtc", "livekit-agents", "livekit", "livekit-api")
LISTED_MAX = 500
DOTENV_BYTES_MAX = 256 * 1024
_DOTENV_NAME = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=", re.MULTILINE)


@dataclass(frozen=True)
class Plugin:
    """A plugin of livekit-agents that the application names."""

    name: str
    module: str
    at: str

    @property
    def distribution(self) -> str:
        """The package that it is installed by."""
        return f"livekit-plugins-{self.name.replace('_', '-')}"


def preload(target: dict[str, Any]) -> list[str]:
    """What a zygote imports by default: the frameworks and plugins that the application's own modules import.

    Those that are installed; never one of its own modules, nor another package, for it may start threads.
    """
    return _preload(sources.read(target))


def scan(target: dict[str, Any]) -> dict[str, Any]:
    """All that reading tells, fit for JSON."""
    application = sources.read(target)
    plugins = list(_plugins(application))
    return {
        "python": {"executable": sys.executable, "version": version_text(), "prefix": sys.prefix},
        "openrtc_host": _own_version(),
        "frameworks": {name: version for name in FRAMEWORKS if (version := _version(name)) is not None},
        "preload": _preload(application),
        "plugins": [_plugin(plugin) for plugin in plugins],
        "environment": list(_environment(application))[:LISTED_MAX],
        "local_modules": [module.shown for module in application.modules][:LISTED_MAX],
        "dotenv": _dotenv(application.folder),
        "problems": application.problems[:LISTED_MAX],
        "findings": find(application, target),
    }


def main(argv: list[str]) -> int:
    """`python -m openrtc_host scan JSON`: the target, and `output`, a file to write to instead of standard output."""
    try:
        plan = json.loads(argv[0])
        report = scan(plan["target"])
    except (IndexError, KeyError, TypeError, ValueError) as error:
        print(f'scan: the plan {error!r} is not understood: pass {{"target": …}} as JSON', file=sys.stderr)
        return 2
    write(report, plan.get("output"))
    return 0


def write(report: dict[str, Any], output: str | None) -> None:
    """Prints a report as one JSON object, or writes it to a file."""
    text = json.dumps(report, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    if output is None:
        sys.stdout.buffer.write(text + b"\n")
        sys.stdout.flush()
    else:
        Path(output).write_bytes(text)


def _preload(application: Application) -> list[str]:
    wanted: dict[str, None] = {}
    for _, found in application.imports():
        wanted.update(dict.fromkeys(_frameworks(found)))
    if "openrtc" in wanted:
        wanted.update(dict.fromkeys(OPENRTC_NEEDS))
    return sorted(name for name in wanted if installed(name))


def _frameworks(found: sources.Import) -> Iterator[str]:
    """The framework modules that an import makes Python load."""
    names = [found.module] if found.name is None else [found.module, f"{found.module}.{found.name}"]
    for name in names:
        parts = name.split(".")
        if parts[0] == "openrtc":
            yield "openrtc"
        elif name.startswith(f"{PLUGINS}."):
            yield ".".join(parts[:3])
            if len(parts) > 3:
                yield name
        elif parts[0] == "livekit" and len(parts) > 1 and parts[1] != "plugins":
            yield ".".join(parts[:2])


def installed(name: str) -> bool:
    """Whether a module could be imported. Imports nothing but namespaces."""
    parts = name.split(".")
    depth = 3 if name.startswith(f"{PLUGINS}.") else 2 if parts[0] == "livekit" else 1
    try:
        spec = importlib.util.find_spec(".".join(parts[:depth]))
    except (ImportError, ValueError):
        return False
    for part in parts[depth:]:
        if spec is None or spec.submodule_search_locations is None:
            return False
        folders = list(spec.submodule_search_locations)
        spec = importlib.machinery.PathFinder.find_spec(part, folders)
    return spec is not None


def _plugins(application: Application) -> Iterator[Plugin]:
    seen = set()
    for module, found in application.imports():
        for name in _frameworks(found):
            parts = name.split(".")
            if name.startswith(f"{PLUGINS}.") and parts[2] not in seen:
                seen.add(parts[2])
                yield Plugin(parts[2], name, module.at(found.line))


def _plugin(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "at": plugin.at,
        "installed": installed(f"{PLUGINS}.{plugin.name}"),
        "version": _version(plugin.distribution),
        "distribution": plugin.distribution,
    }


def _environment(application: Application) -> Iterator[dict[str, str]]:
    """Variables that the application itself reads, each once."""
    seen = set()
    for module in application.modules:
        for name, line in _read_variables(module):
            if name not in seen:
                seen.add(name)
                yield {"variable": name, "at": module.at(line)}


def _read_variables(module: Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(module.tree):
        key: ast.expr | None = None
        if isinstance(node, ast.Call) and node.args and module.scope.dotted(node.func) in ENVIRONMENT_READERS:
            key = node.args[0]
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            key = node.slice if module.scope.dotted(node.value) in ENVIRONMENTS else None
        worth = None if key is None else module.scope.fold(key)
        if isinstance(worth, str) and worth:
            yield worth, node.lineno  # type: ignore[attr-defined]


def _dotenv(folder: Path) -> dict[str, Any] | None:
    """A `.env` beside the application: that it is there, and the names in it."""
    path = folder / ".env"
    try:
        with path.open("rb") as file:
            text = file.read(DOTENV_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return {"path": str(path), "names": []} if os.path.lexists(path) else None
    return {"path": str(path), "names": sorted(set(_DOTENV_NAME.findall(text)))[:LISTED_MAX]}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def version_text() -> str:
    """Of this interpreter, as 3.11.2."""
    return ".".join(str(part) for part in sys.version_info[:3])


def _own_version() -> str | None:
    try:
        from ._native import VERSION
    except ImportError:
        return _version("openrtc-host")
    return VERSION
