"""What of a script may be written down: pools, tenants, caps, routers; and that no key leaves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openrtc_host import scan

SEED = """
import os
from livekit.agents import Agent
from livekit.plugins import anthropic, cartesia, deepgram, openai
from openrtc import AgentPool

MODEL = "gpt-4o"
CAPS = {"acme-corp": 50, "globex": 100}

class Support(Agent): ...
class Sales(Agent): ...

def llm_of(tenant): ...

pool = AgentPool(
    agents={"support": Support},
    default_llm=openai.LLM(model=MODEL),
    tenant_config={
        "acme-corp": {
            "stt": deepgram.STT(api_key="acme-dg-canary"),
            "llm": openai.LLM(model=MODEL, temperature=0.2, api_key=os.environ["ACME_OPENAI"], timeout=None),
            "tts": cartesia.TTS(api_key=os.getenv("ACME_CT"), voice="694f9389-aac1-45b6-b726-9d9369183238"),
        },
        "globex": {
            "llm": anthropic.LLM(model="claude-sonnet", api_key="glx-an-canary", extra={"Authorization": "canary"}),
            "stt": "deepgram/nova-3",
            "tts": llm_of("globex"),
        },
        "initech": {"llm": openai.LLM(model=os.environ["MODEL"]), "prompt": "be kind"},
    },
    max_sessions_per_tenant=CAPS,
    max_sessions_per_agent={"support": 30},
    max_concurrent_sessions=10 * 20,
    enable_tenant_circuit_breaker=True,
    tenant_circuit_cooldown_s=45.5,
    drain_timeout=60,
    memory_limit_mb=int(os.environ.get("LIMIT", "0")),
)
pool.add("sales", Sales, llm=openai.LLM(api_key="sales-canary"))
if __name__ == "__main__":
    pool.run()
"""


def findings(folder: Path, text: str, **others: str) -> dict[str, Any]:
    """The findings of a script."""
    (folder / "main.py").write_text(text, encoding="utf-8")
    for name, other in others.items():
        (folder / f"{name}.py").write_text(other, encoding="utf-8")
    found: dict[str, Any] = scan.scan({"script": str(folder / "main.py")})["findings"]
    return found


def test_the_seeds_own_example_is_understood_and_no_key_of_it_leaves(tmp_path: Path) -> None:
    found = findings(tmp_path, SEED)
    assert "canary" not in json.dumps(found)
    assert (found["kind"], found["agents_complete"]) == ("pool", True)
    assert [agent["name"] for agent in found["agents"]] == ["support", "sales"]
    tenants = {tenant["id"]: tenant for tenant in found["tenants"]}
    acme = tenants["acme-corp"]
    assert acme["max_sessions"] == 50
    assert acme["providers"]["llm"]["plugin"] == "openai"
    assert acme["providers"]["llm"]["arguments"] == {"model": "gpt-4o", "temperature": 0.2}
    assert acme["providers"]["tts"]["arguments"] == {"voice": "694f9389-aac1-45b6-b726-9d9369183238"}
    assert [(key["plugin"], key["variable"]) for key in acme["keys"]] == [
        ("deepgram", None),
        ("openai", "ACME_OPENAI"),
        ("cartesia", "ACME_CT"),
    ]
    globex = tenants["globex"]
    assert globex["providers"]["stt"]["inference"] == "deepgram/nova-3"
    assert globex["providers"]["llm"]["arguments"] == {"model": "claude-sonnet"}
    assert "tts" not in globex["providers"]
    assert tenants["initech"]["providers"]["llm"]["arguments"] == {}
    assert found["agent_caps"] == [{"agent": "support", "max_sessions": 30, "at": "main.py:15"}]
    settings = {setting["name"]: (setting["value"], setting["plain"]) for setting in found["settings"]}
    assert settings == {
        "default_llm": (None, False),
        "max_concurrent_sessions": (200, True),
        "enable_tenant_circuit_breaker": (True, True),
        "tenant_circuit_cooldown_s": (45.5, True),
        "drain_timeout": (60, True),
        "memory_limit_mb": (None, False),
    }
    said = {note["what"]: note["at"] for note in found["unturned"]}
    assert said["tenant_config['globex']['tts']: a call of llm_of cannot be written down"] == "main.py:27"
    assert said["tenant_config['initech']: only stt, llm and tts are a tenant's"] == "main.py:15"
    assert "tenant_config['initech']['llm']: model: it is the variable MODEL, read at run time" in said
    assert any(what.startswith("tenant_config['globex']['llm']: extra may be a secret") for what in said)
    assert found["literal_keys"] == ["main.py:20", "main.py:25", "main.py:39"]


def test_names_of_other_modules_are_followed_and_changed_ones_are_not_guessed(tmp_path: Path) -> None:
    pool = "from openrtc import AgentPool\nfrom tenants import TENANTS, LATE\n"
    tenants = (
        "from livekit.plugins import openai\nimport os\n"
        "TENANTS = {'a': {'llm': openai.LLM(api_key=os.environ['A_KEY'])}}\nLATE = {}\nLATE['b'] = {}\n"
    )
    found = findings(tmp_path, f"{pool}AgentPool(tenant_config=TENANTS)\n", tenants=tenants)
    assert found["tenants"][0]["keys"] == [{"plugin": "openai", "variable": "A_KEY", "at": "tenants.py:3"}]
    late = findings(tmp_path, f"{pool}AgentPool(tenant_config=LATE)\n", tenants=tenants)
    assert late["tenants"] == []
    assert late["unturned"] == [{"at": "tenants.py:1", "what": "tenant_config: LATE is changed at line 5"}]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("tenant_config=load", "tenant_config=load: it is called in each tenant's host, for that tenant"),
        ("tenant_config={t: {} for t in ALL}", "tenant_config: it is a comprehension"),
        ("tenant_config=lambda tenant: None", "tenant_config: it is a lambda"),
        ("tenant_config={'a': make()}", "tenant_config['a']: a call of make cannot be written down"),
        ("**settings()", "AgentPool(**…): arguments are computed"),
        ("max_sessions_per_tenant={'a': cap()}", "max_sessions_per_tenant['a']: a call of cap cannot be written down"),
        ("agents=load_agents()", "agents: a call of load_agents cannot be written down"),
    ],
)
def test_what_is_computed_stays_and_is_named(tmp_path: Path, given: str, what: str) -> None:
    found = findings(tmp_path, f"from openrtc import AgentPool\ndef load(t): ...\n\nAgentPool({given})\n")
    assert [note["what"] for note in found["unturned"]] == [what]
    assert all(note["at"].startswith("main.py:") for note in found["unturned"])


def test_spread_dictionaries_and_constants_are_folded(tmp_path: Path) -> None:
    text = (
        "import openrtc\nBASE = dict(drain_timeout=2 * 30)\nNAME = 'v'\n"
        "openrtc.AgentPool(**{**BASE, 'deployment_version': f'{NAME}1'})\n"
    )
    found = findings(tmp_path, text)
    assert [(setting["name"], setting["value"]) for setting in found["settings"]] == [
        ("drain_timeout", 60),
        ("deployment_version", "v1"),
    ]


def test_plain_livekit_scripts_are_one_agent(tmp_path: Path) -> None:
    options = (
        "from livekit import agents\nfrom livekit.agents import WorkerOptions, cli\n"
        "cli.run_app(agents.WorkerOptions(entrypoint_fnc=run, agent_name='inbound', drain_timeout=90))\n"
    )
    found = findings(tmp_path, options)
    assert (found["kind"], found["agents"]) == ("options", [{"name": "inbound", "at": "main.py:3"}])
    assert ("drain_timeout", 90) in [(setting["name"], setting["value"]) for setting in found["settings"]]
    server = (
        "from livekit.agents import AgentServer\nserver = AgentServer(job_memory_limit_mb=512)\n"
        "@server.rtc_session(agent_name='outbound')\nasync def run(ctx): ...\n"
    )
    found = findings(tmp_path, server)
    assert (found["kind"], found["agents"]) == ("server", [{"name": "outbound", "at": "main.py:3"}])
    bare = "from livekit.agents import AgentServer\ns = AgentServer()\n@s.rtc_session()\nasync def run(ctx): ...\n"
    assert findings(tmp_path, bare)["agents"][0]["name"] == "default"


def test_discovered_agents_are_named_as_openrtc_names_them(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "sales.py").write_text("class A: ...\n")
    (tmp_path / "agents" / "b.py").write_text(
        "from openrtc import agent_config\n@agent_config(name='support', greeting='hi')\nclass A: ...\n"
    )
    found = findings(tmp_path, "from openrtc import AgentPool\npool = AgentPool()\npool.discover('agents')\n")
    assert [agent["name"] for agent in found["agents"]] == ["support", "sales"] and found["agents_complete"]
    found = findings(tmp_path, "from openrtc import AgentPool\npool = AgentPool()\npool.discover(where())\n")
    assert not found["agents_complete"]


def test_agents_of_a_loop_are_not_complete(tmp_path: Path) -> None:
    text = "from openrtc import AgentPool\npool = AgentPool()\nfor n in names():\n    pool.add(n, Agent)\n"
    found = findings(tmp_path, text)
    assert not found["agents_complete"] and found["unturned"][0]["what"].startswith("the name of an agent")


ROUTERS: list[tuple[str, list[tuple[dict[str, Any], str]], str | None, bool]] = [
    (
        "lambda m: 'sales' if m.get('tenant') == 'acme' else 'support'",
        [({"tenant": "acme"}, "sales")],
        "support",
        True,
    ),
    (
        """
        if not metadata:
            return None
        tenant = metadata.get("tenant", "default")
        if tenant in ("acme", "globex") and metadata.get("plan") == "pro":
            return "sales"
        elif tenant == "initech":
            if metadata["tier"] == 2:
                return "sales"
            return "support"
        return metadata.get("agent")
        """,
        [
            ({"tenant": "acme", "plan": "pro"}, "sales"),
            ({"tenant": "globex", "plan": "pro"}, "sales"),
            ({"tenant": "initech", "tier": 2}, "sales"),
            ({"tenant": "initech"}, "support"),
        ],
        None,
        True,
    ),
    (
        """
        data = metadata or {}
        return ROUTES.get(data.get("tenant"), "support")
        """,
        [({"tenant": "acme"}, "sales"), ({"tenant": "globex"}, "support")],
        "support",
        True,
    ),
    (
        """
        if metadata is None:
            return None
        match metadata.get("tenant"):
            case "acme" | "globex":
                return "sales"
            case _:
                return "support"
        """,
        [({"tenant": "acme"}, "sales"), ({"tenant": "globex"}, "sales")],
        "support",
        False,
    ),
    (
        """
        if metadata and metadata.get("tenant") == "acme":
            return "sales"
        """,
        [({"tenant": "acme"}, "sales")],
        None,
        True,
    ),
]


def routed(folder: Path, router: str) -> dict[str, Any]:
    """The findings of a pool with this router: a lambda, or the body of a function."""
    routes = "ROUTES = {'acme': 'sales', 'globex': 'support'}\n"
    if router.startswith("lambda"):
        text = f"AgentPool(router={router})\n"
    else:
        body = "\n".join(line[4:] for line in router.splitlines())
        text = f"def route(metadata):\n{body}\n\nAgentPool(router=route)\n"
    return findings(folder, f"from openrtc import AgentPool\n{routes}{text}")


@pytest.mark.parametrize(("router", "rules", "otherwise", "exact"), ROUTERS)
def test_plain_routers_become_rules_in_their_order(
    tmp_path: Path, router: str, rules: list[tuple[dict[str, Any], str]], otherwise: str | None, exact: bool
) -> None:
    found = routed(tmp_path, router)
    assert found["unturned"] == []
    table = found["router"]
    assert [(rule["when"], rule["agent"]) for rule in table["rules"]] == rules
    assert (table["otherwise"], table["exact"]) == (otherwise, exact)


@pytest.mark.parametrize(
    ("router", "why"),
    [
        ("lambda m: pick(m)", "it returns something computed"),
        ("lambda m: 'a' if m.get('tenant').startswith('x') else 'b'", "it asks for more than a metadata key's worth"),
        ("lambda m: ROUTES[m.get('tenant')]", "it fails for calls that its table does not name: use .get"),
        ("lambda m: m.get('skill')", "it returns what the metadata says"),
        ("        for t in metadata:\n            return 'a'", "it does more than compare and return"),
        (
            "        if metadata.get('tenant') == 'a':\n            return None\n        return 'b'",
            "it makes an exception, and defers",
        ),
        (
            "        t = metadata.get('tenant')\n        if t == 'x':\n            t = 'y'\n        return 'b'",
            "t is assigned under a condition, or twice",
        ),
        (
            "        if metadata is None:\n            return 'a'\n        return 'b'",
            "calls without metadata go to an agent of their own",
        ),
    ],
)
def test_a_router_that_is_more_than_a_table_stays_whole(tmp_path: Path, router: str, why: str) -> None:
    found = routed(tmp_path, router)
    assert found["router"] is None
    assert found["unturned"][0]["what"].startswith(f"router: {why};")
