"""What an application may be, and how each fault of loading reads."""

from __future__ import annotations

import os
import sys
import textwrap

import pytest
from scene import Session, configured, run

ENTRY = """
    from livekit.agents import AgentServer, WorkerOptions, cli
    async def entry(ctx): ...
"""


def refused(load, *args) -> str:
    from openrtc_host.application import LoadError

    with pytest.raises(LoadError) as error:
        load(*args)
    return str(error.value)


@pytest.mark.parametrize(
    ("ending", "agents"),
    [
        ("cli.run_app(WorkerOptions(entrypoint_fnc=entry, agent_name='desk'))", ["desk"]),
        ("cli.run_app(WorkerOptions(entrypoint_fnc=entry))", ["default"]),
        ("import asyncio; s = AgentServer(); s.rtc_session(entry, agent_name='a'); asyncio.run(s.run())", ["a"]),
        ("from livekit.agents.cli import run_app; s = AgentServer(); s.rtc_session(entry); run_app(s)", ["default"]),
    ],
)
def test_each_way_to_run_a_worker_is_met(app, ending, agents):
    assert app(textwrap.dedent(ENTRY) + ending).agents == agents


def test_a_script_sees_what_python_main_py_start_shows_it(app, tmp_path):
    loaded = app(
        """
        import sys, beside
        from livekit.agents import WorkerOptions, cli
        from dataclasses import dataclass
        assert sys.argv[1:] == ["start"] and sys.argv[0] == __file__, sys.argv
        assert sys.modules["__main__"].__dict__ is globals()
        assert sys.path[0] == beside.__file__.rsplit("/", 1)[0]
        async def entry(ctx): ...
        if __name__ == "__main__":
            try:
                cli.run_app(WorkerOptions(entrypoint_fnc=entry))
            except Exception:
                raise SystemExit(9)
    """,
        None,
        beside="x = 1",
    )
    assert loaded.agents == ["default"]
    sys.modules.pop("beside")


def test_a_script_that_ends_without_a_worker_is_told_which_calls_are_met(app):
    assert refused(app, "x = 1") == "main.py ended without pool.run(), cli.run_app(…) or server.run()"


def test_a_script_that_catches_everything_is_told_so(app):
    text = refused(
        app,
        textwrap.dedent(ENTRY)
        + textwrap.dedent("""
        try:
            cli.run_app(WorkerOptions(entrypoint_fnc=entry))
        except BaseException:
            pass
    """),
    )
    assert text.startswith("main.py caught what unwinds it") and "except BaseException" in text


def test_what_a_script_raises_comes_through(app):
    with pytest.raises(ZeroDivisionError):
        app("1 / 0")
    with pytest.raises(SystemExit):
        app("import sys; sys.exit(3)")


def test_a_pool_that_was_handed_to_the_cli_as_its_server_is_still_a_pool(app):
    loaded = app("""
        from livekit.agents import Agent, cli
        from openrtc import AgentPool
        class One(Agent):
            def __init__(self): super().__init__(instructions="x")
        pool = AgentPool(agent=One)
        cli.run_app(pool.server)
    """)
    assert loaded.agents == ["default"]


def test_a_name_that_no_rule_could_name_is_refused(app):
    text = refused(
        app, textwrap.dedent(ENTRY) + "cli.run_app(WorkerOptions(entrypoint_fnc=entry, agent_name='my desk'))"
    )
    assert "'my desk'" in text and "letters, digits" in text


def attribute(tmp_path, source: str, name: str, module: str):
    from openrtc_host import application

    (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
    target = {"attribute": {"folder": str(tmp_path), "module": module, "attribute": name}}
    return application.load(target, configured())


MIXED = """
    from livekit.agents import Agent, AgentServer, WorkerOptions
    from openrtc import AgentPool
    class One(Agent):
        def __init__(self): super().__init__(instructions="x")
    async def entry(ctx): ...
    async def two(ctx, more): ...
    number = 3
    options = WorkerOptions(entrypoint_fnc=entry, agent_name="opts")
    server = AgentServer()
    server.rtc_session(entry, agent_name="srv")
    class Holder:
        pool = AgentPool(agents={"one": One})
"""


@pytest.mark.parametrize(
    ("name", "agents"),
    [
        ("entry", ["default"]),
        ("options", ["opts"]),
        ("server", ["srv"]),
        ("Holder.pool", ["one"]),
    ],
)
def test_an_attribute_may_be_any_of_four_things(tmp_path, name, agents, app):
    assert attribute(tmp_path, MIXED, name, f"mixed_{name.lower().replace('.', '_')}").agents == agents


def test_a_wrong_attribute_is_told_what_the_module_has(tmp_path, app):
    text = refused(attribute, tmp_path, MIXED, "poool", "mixed_a")
    assert "mixed_a has no attribute 'poool'" in text
    assert "of those it has: entry, options, server" in text
    text = refused(attribute, tmp_path, MIXED, "number", "mixed_b")
    assert "mixed_b:number is of type builtins.int, not an openrtc.AgentPool" in text
    assert "not async" in refused(attribute, tmp_path, MIXED, "two", "mixed_c")
    assert "of those it has none" in refused(attribute, tmp_path, "x = 1", "x", "empty_module")


def test_a_missing_module_and_one_that_runs_a_worker_on_import(tmp_path, app):
    from openrtc_host import application

    target = {"attribute": {"folder": str(tmp_path), "module": "nowhere", "attribute": "pool"}}
    assert "there is no module 'nowhere'" in refused(application.load, target, configured())
    text = refused(
        attribute,
        tmp_path,
        textwrap.dedent(ENTRY) + "cli.run_app(WorkerOptions(entrypoint_fnc=entry))",
        "entry",
        "runs_at_import",
    )
    assert "__main__" in text


def test_a_folder_of_agents_is_discovered(tmp_path, app):
    from openrtc_host import application

    folder = tmp_path / "agents"
    folder.mkdir()
    for name in ("alpha", "beta"):
        (folder / f"{name}.py").write_text(
            textwrap.dedent("""
            from livekit.agents import Agent
            class Found(Agent):
                def __init__(self): super().__init__(instructions="x")
        """)
        )
    assert application.load({"agents_dir": str(folder)}, configured()).agents == ["alpha", "beta"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no agent" in refused(application.load, {"agents_dir": str(empty)}, configured())


def test_what_a_zygote_loaded_is_taken_and_configured_by_its_hosts(tmp_path, app):
    from openrtc_host import application

    (tmp_path / "main.py").write_text(
        textwrap.dedent("""
        from livekit.agents import WorkerOptions, cli
        runs = []
        def prewarm(proc): runs.append(1)
        async def entry(ctx):
            import json
            assert json.loads(ctx.job.metadata)["agent_config"] == {"tone": "warm"}
        cli.run_app(WorkerOptions(entrypoint_fnc=entry, prewarm_fnc=prewarm))
    """)
    )
    target = {"script": str(tmp_path / "main.py")}
    warm = application.load(target, None)
    loaded = application.load(target, configured(agent_config={"tone": "warm"}, loaded=True))
    assert loaded is warm
    assert vars(sys.modules["__main__"])["runs"] == [1]
    run(loaded, Session())


def test_inspection_does_not_prewarm(app):
    loaded = app(
        """
        from livekit.agents import WorkerOptions, cli
        def prewarm(proc): raise RuntimeError("needs a key")
        async def entry(ctx): ...
        cli.run_app(WorkerOptions(entrypoint_fnc=entry, prewarm_fnc=prewarm))
    """,
        configured(inspect="{}"),
    )
    assert loaded.agents == ["default"]


def test_a_pool_in_a_host_opens_no_socket_and_no_thread(app):
    def sockets() -> int:
        return sum(
            os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
            for fd in os.listdir("/proc/self/fd")
            if os.path.islink(f"/proc/self/fd/{fd}")
        )

    import threading

    before = (sockets(), threading.active_count())
    app("""
        from livekit.agents import Agent
        from openrtc import AgentPool
        class One(Agent):
            def __init__(self): super().__init__(instructions="x")
        pool = AgentPool(agent=One, enable_hot_reload=True, port=9123)
        assert pool.introspection is None
        pool.run()
    """)
    assert (sockets(), threading.active_count()) == before
