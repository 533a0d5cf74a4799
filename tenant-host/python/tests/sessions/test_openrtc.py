"""Routing, admission and providers of a pool in a host."""

from __future__ import annotations

import pytest
from scene import Session, configured, run

POOL = """
    from livekit.agents import Agent
    from openrtc import AgentPool
    from fakes import FakeLLM, FakeSTT, FakeTTS

    seen = {}

    class Support(Agent):
        def __init__(self): super().__init__(instructions="Help.")
        async def on_enter(self):
            seen["llm"] = self.session.llm.says

    class Sales(Support): pass

    pool = AgentPool(default_llm=FakeLLM("pool"), default_tts=FakeTTS(), default_stt=FakeSTT(), %s)
    pool.add("support", Support, %s)
    pool.add("sales", Sales)
    pool.run()
"""


def made(arguments: str = "", added: str = "") -> str:
    return POOL % (arguments, added)


def seen() -> dict:
    import sys

    return vars(sys.modules["__main__"])["seen"]


@pytest.fixture
def fake_plugin(tmp_path):
    """`livekit.plugins.fakery`, whose LLM says what it was configured with."""
    import sys
    import types

    import fakes

    class LLM(fakes.FakeLLM):
        def __init__(self, *, model: str = "m", says: str = "") -> None:
            super().__init__(says or model)

    module = types.ModuleType("livekit.plugins.fakery")
    module.LLM = LLM
    sys.modules[module.__name__] = module
    yield
    del sys.modules[module.__name__]


TENANT = {"llm": {"provider": "fakery", "model": "tenant"}}


@pytest.mark.parametrize(
    ("configure", "arguments", "added", "llm"),
    [
        (
            {"providers": TENANT},
            "tenant_config=lambda t: {'llm': FakeLLM('callable')}",
            "llm=FakeLLM('added')",
            "tenant",
        ),
        (
            {},
            "tenant_config=lambda t: {'llm': FakeLLM('callable for ' + t)}",
            "llm=FakeLLM('added')",
            "callable for acme",
        ),
        ({}, "tenant_config=lambda t: None", "llm=FakeLLM('added')", "added"),
        (
            {"providers": {"llm": {"provider": "fakery", "model": "defaults"}}, "defaulted": ["llm"]},
            "",
            "llm=FakeLLM('added')",
            "added",
        ),
        ({"providers": {"llm": {"provider": "fakery", "model": "defaults"}}, "defaulted": ["llm"]}, "", "", "defaults"),
        ({}, "", "", "pool"),
    ],
)
def test_each_step_takes_the_first_rung_that_names_it(app, fake_plugin, configure, arguments, added, llm):
    run(app(made(arguments, added), configured({"name": "support", **configure})), Session(agent="support"))
    assert seen()["llm"] == llm


def test_a_provider_is_made_once_and_kept_for_the_tenants_later_sessions(app, fake_plugin):
    loaded = app(made(), configured({"name": "support", "providers": TENANT}))
    run(loaded, Session(agent="support"))
    import sys

    sys.modules["livekit.plugins.fakery"].LLM = None
    run(loaded, Session(agent="support"))
    assert seen()["llm"] == "tenant"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"provider": "nosuch"},
            "'nosuch' is not installed for the application's interpreter: pip install livekit-plugins-nosuch",
        ),
        ({"provider": "silero"}, "livekit.plugins.silero has no LLM"),
        ({"provider": "openai", "modle": "x"}, "takes no 'modle'; it takes: "),
        ({"provider": "openai", "model": "gpt-4o"}, "refused its arguments"),
        (
            {"provider": "inference", "model": "openai/gpt-4o"},
            "LiveKit Inference runs only on a key of the tenant's own",
        ),
    ],
)
def test_a_provider_that_cannot_be_made_says_why(app, monkeypatch, given, said):
    from openrtc_host.providers import ConfigurationFault

    for name in ("OPENAI_API_KEY", "LIVEKIT_API_KEY", "LIVEKIT_INFERENCE_API_KEY", "INFERENCE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    loaded = app(made(), configured({"name": "support", "providers": {"llm": given}}))
    with pytest.raises(ConfigurationFault) as fault:
        run(loaded, Session(agent="support"))
    assert said in str(fault.value)


def test_the_tenants_key_of_the_environment_is_the_plugins(app, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-acme")
    from openrtc_host.providers import build

    assert build("llm", {"provider": "openai", "model": "gpt-4o"})._client.api_key == "sk-of-acme"


def test_the_router_moves_a_session_to_another_agent_and_it_is_told(app):
    session = run(
        app(made("router=lambda m: 'sales' if m and m['tenant'] == 'acme' else None"), configured({"name": "support"})),
        Session(agent="support"),
    )
    assert session.reroutes == ["sales"]


def test_a_router_that_defers_leaves_the_supervisors_choice(app):
    session = run(
        app(made("router=lambda m: None"), configured({"name": "sales"})),
        Session(agent="sales", job='{"agent": "support"}'),
    )
    assert session.reroutes == []


@pytest.mark.parametrize(
    ("router", "said"),
    [
        ("lambda m: 'billing'", "chose the agent 'billing'; main.py has: support, sales"),
        ("lambda m: 1 / 0", "the script's router raised ZeroDivisionError"),
    ],
)
def test_a_router_that_fails_fails_the_session(app, router, said):
    from openrtc_host.openrtc_session import RouterFailed

    with pytest.raises(RouterFailed, match=said):
        run(app(made(f"router={router}"), configured({"name": "support"})), Session(agent="support"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("await req.reject()", "rejected by the script's request_fnc"),
        ("pass", "neither accepted nor rejected"),
        ("raise KeyError('x')", "the script's request_fnc raised KeyError"),
    ],
)
def test_a_request_fnc_that_does_not_accept_ends_the_session(app, body, said):
    from openrtc_host.livekit_session import SessionRejected

    source = made("request_fnc=ask").replace(
        "    class Support", f"    async def ask(req):\n        {body}\n\n    class Support", 1
    )
    with pytest.raises(SessionRejected, match=said):
        run(app(source, configured({"name": "support"})), Session(agent="support"))


def test_a_request_fnc_that_accepts_names_the_agent_in_the_room(app):
    source = made("request_fnc=ask").replace(
        "    class Support",
        "    async def ask(req):\n        seen['asked'] = (req.id, req.room.name)\n"
        "        await req.accept(name='Ada')\n\n    class Support",
        1,
    )
    run(app(source, configured({"name": "support"})), Session(agent="support"))
    assert seen()["asked"] == ("AJ_1", "room-1")


def test_caps_of_the_script_do_not_turn_sessions_away(app):
    loaded = app(
        made("max_sessions_per_tenant={'acme': 1}, max_sessions_per_agent={'support': 1}"),
        configured({"name": "support"}),
    )
    import asyncio

    async def both():
        await asyncio.gather(*(loaded.run(Session(agent="support")) for _ in range(2)))

    asyncio.run(both())


def test_an_agent_that_the_application_has_not_is_a_configuration_fault(app):
    from openrtc_host.openrtc_session import UnknownAgent

    with pytest.raises(UnknownAgent, match="no agent 'billing'; it has: support, sales"):
        run(app(made(), configured({"name": "support"})), Session(agent="billing"))


def test_a_scripts_own_inference_strings_are_a_configuration_fault(app, monkeypatch):
    from openrtc_host.providers import ConfigurationFault

    for name in ("LIVEKIT_API_KEY", "LIVEKIT_INFERENCE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationFault, match="main.py uses a LiveKit Inference model .* a key of the tenant's own"):
        run(
            app(made("").replace('FakeLLM("pool")', '"openai/gpt-4o"'), configured({"name": "support"})),
            Session(agent="support"),
        )
