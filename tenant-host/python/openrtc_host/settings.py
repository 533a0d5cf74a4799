"""Each argument of `AgentPool`, `AgentServer` and `WorkerOptions`, and who grants it.

Owns: the table behind `docs/python.md`, and finding what an application asks for. Never: prints a key's value; changes
a setting.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from openrtc_host import capture
from openrtc_host.providers import ConfigurationFault

_PASSWORD = re.compile(r"(://[^:@/]*:)[^@/]*@")
Who = Literal["taken over", "honoured", "refused"]


class Wish(NamedTuple):
    """One value under a key of the supervisor's file. `NAME` in the section stands for the host's own runtime."""

    section: tuple[str, ...]
    key: str
    value: Any


Line = Callable[[Any, Mapping[str, Any]], Iterable[Wish]]


@dataclasses.dataclass(frozen=True)
class Setting:
    """One argument: who grants it, under which key of the supervisor's, and what says the same there."""

    who: Who
    key: str
    lines: Line | None = None
    is_secret: bool = False


def _honoured(where: str = "in the host") -> Setting:
    return Setting("honoured", where)


def _taken(key: str, lines: Line | None = None) -> Setting:
    return Setting("taken over", key, lines)


def _key(section: str, name: str) -> Setting:
    return _taken(f"[{section}] {name}", lambda value, _: [Wish((section,), name, _plain(value))])


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float)) else str(value)


def _each(section: str, name: str) -> Setting:
    def lines(value: Any, _: Mapping[str, Any]) -> Iterable[Wish]:
        return (Wish((section, str(owner)), name, cap) for owner, cap in dict(value).items())

    return _taken(f"[{section}.NAME] {name}", lines)


def _warn(limit: str) -> Setting:
    def lines(value: Any, asked: Mapping[str, Any]) -> Iterable[Wish]:
        if value:
            most = asked.get(limit) or 1024
            yield Wish(("wall",), "memory_warn_pct", max(1, min(100, round(100 * value / most))))

    return _taken("[wall] memory_warn_pct", lines)


def _memory() -> Setting:
    return _taken("[wall] memory_max_mb", lambda value, _: [Wish(("wall",), "memory_max_mb", value)] if value else [])


def _livekit(name: str, variable: str) -> Setting:
    def lines(_value: Any, _asked: Mapping[str, Any]) -> Iterable[Wish]:
        return [Wish(("livekit",), name, {"env": variable})]

    return Setting("taken over", f"[livekit] {name}", lines, is_secret=True)


_AGENT_NAMES = _taken("[livekit] agent_names", lambda value, _: [Wish(("livekit",), "agent_names", [str(value)])])
_NO_PORT = _taken("none: a host opens no port; the supervisor's own sockets are in `openrtc-supervisor doctor`")
_PROXY = Setting(
    "taken over",
    "[runtimes.NAME.env] HTTPS_PROXY",
    lambda value, _: [Wish(("runtimes", "NAME", "env"), "HTTPS_PROXY", _PASSWORD.sub(r"\1***@", str(value)))],
    is_secret=True,
)
_PRELOAD = _taken(
    "[runtimes.NAME] preload",
    lambda value, _: [Wish(("runtimes", "NAME"), "preload", [str(name) for name in value])],
)

POOL: dict[str, Setting] = {
    "agent": _honoured(),
    "agents": _honoured(),
    "default_stt": _honoured("in the host, below [defaults]"),
    "default_llm": _honoured("in the host, below [defaults]"),
    "default_tts": _honoured("in the host, below [defaults]"),
    "default_greeting": _honoured(),
    "observers": _honoured("in the host, but for VoiceGatewayObserver, whose key is the whole fleet's"),
    "backend": _honoured(),
    "isolation": _taken('[supervisor] isolation = "process", the only one'),
    "max_concurrent_sessions": _key("supervisor", "max_concurrent_sessions"),
    "consecutive_failure_limit": _taken(
        "[circuit_breaker]: one tenant's failures never stop another's host",
        lambda *_: [Wish(("circuit_breaker",), "enabled", True)],
    ),
    "drain_timeout": _key("supervisor", "drain_timeout_s"),
    "memory_warn_mb": _warn("memory_limit_mb"),
    "memory_limit_mb": _memory(),
    "enable_hot_reload": Setting("refused", "none: edit the file, then `openrtc-supervisor reload`"),
    "watch_paths": Setting("refused", "none: edit the file, then `openrtc-supervisor reload`"),
    "request_fnc": _honoured("in the host, after admission: a rejection ends the session"),
    "accept_only_registered_rooms": _key("supervisor", "accept_only_registered_rooms"),
    "router": _honoured("in the host, after admission"),
    "agent_name": _AGENT_NAMES,
    "tenant_config": Setting("honoured", "a callable in the host, for its own tenant; a mapping with keys is refused"),
    "max_sessions_per_agent": _each("agents", "max_sessions"),
    "max_sessions_per_tenant": _each("tenants", "max_sessions"),
    "enable_tenant_circuit_breaker": _key("circuit_breaker", "enabled"),
    "tenant_circuit_cooldown_s": _key("circuit_breaker", "cooldown_s"),
    "enable_introspection": _taken("[supervisor] openrtc_top_socket"),
    "enable_uvloop": _taken("none: a host's event loop is its own"),
    "port": _NO_PORT,
    "slow_session_threshold_ms": _key("wall", "slow_session_threshold_ms"),
    "introspection_socket_path": _key("supervisor", "openrtc_top_socket"),
    "deployment_version": _key("supervisor", "deployment_version"),
    "audit_sink": _taken("none: deployments are the supervisor's, and so is their log"),
}

_COMMON: dict[str, Setting] = {
    "job_executor_type": _taken('[supervisor] host_scope = "tenant" or "session"'),
    "load_threshold": _taken("[supervisor] max_concurrent_sessions: slots are counted, not load"),
    "load_fnc": _taken("[supervisor] max_concurrent_sessions: slots are counted, not load"),
    "job_memory_warn_mb": _warn("job_memory_limit_mb"),
    "job_memory_limit_mb": _memory(),
    "drain_timeout": _key("supervisor", "drain_timeout_s"),
    "num_idle_processes": _taken("[runtimes.NAME] num_idle_hosts: hosts are forked ahead"),
    "shutdown_process_timeout": _key("supervisor", "terminate_grace_s"),
    "session_end_timeout": _honoured(),
    "initialize_process_timeout": _key("supervisor", "initialize_timeout_s"),
    "permissions": _taken("[livekit] host_grants"),
    "max_retry": _taken("none: the supervisor reconnects for as long as it runs"),
    "ws_url": _livekit("url", "LIVEKIT_URL"),
    "api_key": _livekit("api_key", "LIVEKIT_API_KEY"),
    "api_secret": _livekit("api_secret", "LIVEKIT_API_SECRET"),
    "host": _NO_PORT,
    "port": _NO_PORT,
    "http_proxy": _PROXY,
    "multiprocessing_context": _taken("none: hosts are forked from a zygote"),
    "preload_modules": _PRELOAD,
    "prometheus_port": _NO_PORT,
    "prometheus_multiproc_dir": _NO_PORT,
    "log_level": _taken("`openrtc-supervisor --log-level`"),
}

SERVER: dict[str, Setting] = {**_COMMON, "setup_fnc": _honoured("in the host, once")}

OPTIONS: dict[str, Setting] = {
    **_COMMON,
    "entrypoint_fnc": _honoured(),
    "request_fnc": _honoured("in the host, after admission: a rejection ends the session"),
    "prewarm_fnc": _honoured("in the host, once"),
    "agent_name": _AGENT_NAMES,
    "worker_type": _taken(
        "[livekit] job_types", lambda value, _: [Wish(("livekit",), "job_types", [value.name.lower()])]
    ),
}

def asked(subject: Any) -> tuple[dict[str, Any], dict[str, Setting]]:
    """What a pool, a server or options were given beyond their defaults, and the table that speaks of it."""
    from livekit.agents import AgentServer, WorkerOptions

    if isinstance(subject, WorkerOptions):
        return _not_default(_field_defaults(WorkerOptions), {f: getattr(subject, f) for f in OPTIONS}), OPTIONS
    given = capture.arguments(subject)
    if isinstance(subject, AgentServer):
        return _not_default(_defaults(AgentServer), given), SERVER
    pools = sys.modules.get("openrtc.core.pool")
    if pools is not None and isinstance(subject, pools.AgentPool):
        return _not_default(_defaults(pools.AgentPool), given), POOL
    return {}, {}


def _defaults(kind: Any) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(kind.__init__).parameters.items()}


def _field_defaults(kind: Any) -> dict[str, Any]:
    return {
        field.name: field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        for field in dataclasses.fields(kind)
    }


def _not_default(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if not _same(value, defaults.get(name))}


def _same(value: Any, default: Any) -> bool:
    try:
        return bool(value is default or value == default)
    except Exception:  # an object that does not compare
        return False


def require_no_keys(pool: Any, name: str) -> None:
    """Refuses a `tenant_config` that every host would hold whole, with all tenants' keys in it (semantics §0.1)."""
    source = capture.arguments(pool).get("tenant_config")
    if not isinstance(source, Mapping):
        return
    for tenant, config in source.items():
        entries = config.items() if isinstance(config, Mapping) else [("", config)]
        for step, value in entries:
            if step not in ("stt", "llm", "tts") or not isinstance(value, str):
                raise ConfigurationFault(
                    f"{name}: tenant_config[{tenant!r}] holds keys or provider objects, so every host would hold every "
                    f"tenant's keys; run `openrtc-supervisor config import {name}` to move them into [tenants.{tenant}]"
                )
