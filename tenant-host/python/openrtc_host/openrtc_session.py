"""Sessions of an OpenRTC pool, built by OpenRTC's own `core.wiring` on a `JobContext` of ours.

Owns: which agent runs (the supervisor's, or the script's router's), and whose providers it runs on (semantics B4).
Never: counts sessions, opens a breaker or serves `top`; the supervisor does.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
from collections.abc import Mapping
from typing import Any

from openrtc_host import adapter, capture, stamp, turn_detector
from openrtc_host.livekit_session import HostState, accepted, run_job
from openrtc_host.providers import STEPS, ConfigurationFault, build
from openrtc_host.seams import SessionTask
from openrtc_host.seat import Seat

logger = logging.getLogger("openrtc_host")


class RouterFailed(RuntimeError):
    """The script's router named no agent of the application, or raised."""


class UnknownAgent(ConfigurationFault):
    """The supervisor asks for an agent that the application does not register."""


class Providers:
    """The objects that an agent's sessions run on: made once a host, and kept, as OpenRTC keeps its own."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._given: dict[str, tuple[dict[str, Any], set[str]]] = {}
        self._made: dict[tuple[str, str], Any] = {}

    def configure(self, agents: list[dict[str, Any]]) -> None:
        """Takes `providers_json` and `defaulted` of each agent."""
        self._made.clear()
        self._given = {
            agent["name"]: (json.loads(agent["providers_json"] or "{}"), set(agent["defaulted"])) for agent in agents
        }

    def _build(self, agent: str, step: str, given: Mapping[str, Any]) -> Any:
        key = (agent, step)
        if key not in self._made:
            self._made[key] = build(step, given)
        return self._made[key]

    def resolve(self, agent: str, tenant: str) -> dict[str, Any]:
        """Step by step: tenant and `[agents.X]`, the script's `tenant_config`, its `pool.add`, `[defaults]`. What is in
        none of them stays out, and OpenRTC takes the script's pool default."""
        configured, defaulted = self._given.get(agent, ({}, set()))
        own = adapter.pool_parts(self._pool).resolver
        scripted: Mapping[str, Any] = (own.resolve(tenant) or {}) if own is not None else {}
        added = capture.explicit_steps(self._pool, agent)
        chosen: dict[str, Any] = {}
        for step in STEPS:
            if step in configured and step not in defaulted:
                chosen[step] = self._build(agent, step, configured[step])
            elif step in scripted:
                chosen[step] = scripted[step]
            elif step not in added and step in configured:
                chosen[step] = self._build(agent, step, configured[step])
        return chosen


class _Resolver:
    """Stands where OpenRTC asks for a tenant's providers; the answer is this host's, whoever asks."""

    def __init__(self, providers: Providers, agent: str, tenant: str) -> None:
        self._resolve = functools.partial(providers.resolve, agent, tenant)

    def resolve(self, _tenant: str) -> dict[str, Any]:
        """OpenRTC's `TenantConfigResolver.resolve`."""
        return self._resolve()


def is_fleet_observer(observer: Any) -> bool:
    """Whether an observer is VoiceGateway's, whose key is the whole fleet's."""
    return any(kind.__name__ == "VoiceGatewayObserver" for kind in type(observer).__mro__)


class OpenRtcApplication:
    """An `AgentPool`."""

    def __init__(self, pool: Any, name: str) -> None:
        self.pool, self._name = pool, name
        self.state = HostState()
        self.agents: list[str] = pool.list_agents()
        self._providers = Providers(pool)

    def prewarm(self) -> None:
        """OpenRTC's own prewarm, but for a turn detector whose files or plugin are not there: that one is VAD then."""
        try:
            from livekit.plugins import silero
        except ImportError as error:
            raise ConfigurationFault(
                f"OpenRTC's sessions need the Silero plugin: {error}. pip install livekit-plugins-silero"
            ) from error
        from openrtc.runtime.resources import PrewarmResources

        self.state.executor, detector = turn_detector.openrtc_detector()
        PrewarmResources(vad=silero.VAD.load(), turn_detection_factory=detector).store(self.state.proc)

    def configure(self, configure: dict[str, Any]) -> None:
        """Takes what the supervisor says of this host's tenant."""
        self.state.configure(configure)
        self._providers.configure(configure.get("agents") or [])

    async def run(self, session: SessionTask) -> None:
        """One session."""
        from openrtc.core import wiring

        info = session.info
        if info["agent"] not in self.agents:
            raise UnknownAgent(f"{self._name} registers no agent {info['agent']!r}; it has: {', '.join(self.agents)}")
        seat = Seat.of(session, self.state.agent_config, self.pool.agent_name or "")
        pool = adapter.pool_parts(self.pool)
        arguments = await accepted(pool.request, seat)
        agent = self._route(info["agent"], seat.job.metadata)
        if agent != info["agent"]:
            session.rerouted(agent)
        observers = [seen for seen in pool.observers if not is_fleet_observer(seen)]
        resolver = _Resolver(self._providers, agent, info["tenant"])
        state = adapter.session_state(self.pool, agent, resolver, observers, info["deployment_version"])
        entrypoint = functools.partial(wiring.run_session, state)
        parts = adapter.server_parts(self.pool.server)
        await run_job(
            session,
            seat,
            self.state,
            arguments,
            entrypoint,
            wiring.run_session_end,
            parts.session_end_timeout,
            self._name,
        )

    def _route(self, admitted: str, metadata: str) -> str:
        router = self.pool.router
        if router is None:
            return admitted
        try:
            name = router(stamp.as_object(metadata))
        except Exception as error:
            raise RouterFailed(f"the script's router raised {type(error).__name__}: {error}") from error
        if inspect.isawaitable(name):
            raise RouterFailed("the script's router is a coroutine function; OpenRTC calls it without `await`")
        if name is None:
            return admitted
        if name not in self.agents:
            raise RouterFailed(
                f"the script's router chose the agent {name!r}; {self._name} has: {', '.join(self.agents)}"
            )
        return str(name)
