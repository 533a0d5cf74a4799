"""Unmodified applications: a plain livekit-agents script and an OpenRTC pool run a session in a mock room."""

from __future__ import annotations

from scene import Session, configured, run

PLAIN = """
    from livekit.agents import Agent, AgentSession, JobContext, WorkerOptions, cli
    from fakes import FakeLLM, FakeSTT, FakeTTS

    class Greeter(Agent):
        async def on_enter(self):
            await self.session.generate_reply(instructions="Greet the caller.")

    seen = {}

    def prewarm(proc):
        proc.userdata["warm"] = proc.userdata.get("warm", 0) + 1

    async def entrypoint(ctx: JobContext):
        seen.update(metadata=ctx.job.metadata, room=ctx.room.name, job=ctx.job.id, warm=ctx.proc.userdata["warm"])
        async def bye(reason):
            seen["bye"] = reason
        ctx.add_shutdown_callback(bye)
        await ctx.connect()
        session = AgentSession(stt=FakeSTT(), llm=FakeLLM("Hello there."), tts=FakeTTS(), vad=None,
                               turn_handling={"turn_detection": "stt"})
        await session.start(agent=Greeter(instructions="Be kind."), room=ctx.room)

    if __name__ == "__main__":
        cli.run_app(WorkerOptions(entrypoint_fnc=entrypoint, prewarm_fnc=prewarm))
"""

POOL = """
    from livekit.agents import Agent
    from openrtc import AgentPool
    from openrtc.context import current_agent_name, current_session_id, current_tenant_id
    from fakes import FakeLLM, FakeSTT, FakeTTS

    seen = {}

    class Support(Agent):
        def __init__(self):
            super().__init__(instructions="Help.")
        async def on_enter(self):
            seen["on_enter"] = (current_tenant_id(), current_session_id(), current_agent_name(), self.session.tenant_id)

    class Sales(Agent):
        def __init__(self):
            super().__init__(instructions="Sell.")

    class Watcher:
        async def on_session_start(self, info, session):
            seen["start"] = info
        async def on_session_end(self, info, outcome):
            seen["end"] = outcome

    pool = AgentPool(default_stt=FakeSTT(), default_llm=FakeLLM("Pool here."), default_tts=FakeTTS(),
                     default_greeting="Say hello.", observers=[Watcher()])
    pool.add("support", Support)
    pool.add("sales", Sales, greeting="Sell something.")
    pool.run()
"""


def script_globals() -> dict:
    import sys

    return vars(sys.modules["__main__"])


def test_a_plain_script_runs_a_session_and_tells_its_turns_and_usage(app):
    loaded = app(PLAIN)
    assert loaded.agents == ["default"]
    assert loaded.notices == []
    session = run(loaded, Session(agent="default", job='{"lang": "de", "tenant": "stranger"}'))
    assert session.turns() == [("agent", "Hello there.")]
    assert session.of("Usage")[-1] == {"llm_tokens_in": 7, "llm_tokens_out": 3, "stt_ms": 0, "tts_characters": 12}
    assert {latency["stage"] for latency in session.of("Latency")} >= {"llm", "tts"}
    states = [state["state"] for state in session.of("State")]
    assert states[0] == "initializing" or states[0] == "listening"
    assert "speaking" in states
    assert session.starts >= 1
    seen = script_globals()["seen"]
    assert seen["metadata"] == '{"lang": "de", "tenant": "acme"}'
    assert (seen["room"], seen["job"], seen["warm"]) == ("room-1", "AJ_1", 1)
    assert "bye" in seen


def test_two_sessions_share_what_was_prewarmed_and_nothing_else(app):
    loaded = app(PLAIN)
    first = run(loaded, Session(agent="default"))
    second = run(loaded, Session(agent="default"))
    assert script_globals()["seen"]["warm"] == 1
    assert first.of("Usage")[-1] == second.of("Usage")[-1]


def test_sessions_at_once_do_not_count_each_others_tokens(app):
    import asyncio

    loaded = app(POOL, configured({"name": "support"}))
    sessions = [Session(agent="support") for _ in range(4)]

    async def all_of_them():
        await asyncio.gather(*(loaded.run(session) for session in sessions))
        await loaded.close()

    asyncio.run(all_of_them())
    for session in sessions:
        assert session.of("Usage")[-1] == {"llm_tokens_in": 7, "llm_tokens_out": 3, "stt_ms": 0, "tts_characters": 10}


def test_a_pool_runs_the_agent_that_the_supervisor_chose_and_its_observers(app):
    loaded = app(POOL, configured({"name": "support"}, {"name": "sales"}))
    assert loaded.agents == ["support", "sales"]
    session = run(loaded, Session(agent="sales", job='{"agent": "support"}', version="v7"))
    assert session.turns() == [("agent", "Pool here.")]
    assert session.reroutes == []
    seen = script_globals()["seen"]
    assert seen["start"].agent_name == "sales"
    assert seen["start"].deployment_version == "v7"
    assert seen["start"].started_at == 1_700_000_000
    assert seen["end"].status.value == "success"


def test_the_tenant_is_the_supervisors_whatever_metadata_says(app):
    for job, room in [("", ""), ('{"tenant": "x"}', ""), ("", '{"tenant": "x"}'), ("plain text", '{"tenant": "a/b"}')]:
        loaded = app(POOL, configured({"name": "support"}))
        run(loaded, Session(agent="support", tenant="globex", job=job, room=room))
        seen = script_globals()["seen"]
        assert seen["on_enter"] == ("globex", "AJ_1", "support", "globex"), (job, room)
        assert seen["start"].tenant == "globex"
        assert seen["start"].metadata["tenant"] == "globex"
