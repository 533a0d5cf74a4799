"""A pool's `tenant_config` and caps, as findings of each tenant.

Owns: which providers, keys and caps a script gives each tenant. Never: passes on a literal key, only that there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .folding import Made, Thing, Variable
from .plainness import Left, may_be_secret, unplain

STEPS = {"stt": "STT", "llm": "LLM", "tts": "TTS"}
PLUGIN_CALL = re.compile(r"^livekit\.plugins\.([a-z0-9_]+)\.(STT|LLM|TTS)$")
KEY_ARGUMENT = "api_key"


class Tenants:
    """The tenants of a pool."""

    def __init__(self, left: Left) -> None:
        """None yet."""
        self.left = left
        self.found: dict[str, dict[str, Any]] = {}

    def take(self, keywords: dict[str, Any], at: str) -> None:
        """Reads a pool's arguments."""
        configs = keywords.get("tenant_config")
        if isinstance(configs, dict):
            for name, config in configs.items():
                self._tenant(str(name), config, at)
        elif isinstance(configs, Thing):
            called = configs.name.lstrip(".")
            self.left.note(f"tenant_config={called}: it is called in each tenant's host, for that tenant", configs.at)
        elif configs is not None:
            self.left.leave("tenant_config", configs, at)
        for name, cap in caps(self.left, "max_sessions_per_tenant", keywords, at):
            self._of_tenant(name, at)["max_sessions"] = cap

    def _of_tenant(self, name: str, at: str) -> dict[str, Any]:
        return self.found.setdefault(name, {"at": at, "providers": {}, "keys": [], "max_sessions": None})

    def _tenant(self, name: str, config: Any, at: str) -> None:
        tenant = self._of_tenant(name, at)
        where = f"tenant_config[{name!r}]"
        if not isinstance(config, dict):
            self.left.leave(where, config, at)
            return
        for step, worth in config.items():
            if step not in STEPS:
                self.left.note(f"{where}: only stt, llm and tts are a tenant's", at)
            elif isinstance(worth, str):
                tenant["providers"][step] = {"inference": worth, "at": at}
            else:
                provider = self._provider(tenant, f"{where}[{step!r}]", str(step), worth, at)
                if provider is not None:
                    tenant["providers"][step] = provider

    def _provider(self, tenant: dict[str, Any], where: str, step: str, worth: Any, at: str) -> dict[str, Any] | None:
        called = PLUGIN_CALL.match(worth.callee) if isinstance(worth, Made) else None
        if not isinstance(worth, Made) or called is None or called[2] != STEPS[step]:
            self.left.leave(where, worth, at)
            return None
        for unknown in worth.unknown:
            self.left.leave(where, unknown, at)
        if worth.positional:
            self.left.note(f"{where}: arguments without a name are left out", worth.at)
        plugin = called[1]
        provider: dict[str, Any] = {"plugin": plugin, "arguments": {}, "at": worth.at}
        for name, value in worth.keywords.items():
            if name == KEY_ARGUMENT:
                self._key(tenant, where, plugin, value, worth.at)
            elif value is None:
                continue
            elif may_be_secret(name, value):
                what = f"{where}: {name} may be a secret and is left out: give it to the tenant by api_keys or env"
                self.left.note(what, worth.at)
            elif (part := unplain(value)) is not None:
                self.left.leave(f"{where}: {name}", part, worth.at)
            else:
                provider["arguments"][name] = str(value) if isinstance(value, Path) else value
        return provider

    def _key(self, tenant: dict[str, Any], where: str, plugin: str, value: Any, at: str) -> None:
        if isinstance(value, (Variable, str)):
            variable = value.name if isinstance(value, Variable) else None
            known = {"plugin": plugin, "variable": variable, "at": at}
            if all(key["plugin"] != plugin or key["variable"] != variable for key in tenant["keys"]):
                tenant["keys"].append(known)
        elif value is not None:
            self.left.leave(f"{where}: the key", value, at)
            tenant["keys"].append({"plugin": plugin, "variable": None, "at": at})


def caps(left: Left, name: str, keywords: dict[str, Any], at: str) -> Iterator[tuple[str, int]]:
    """Caps by name, those that are plain."""
    caps = keywords.get(name)
    if isinstance(caps, dict):
        for key, cap in caps.items():
            if isinstance(cap, int) and not isinstance(cap, bool):
                yield str(key), cap
            else:
                left.leave(f"{name}[{key!r}]", cap, at)
    elif caps is not None:
        left.leave(name, caps, at)
