"""How sessions end: each way of failing is a failure, and the sequence of the end is gone through."""

from __future__ import annotations

import asyncio
import time

import pytest
from scene import Session, configured, run

SCRIPT = """
    import asyncio
    from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli
    from fakes import FakeLLM, FakeSTT, FakeTTS

    seen = []
    server = AgentServer()

    class Speaker(Agent):
        def __init__(self): super().__init__(instructions="x")
        async def on_enter(self):
            {on_enter}

    async def ended(ctx):
        seen.append("on_session_end")

    @server.rtc_session(on_session_end=ended)
    async def entry(ctx: JobContext):
        async def bye(reason):
            seen.append("bye: " + reason)
        ctx.add_shutdown_callback(bye)
        session = AgentSession(llm=FakeLLM("Hi.", fails={fails}), tts=FakeTTS(), vad=None, stt=FakeSTT(),
                               turn_handling={{"turn_detection": "stt"}})
        {before}
        await session.start(agent=Speaker(), room=ctx.room)
        {after}

    cli.run_app(server)
"""


def script(*, on_enter="self.session.generate_reply()", before="pass", after="pass", fails=False) -> str:
    return SCRIPT.format(on_enter=on_enter, before=before, after=after, fails=fails)


def seen() -> list[str]:
    import sys

    return vars(sys.modules["__main__"])["seen"]


def test_a_session_in_a_mock_room_ends_when_the_agent_has_said_what_it_says(app):
    session = run(app(script()), Session())
    assert session.turns() == [("agent", "Hi.")]
    assert seen() == ["on_session_end", "bye: job ended"]


def test_on_enter_that_waits_before_it_speaks_is_waited_for(app):
    session = run(app(script(on_enter="await asyncio.sleep(0.6); self.session.generate_reply()")), Session())
    assert session.turns() == [("agent", "Hi.")]


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ({"before": "raise ValueError('no such voice')"}, (ValueError, "no such voice")),
        ({"after": "raise ValueError('too late')"}, (ValueError, "too late")),
        ({"on_enter": "raise KeyError('greeting')"}, (KeyError, "greeting")),
        ({"after": "raise SystemExit(7)"}, (RuntimeError, r"the agent called sys.exit\(7\)")),
    ],
)
def test_what_the_agents_code_raises_is_raised(app, parts, error):
    with pytest.raises(error[0], match=error[1]):
        run(app(script(**parts)), Session())
    assert seen()[0] == "on_session_end"


def test_a_provider_that_is_down_fails_the_session_with_its_error(app):
    from openrtc_host.job import AgentFailed

    with pytest.raises(AgentFailed, match="FakeLLM: .*the fake model is down"):
        run(app(script(fails=True)), Session())


def test_ctx_shutdown_ends_it_with_its_reason(app):
    run(app(script(on_enter="pass", after="ctx.shutdown('all done'); await asyncio.sleep(0)")), Session())
    assert seen() == ["on_session_end", "bye: all done"]


def test_an_agent_session_that_closes_ends_it(app):
    run(app(script(on_enter="pass", after="await session.aclose()")), Session())


def test_a_session_that_is_ended_stops_and_still_goes_through_its_end(app):
    loaded = app(script(after="await asyncio.Event().wait()"), configured())
    session = Session()

    async def end_soon():
        task = asyncio.create_task(loaded.run(session))
        while not session.turns():
            await asyncio.sleep(0.02)
        session.end_reason = "operator"
        session.ending.set()
        began = time.monotonic()
        await asyncio.wait_for(task, 5)
        return time.monotonic() - began

    assert asyncio.run(end_soon()) < 2.5
    assert seen() == ["on_session_end", "bye: operator"]


def test_a_session_whose_task_is_cancelled_is_cancelled_and_goes_through_its_end(app):
    loaded = app(script(after="await asyncio.Event().wait()"))
    session = Session()

    async def cancel_soon():
        task = asyncio.create_task(loaded.run(session))
        while not session.turns():
            await asyncio.sleep(0.02)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel_soon())
    assert seen()[0] == "on_session_end"


def test_a_script_that_starts_no_agent_session_ends_with_its_entrypoint(app):
    session = run(
        app("""
        from livekit.agents import WorkerOptions, cli
        async def entry(ctx):
            await ctx.connect()
            assert ctx.room.isconnected() and ctx.room.name == "room-1"
            assert (await ctx.wait_for_participant()).identity == "mock_user"
        cli.run_app(WorkerOptions(entrypoint_fnc=entry))
    """),
        Session(),
    )
    assert session.starts >= 1 and session.turns() == []


def test_openrtc_observers_are_told_of_a_failure_after_the_greeting(app):
    with pytest.raises(RuntimeError, match="broke"):
        run(
            app(
                """
            import asyncio
            from livekit.agents import Agent
            from openrtc import AgentPool
            from fakes import FakeLLM, FakeSTT, FakeTTS
            seen = []
            class Support(Agent):
                def __init__(self): super().__init__(instructions="x")
                async def on_enter(self):
                    await asyncio.sleep(0.5)
                    raise RuntimeError("broke")
            class Watcher:
                async def on_session_start(self, info, session): seen.append("start")
                async def on_session_end(self, info, outcome): seen.append((outcome.status.value, str(outcome.error)))
            pool = AgentPool(agent=Support, default_llm=FakeLLM("Hi."), default_tts=FakeTTS(), default_stt=FakeSTT(),
                             observers=[Watcher()], default_greeting="Say hi.")
            pool.run()
        """,
                configured({"name": "default"}),
            ),
            Session(),
        )
    assert seen() == ["start", ("failed", "broke")]


def test_a_shutdown_callback_that_fails_stops_no_other(app):
    source = (
        script()
        .replace('seen.append("bye: " + reason)', 'seen.append("bye"); raise OSError("gone")')
        .replace(
            "ctx.add_shutdown_callback(bye)",
            "ctx.add_shutdown_callback(bye)\n        async def more(): seen.append('more')\n"
            "        ctx.add_shutdown_callback(more)",
        )
    )
    run(app(source), Session())
    assert seen() == ["on_session_end", "bye", "more"]
