"""What an application asks for and the supervisor decides otherwise: NOT IN FORCE, with both values.

Owns: comparing what was asked with what is in force, and the line of configuration that would grant it. Never: prints a
secret, or speaks of what is as it was asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from openrtc_host import adapter, settings
from openrtc_host.openrtc_session import is_fleet_observer
from openrtc_host.settings import Setting, Wish

_HEAD = "NOT IN FORCE"
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN_MAX = 200

#: Taken over in a way that the script's author would not miss: no notice.
_SILENT = {
    "isolation",
    "enable_introspection",
    "enable_uvloop",
    "job_executor_type",
    "multiprocessing_context",
    "num_idle_processes",
    "max_retry",
    "audit_sink",
}


def of(subject: Any, configure: Mapping[str, Any], name: str, in_force: Mapping[str, Any]) -> list[str]:
    """One line for each argument that is not in force; `in_force` has the file's sections and keys."""
    given, table = settings.asked(subject)
    found: list[str] = []
    for argument, value in given.items():
        setting = table.get(argument)
        if setting is None or setting.who == "honoured" or argument in _SILENT:
            continue
        text = _notice(argument, value, setting, given, in_force)
        if text is not None:
            found.append(f"{_HEAD}: {name}: {text}")
    if table is settings.POOL:
        found += [
            f"{_HEAD}: {name}: {type(seen).__name__} is not attached in hosts: its key is the whole fleet's"
            for seen in adapter.pool_parts(subject).observers
            if is_fleet_observer(seen)
        ]
    else:
        found += _unused_providers(configure, name, in_force)
    return found


def _notice(
    argument: str, value: Any, setting: Setting, given: Mapping[str, Any], in_force: Mapping[str, Any]
) -> str | None:
    shown = argument if setting.is_secret else f"{argument} = {value!r}"[:_SHOWN_MAX]
    wishes = [_placed(wish, in_force) for wish in setting.lines(value, given)] if setting.lines is not None else []
    if not wishes:
        return f"{shown}: {setting.key}"
    unmet = [wish for wish in wishes if not _is_met(wish, in_force)]
    if not unmet:
        return None
    have = "; ".join(_line(wish, _found(wish, in_force)) for wish in unmet)
    return f"{shown}: in force is {have}; to keep the script's write {'; '.join(_line(w, w.value) for w in unmet)}"


def _placed(wish: Wish, in_force: Mapping[str, Any]) -> Wish:
    """The wish with its runtime's name for NAME."""
    runtime = next(iter(in_force.get("runtimes") or {}), "NAME")
    return wish._replace(section=tuple(runtime if part == "NAME" else part for part in wish.section))


def _found(wish: Wish, in_force: Mapping[str, Any]) -> Any:
    found: Any = in_force
    for part in (*wish.section, wish.key):
        found = found.get(part) if isinstance(found, Mapping) else None
    if found is None and wish.section[0] == "tenants":
        found = (in_force.get("supervisor") or {}).get("default_max_sessions")
    return found


def _is_met(wish: Wish, in_force: Mapping[str, Any]) -> bool:
    found = _found(wish, in_force)
    return bool(type(found) is type(wish.value) or not isinstance(found, bool)) and bool(found == wish.value)


def _line(wish: Wish, value: Any) -> str:
    section = ".".join(part if _BARE.fullmatch(part) else json.dumps(part) for part in wish.section)
    return f"[{section}] {wish.key} = {toml(value)}" if value is not None else f"no [{section}] {wish.key}"


def toml(value: Any) -> str:
    """A value as the file writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value:.12g}"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {toml(entry)}' for name, entry in value.items())} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml(entry) for entry in value)}]"
    return json.dumps(str(value), ensure_ascii=False)


def _unused_providers(configure: Mapping[str, Any], name: str, in_force: Mapping[str, Any]) -> list[str]:
    steps: set[str] = set()
    for agent in configure.get("agents") or []:
        steps |= set(json.loads(agent["providers_json"] or "{}")) - set(agent["defaulted"])
    for tenant in (in_force.get("tenants") or {}).values():
        steps |= set(tenant.get("tenant_config") or [])
    if not steps:
        return []
    return [
        f"{_HEAD}: {name}: {', '.join(sorted(steps))} of the configuration: a plain livekit-agents script makes its "
        "own; the tenant's keys and agent_config do reach it"
    ]
