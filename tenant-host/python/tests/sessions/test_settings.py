"""Every argument of the frameworks has its place, and what is not in force is said with the line to add."""

from __future__ import annotations

import dataclasses
import inspect
import json

import pytest
from scene import configured

MADE = """
    from livekit.agents import Agent
    from openrtc import AgentPool
    from fakes import FakeLLM

    class Support(Agent):
        def __init__(self):
            super().__init__(instructions="Help.")

    class VoiceGatewayObserver:
        async def on_session_start(self, info, session): ...
        async def on_session_end(self, info, outcome): ...

    pool = AgentPool(%s)
    pool.add("support", Support)
    pool.run()
"""


def test_each_argument_of_a_pool_a_server_and_options_is_classed():
    from livekit.agents import AgentServer, WorkerOptions
    from openrtc import AgentPool

    from openrtc_host import settings

    assert set(settings.POOL) == set(inspect.signature(AgentPool.__init__).parameters) - {"self"}
    assert set(settings.SERVER) == set(inspect.signature(AgentServer.__init__).parameters) - {"self"}
    assert set(settings.OPTIONS) == {field.name for field in dataclasses.fields(WorkerOptions)}
    for table in (settings.POOL, settings.SERVER, settings.OPTIONS):
        for name, setting in table.items():
            assert setting.who in ("taken over", "honoured", "refused") and setting.key, name


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ('max_sessions_per_tenant={"acme": 2}', "[tenants.acme] max_sessions = 2"),
        ('max_sessions_per_agent={"support": 3}', "[agents.support] max_sessions = 3"),
        ("enable_tenant_circuit_breaker=True", "[circuit_breaker] enabled = true"),
        ("tenant_circuit_cooldown_s=60.0", "[circuit_breaker] cooldown_s = 60"),
        ("drain_timeout=99", "[supervisor] drain_timeout_s = 99"),
        ("memory_limit_mb=512.0", "[wall] memory_max_mb = 512"),
        ("memory_limit_mb=500.0, memory_warn_mb=400.0", "[wall] memory_warn_pct = 80"),
        ("max_concurrent_sessions=7", "[supervisor] max_concurrent_sessions = 7"),
        ("accept_only_registered_rooms=True", "[supervisor] accept_only_registered_rooms = true"),
        ('agent_name="desk"', '[livekit] agent_names = ["desk"]'),
        ('deployment_version="v2"', '[supervisor] deployment_version = "v2"'),
        ("slow_session_threshold_ms=80.0", "[wall] slow_session_threshold_ms = 80"),
        ("port=9000", "a host opens no port"),
        ("enable_hot_reload=True", "reload"),
        ("observers=[VoiceGatewayObserver()]", "VoiceGatewayObserver is not attached"),
    ],
)
def test_what_only_the_script_sets_is_said_to_be_not_in_force(app, arguments, line):
    loaded = app(MADE % arguments, configured(inspect="{}"))
    assert any(notice.startswith("NOT IN FORCE: main.py: ") and line in notice for notice in loaded.notices), (
        loaded.notices
    )


def test_breaker_and_process_isolation_go_together_here(app):
    loaded = app(
        MADE % 'isolation="process", enable_tenant_circuit_breaker=True',
        configured(inspect='{"circuit_breaker": {"enabled": false}}'),
    )
    assert loaded.agents == ["support"]
    assert loaded.notices == [
        "NOT IN FORCE: main.py: enable_tenant_circuit_breaker = True: in force is [circuit_breaker] enabled = false; "
        "to keep the script's write [circuit_breaker] enabled = true"
    ]


ASKED = (
    'max_sessions_per_tenant={"acme": 2, "globex.eu": 3}, max_sessions_per_agent={"support": 4}, drain_timeout=45, '
    'memory_limit_mb=400.0, memory_warn_mb=300.0, enable_tenant_circuit_breaker=True, deployment_version="v2"'
)
IN_FORCE = {
    "supervisor": {"drain_timeout_s": 45, "deployment_version": "v2", "default_max_sessions": 3},
    "wall": {"memory_max_mb": 400, "memory_warn_pct": 75},
    "circuit_breaker": {"enabled": True},
    "tenants": {"acme": {"max_sessions": 2}},
    "agents": {"support": {"max_sessions": 4}},
}


def test_what_is_in_force_as_the_script_asks_needs_no_notice(app):
    assert app(MADE % ASKED, configured(inspect=json.dumps(IN_FORCE))).notices == []


def test_what_differs_is_told_with_both_values_and_only_that(app):
    in_force = IN_FORCE | {"wall": {"memory_max_mb": "off", "memory_warn_pct": 75}}
    in_force["supervisor"] = IN_FORCE["supervisor"] | {"default_max_sessions": "off"}
    assert app(MADE % ASKED, configured(inspect=json.dumps(in_force))).notices == [
        "NOT IN FORCE: main.py: max_sessions_per_tenant = {'acme': 2, 'globex.eu': 3}: in force is "
        '[tenants."globex.eu"] max_sessions = "off"; to keep the script\'s write '
        '[tenants."globex.eu"] max_sessions = 3',
        "NOT IN FORCE: main.py: memory_limit_mb = 400.0: in force is [wall] memory_max_mb = \"off\"; "
        "to keep the script's write [wall] memory_max_mb = 400",
    ]


def test_a_host_that_serves_is_silent_about_it(app):
    assert app(MADE % ASKED).notices == []


def test_a_runtimes_own_keys_go_by_its_name(app):
    loaded = app(
        """
        from livekit.agents import WorkerOptions, cli
        async def entry(ctx): ...
        cli.run_app(WorkerOptions(entrypoint_fnc=entry, http_proxy="http://me:pw@proxy:3128"))
    """,
        configured(inspect='{"runtimes": {"agency": {"env": {"HTTPS_PROXY": "http://other:3128"}}}}'),
    )
    assert [notice for notice in loaded.notices if "HTTPS_PROXY" in notice] == [
        "NOT IN FORCE: main.py: http_proxy: in force is [runtimes.agency.env] HTTPS_PROXY = "
        "\"http://other:3128\"; to keep the script's write [runtimes.agency.env] HTTPS_PROXY = \"http://me:***@proxy:3128\""
    ]


def test_defaults_and_what_is_honoured_need_no_notice(app):
    loaded = app(
        MADE % "default_llm=FakeLLM(), router=lambda metadata: None, tenant_config=lambda tenant: None, "
        "max_concurrent_sessions=50, drain_timeout=30, isolation='coroutine'",
        configured(inspect="{}"),
    )
    assert loaded.notices == []


def test_a_key_given_to_a_server_is_not_printed(app):
    loaded = app(
        """
        from livekit.agents import AgentServer, cli
        server = AgentServer(api_key="AK", api_secret="s3cret-value", ws_url="wss://example.invalid",
                             job_memory_limit_mb=300)
        @server.rtc_session(agent_name="desk")
        async def entry(ctx): ...
        cli.run_app(server)
    """,
        configured(inspect="{}"),
    )
    assert loaded.agents == ["desk"]
    text = "\n".join(loaded.notices)
    assert "s3cret-value" not in text and '"AK"' not in text
    assert '[livekit] api_secret = { env = "LIVEKIT_API_SECRET" }' in text
    assert "[wall] memory_max_mb = 300" in text


@pytest.mark.parametrize(
    "config", ['{"acme": {"llm": FakeLLM()}}', '{"acme": {"llm": "openai/gpt-4o", "api_key": "sk-1"}}']
)
def test_a_tenant_config_that_holds_keys_is_refused_at_load(app, config):
    from openrtc_host.application import LoadError

    with pytest.raises(LoadError, match="openrtc-supervisor config import main.py") as refused:
        app(MADE % f"tenant_config={config}")
    assert "every host would hold every tenant's keys" in str(refused.value)
    assert refused.value.step == "configure"
    assert "sk-1" not in str(refused.value)


def test_providers_of_the_configuration_do_not_reach_a_plain_script_and_it_is_told(app):
    loaded = app(
        """
        from livekit.agents import WorkerOptions, cli
        async def entry(ctx): ...
        cli.run_app(WorkerOptions(entrypoint_fnc=entry))
    """,
        configured(
            {"name": "default", "providers": {"llm": {"provider": "openai"}}},
            inspect='{"tenants": {"acme": {"tenant_config": ["tts"]}}}',
        ),
    )
    assert len(loaded.notices) == 1 and "llm, tts of the configuration" in loaded.notices[0]
