"""A host obeys, and ends every session with exactly one report."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from fake_channel import CONFIGURE, FakeChannel, info, start

from openrtc_host import context, host, logs
from openrtc_host.sessions import SessionTask

Entrypoint = Callable[[SessionTask], Awaitable[None]]


class Application:
    """What `application.load` gives, with one entrypoint for all agents."""

    def __init__(self, entrypoint: Entrypoint) -> None:
        self.agents = ["support", "sales"]
        self.notices: list[str] = []
        self.run = entrypoint


@pytest.fixture
def handler() -> Iterator[logs.ChannelHandler]:
    basic, last, handlers = logging.basicConfig, logging.lastResort, list(logging.getLogger().handlers)
    yield logs.install(lambda *_: None)
    logging.basicConfig, logging.lastResort = basic, last
    logging.getLogger().handlers = handlers


@pytest.fixture
def serve(handler: logs.ChannelHandler) -> Any:
    def serve(entrypoint: Entrypoint, script: Callable[[FakeChannel], Awaitable[None]]) -> FakeChannel:
        """Runs a host until it is over, and the supervisor's `script` beside it."""
        channel = FakeChannel()
        loop = asyncio.new_event_loop()
        scripts: list[asyncio.Task[None]] = []

        def make() -> host.Host:
            scripts.append(asyncio.ensure_future(script(channel)))
            return host.Host(channel, Application(entrypoint), CONFIGURE, None, handler)

        try:
            host.run(loop, make)
            assert scripts[0].done(), "the host left before the supervisor's part was over"
            scripts[0].result()
        finally:
            loop.close()
            channel.near.close()
        return channel

    return serve


def ended(channel: FakeChannel) -> list[tuple[str, str | None]]:
    return [(fields["status"], fields["error"]) for fields in channel.named("SessionEnded")]


async def shutdown(channel: FakeChannel, sessions: int = 1) -> None:
    await channel.until("SessionEnded", sessions)
    channel.command("Shutdown", grace_ms=1000)


def one(fields: dict[str, Any] | None = None) -> Callable[[FakeChannel], Awaitable[None]]:
    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **(fields or start()))
        await shutdown(channel)

    return script


def test_a_clean_session_is_started_ends_well_and_the_host_says_goodbye(serve: Any) -> None:
    async def entrypoint(session: SessionTask) -> None:
        session.started()
        session.started()
        session.emit({"State": {"state": "listening"}})

    channel = serve(entrypoint, one())
    assert [name for name, _ in channel.said] == ["SessionStarted", "SessionEvent", "SessionEnded", "Bye"]
    assert ended(channel) == [("success", None)]
    assert channel.named("Bye") == [{"reason": "shutdown"}]


def test_the_session_knows_whom_it_is_for_and_so_do_its_tasks(serve: Any) -> None:
    seen: list[Any] = []

    async def look() -> None:
        seen.append(context.current_session())

    async def entrypoint(session: SessionTask) -> None:
        seen.append((session.id, session.job_metadata, session.room_metadata))
        await asyncio.create_task(look())
        await asyncio.to_thread(lambda: seen.append(context.current_session()))

    serve(entrypoint, one(start(job_metadata='{"a":1}', room_metadata="r")))
    assert seen[0] == ("s-1a2b3c4d-1", '{"a":1}', "r")
    assert seen[1] == seen[2]
    found = seen[1]
    assert (found.tenant, found.agent, found.room_name, found.deployment_version) == ("acme", "support", "room-1", "v7")
    assert found.started_at == 1_700_000_000.5 and found.metadata["plan"] == "gold"
    assert context.current_session() is None
    assert os.environ["OPENRTC_TENANT"] == "acme"


def test_an_exception_is_a_failed_session_with_its_summary(serve: Any) -> None:
    async def entrypoint(session: SessionTask) -> None:
        raise KeyError("OPENAI_API_KEY")

    channel = serve(entrypoint, one())
    [(status, error)] = ended(channel)
    assert status == "failed" and error is not None
    assert error.startswith("KeyError: 'OPENAI_API_KEY' (test_host.py:") and "in entrypoint" in error
    [event] = channel.named("SessionEvent")
    assert event["event"]["Log"]["level"] == "error" and "Traceback" in event["event"]["Log"]["message"]


def test_an_exception_that_blames_the_configuration_is_told_whole_as_such(serve: Any) -> None:
    class Fault(Exception):
        misconfigured = True

    async def entrypoint(session: SessionTask) -> None:
        try:
            raise Fault("agents.support.stt: no plugin named deepgran; did you mean deepgram?")
        except Fault as fault:
            raise RuntimeError("wrapped by a framework") from fault

    message = "agents.support.stt: no plugin named deepgran; did you mean deepgram?"
    assert ended(serve(entrypoint, one())) == [("misconfigured", message)]


def test_sys_exit_fails_the_session_and_not_the_host_wherever_it_is_called(serve: Any) -> None:
    async def leave() -> None:
        sys.exit(3)

    async def entrypoint(session: SessionTask) -> None:
        match session.info["session"]["seq"]:
            case 1:
                sys.exit(7)
            case 2:
                asyncio.get_running_loop().call_soon(sys.exit, "done")
                await asyncio.sleep(60)
            case 3:
                leaving = asyncio.create_task(leave())
                await asyncio.sleep(60)
                await leaving
            case _:
                await asyncio.sleep(0.1)

    async def script(channel: FakeChannel) -> None:
        for seq in (4, 1, 2, 3):
            channel.command("StartSession", **start(seq))
        await shutdown(channel, 4)

    channel = serve(entrypoint, script)
    by_session = {
        fields["session"]["seq"]: (fields["status"], fields["error"]) for fields in channel.named("SessionEnded")
    }
    assert by_session == {
        1: ("failed", "the agent called sys.exit(7)"),
        2: ("failed", "the agent called sys.exit('done')"),
        3: ("failed", "the agent called sys.exit(3)"),
        4: ("success", None),
    }


def test_a_session_asked_to_end_learns_why_and_is_cancelled(serve: Any) -> None:
    reasons: list[str | None] = []

    async def entrypoint(session: SessionTask) -> None:
        await session.ending.wait()
        reasons.append(session.end_reason)
        raise RuntimeError("on the way out")

    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **start())
        channel.command("EndSession", session=info()["session"], reason="duration_limit")
        channel.command("EndSession", session=info()["session"], reason="operator_kill")
        await shutdown(channel)

    channel = serve(entrypoint, script)
    assert reasons == ["duration_limit"]
    [(status, error)] = ended(channel)
    assert status == "cancelled" and error is not None and error.startswith("RuntimeError: on the way out")


def test_a_session_whose_caller_had_left_before_it_was_asked_to_end_is_a_success(serve: Any) -> None:
    async def entrypoint(session: SessionTask) -> None:
        session.is_over = True
        await session.ending.wait()

    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **start())
        channel.command("EndSession", session=info()["session"], reason="caller_left")
        await shutdown(channel)

    assert ended(serve(entrypoint, script)) == [("success", None)]


def test_after_the_grace_the_task_is_cancelled(serve: Any) -> None:
    cancelled: list[float] = []

    async def entrypoint(session: SessionTask) -> None:
        began = time.monotonic()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.append(time.monotonic() - began)

    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **start())
        channel.command("EndSession", session=info()["session"], reason="drained")
        await shutdown(channel)

    assert ended(serve(entrypoint, script)) == [("cancelled", None)]
    assert 0.25 < cancelled[0] < 2


def test_a_session_that_will_not_end_is_given_up_and_reported_once(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openrtc_host.sessions._OVERDUE_S", 0.05)
    late: list[str] = []

    async def entrypoint(session: SessionTask) -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                session.emit({"State": {"state": "stubborn"}})
                late.append("cancelled")

    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **start())
        channel.command("EndSession", session=info()["session"], reason="drained")
        await channel.until("SessionEnded")
        told = len(channel.said)
        await asyncio.sleep(0.05)
        assert len(channel.said) == told, "nothing is said of a session that has ended"
        await shutdown(channel)

    channel = serve(entrypoint, script)
    assert ended(channel) == [("cancelled", "agent did not end within its grace")]
    assert len(late) >= 2


def test_a_task_that_cancels_itself_is_cancelled_not_failed(serve: Any) -> None:
    async def entrypoint(session: SessionTask) -> None:
        raise asyncio.CancelledError

    assert ended(serve(entrypoint, one())) == [("cancelled", None)]


def test_an_unknown_agent_and_a_missing_recording_are_refused(serve: Any) -> None:
    async def entrypoint(session: SessionTask) -> None:
        raise AssertionError("not to be run")

    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **start(1, info=info(1, agent="ghost")))
        channel.command("StartSession", **start(2, input=True))
        await shutdown(channel, 2)

    assert ended(serve(entrypoint, script)) == [
        ("failed", "this host serves no agent ghost"),
        ("failed", "the recording announced with the session did not come"),
    ]


def test_recordings_come_in_order_and_are_closed_after_the_session(serve: Any) -> None:
    taken: list[int] = []

    async def entrypoint(session: SessionTask) -> None:
        assert session.input_fd is not None and session.output_fd is not None
        assert os.read(session.input_fd, 5) == b"audio"
        os.write(session.output_fd, b"voice")
        taken.extend([session.input_fd, session.output_fd])

    out_read, out_write = os.pipe()
    in_read, in_write = os.pipe()
    os.write(in_write, b"audio")

    async def script(channel: FakeChannel) -> None:
        channel.fds = [in_read, out_write]
        channel.command("StartSession", **start(input=True, output=True))
        await shutdown(channel)

    assert ended(serve(entrypoint, script)) == [("success", None)]
    assert taken == [in_read, out_write]
    for fd in taken:
        with pytest.raises(OSError):
            os.fstat(fd)
    assert os.read(out_read, 10) == b"voice"
    os.close(out_read)
    os.close(in_write)


def test_a_draining_host_refuses_lets_the_rest_end_and_leaves(serve: Any) -> None:
    async def entrypoint(session: SessionTask) -> None:
        await asyncio.sleep(0.1)

    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **start(1))
        channel.command("Drain")
        channel.command("StartSession", **start(2))

    channel = serve(entrypoint, script)
    refused = "this host takes no more sessions: it is draining"
    assert ended(channel) == [("cancelled", refused), ("success", None)]
    assert channel.said[-1] == ("Bye", {"reason": "drained"})


def test_shutdown_leaves_a_quarter_of_the_grace_for_the_reports(serve: Any) -> None:
    async def entrypoint(session: SessionTask) -> None:
        await asyncio.sleep(60)

    async def script(channel: FakeChannel) -> None:
        for seq in range(1, 4):
            channel.command("StartSession", **start(seq))
        channel.command("Shutdown", grace_ms=200)

    began = time.monotonic()
    channel = serve(entrypoint, script)
    assert time.monotonic() - began < 1
    assert ended(channel) == [("cancelled", None)] * 3
    assert channel.said[-1] == ("Bye", {"reason": "shutdown"})


def leaving(order: list[str]) -> Entrypoint:
    async def entrypoint(session: SessionTask) -> None:
        async def leave() -> None:
            order.append(f"left as {context.current_session() is not None}")

        session.on_leave(leave)
        order.append("ran")

    return entrypoint


def test_a_room_is_left_when_the_end_is_known_and_the_host_stays_for_it(serve: Any) -> None:
    order: list[str] = []

    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **start())
        await channel.until("SessionEnded")
        channel.command("Drain")
        await asyncio.sleep(0.2)
        assert order == ["ran"], "the agent left its room before its end was known"
        channel.command("LeaveRoom", session={"run": 1, "seq": 9})
        channel.command("LeaveRoom", session=info()["session"])

    channel = serve(leaving(order), script)
    assert order == ["ran", "left as True"]
    assert channel.said[-1] == ("Bye", {"reason": "drained"})


def test_a_room_is_left_after_a_while_though_nobody_says_so(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr("openrtc_host.leaving.RELEASE_S", 0.5)
    began = time.monotonic()

    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **start())
        await channel.until("SessionEnded")
        channel.command("Drain")

    serve(leaving(order), script)
    assert order == ["ran", "left as True"] and time.monotonic() - began > 0.4


def test_leaving_that_hangs_or_fails_keeps_no_host_beyond_its_grace(serve: Any) -> None:
    async def entrypoint(session: SessionTask) -> None:
        async def leave() -> None:
            if session.id.endswith("-1"):
                raise RuntimeError("it cannot be left")
            await asyncio.sleep(60)

        session.on_leave(leave)

    async def script(channel: FakeChannel) -> None:
        for seq in (1, 2):
            channel.command("StartSession", **start(seq))
        await channel.until("SessionEnded", 2)
        for seq in (1, 2):
            channel.command("LeaveRoom", session=info(seq)["session"])
        channel.command("Shutdown", grace_ms=300)

    began = time.monotonic()
    channel = serve(entrypoint, script)
    assert time.monotonic() - began < 3.0
    assert ended(channel) == [("success", None)] * 2 and channel.said[-1][0] == "Bye"


def test_sigterm_ends_sessions_and_the_host(serve: Any) -> None:
    async def entrypoint(session: SessionTask) -> None:
        await session.ending.wait()

    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **start())
        channel.command("Ping", nonce=1)
        await channel.until("Pong")
        os.kill(os.getpid(), 15)

    channel = serve(entrypoint, script)
    assert ended(channel) == [("cancelled", None)]
    assert channel.said[-1] == ("Bye", {"reason": "terminated"})


def test_the_end_of_the_channel_is_the_end_of_the_host(serve: Any) -> None:
    cancelled: list[bool] = []

    async def entrypoint(session: SessionTask) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.append(True)

    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **start())
        channel.command("Ping", nonce=1)
        await channel.until("Pong")
        channel.near.close()

    channel = serve(entrypoint, script)
    assert cancelled == [True] and channel.named("Bye") == []


def test_nonsense_and_a_supervisor_that_does_not_read_end_the_host_with_an_error(serve: Any) -> None:
    async def idle(session: SessionTask) -> None:
        await asyncio.sleep(60)

    async def late(channel: FakeChannel) -> None:
        channel.command("Configure")

    with pytest.raises(host.HostError, match="Configure came after the host was ready"):
        serve(idle, late)

    async def full(channel: FakeChannel) -> None:
        channel.full = True
        channel.command("Ping", nonce=1)

    with pytest.raises(host.HostError, match="does not read"):
        serve(idle, full)


def test_a_ping_is_answered_and_every_fourth_with_a_snapshot(serve: Any) -> None:
    async def entrypoint(session: SessionTask) -> None:
        await session.ending.wait()

    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **start())
        for nonce in range(1, 9):
            channel.command("Ping", nonce=nonce)
            await channel.until("Pong", nonce)
        channel.command("Shutdown", grace_ms=1000)

    channel = serve(entrypoint, script)
    assert [fields["nonce"] for fields in channel.named("Pong")] == list(range(1, 9))
    snapshots = channel.named("Snapshot")
    assert len(snapshots) >= 2
    assert snapshots[0]["sessions"] == [{"run": 0x1A2B3C4D, "seq": 1}]


def test_an_agent_that_holds_the_loop_is_seen_in_the_lag(serve: Any) -> None:
    async def entrypoint(session: SessionTask) -> None:
        await asyncio.sleep(0.1)
        time.sleep(0.2)
        await session.ending.wait()

    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **start())
        snapshot = await channel.until("Snapshot")
        assert 150_000 < snapshot["loop_lag_micros"] < 1_000_000, snapshot
        await asyncio.sleep(0.1)
        channel.command("Ping", nonce=1)
        cleared = await channel.until("Snapshot", 2)
        assert cleared["loop_lag_micros"] < 150_000, cleared
        channel.command("Shutdown", grace_ms=1000)

    serve(entrypoint, script)


def test_log_lines_go_to_their_session_and_those_of_none_to_the_host(serve: Any) -> None:
    log = logging.getLogger("app")
    orphan: list[asyncio.Task[None]] = []

    async def outlive(session: SessionTask) -> None:
        await asyncio.sleep(0.05)
        log.warning("after the session")

    async def entrypoint(session: SessionTask) -> None:
        log.warning("in the session")
        await asyncio.to_thread(log.error, "in its thread")
        thread = threading.Thread(target=log.info, args=("in a thread of nobody",))
        thread.start()
        await asyncio.to_thread(thread.join)
        await asyncio.sleep(0.01)
        orphan.append(asyncio.create_task(outlive(session)))

    async def script(channel: FakeChannel) -> None:
        channel.command("StartSession", **start())
        await channel.until("Log", 2)
        channel.command("Shutdown", grace_ms=1000)

    channel = serve(entrypoint, script)
    events = [fields["event"]["Log"] for fields in channel.named("SessionEvent")]
    assert events == [
        {"level": "warn", "message": "app: in the session"},
        {"level": "error", "message": "app: in its thread"},
    ]
    assert channel.named("Log") == [
        {"level": "info", "message": "app: in a thread of nobody"},
        {"level": "warn", "message": "app: after the session"},
    ]
