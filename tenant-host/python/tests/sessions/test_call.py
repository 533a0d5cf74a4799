"""A session in a room of a LiveKit server, without a server: its job, its end, and what its code may ask for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from scene import Session

PLAIN = """
from livekit.agents import AgentServer, cli
server = AgentServer()

@server.rtc_session()
async def entrypoint(ctx):
    {body}

if __name__ == "__main__":
    cli.run_app(server)
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch):
    for name in ("LIVEKIT_URL", "LIVEKIT_TOKEN", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    yield
    for name in ("LIVEKIT_URL", "LIVEKIT_TOKEN"):
        os.environ.pop(name, None)


def call(grants: str | None = None, **job: Any) -> Session:
    """A session of acme in the room of a server that nobody listens at."""
    from livekit.protocol import agent, models

    session = Session(job="")
    room = models.Room(sid="RM_1", name="acme_1", metadata=job.pop("room_metadata", ""))
    told = agent.Job(id="AJ_1", room=room, **job)
    session.call = {
        "url": "ws://127.0.0.1:1",
        "token": "secret-token",
        "identity": "agent-AJ_1",
        "job": list(told.SerializeToString()),
        "grants": grants,
    }
    return session


def run(app: Any, session: Session, body: str) -> None:
    asyncio.run(app(PLAIN.format(body=body)).run(session))


def test_a_call_has_the_servers_job_under_the_supervisors_tenant(app: Any, capsys: Any) -> None:
    session = call(metadata='{"tenant": "globex", "plan": 1}', room_metadata='{"tenant": "x"}', dispatch_id="AD_1")
    body = (
        "import json, os; room = ctx.room; print(json.dumps([ctx.job.dispatch_id, json.loads(ctx.job.metadata), "
        "ctx.job.room.metadata, room.name, ctx._info.accept_arguments.identity, ctx._info.url, "
        "os.environ['LIVEKIT_URL'], os.environ.get('LIVEKIT_TOKEN'), ctx.is_fake_job()])); ctx.shutdown()"
    )
    run(app, session, body)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    url = "ws://127.0.0.1:1"
    assert told[:2] == ["AD_1", {"tenant": "acme", "plan": 1}] and json.loads(told[2]) == {"tenant": "acme"}
    assert told[3:] == ["acme_1", "agent-AJ_1", url, url, None, False]
    assert session.leave is not None, "its room would never be left"


def test_a_room_that_cannot_be_joined_fails_the_session_without_its_token(app: Any) -> None:
    with pytest.raises(Exception, match=r"Connection refused|failed to connect|signal failure") as caught:
        run(app, call(), "await ctx.connect()")
    assert "secret-token" not in str(caught.value)


def test_without_grants_the_api_names_the_key_that_gives_them(app: Any) -> None:
    with pytest.raises(ValueError, match=r"LiveKitAPI\(\) has no credentials.*`host_grants` below `\[livekit\]`"):
        run(app, call(), "ctx.api")


def test_with_grants_the_api_has_them_and_says_which_key_gives_more(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from livekit.api.twirp_client import TwirpClient, TwirpError

    async def refuse(_self: Any, *_args: Any, **_options: Any) -> None:
        raise TwirpError("permission_denied", "permissions denied", status=401)

    from openrtc_host import call as module

    monkeypatch.setattr(module, "_installed", False)
    monkeypatch.setattr(TwirpClient, "request", refuse)
    body = (
        "import os; from livekit import api; assert os.environ['LIVEKIT_TOKEN'] == 'granted'; "
        "await ctx.api.room.list_rooms(api.ListRoomsRequest())"
    )
    with pytest.raises(TwirpError, match=r"permissions denied; the operator grants .*host_grants"):
        run(app, call(grants="granted"), body)


def test_an_entrypoint_that_joins_nothing_and_returns_ends(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from openrtc_host import job

    monkeypatch.setattr(job, "JOIN_S", 0.1)
    session = call()
    run(app, session, "pass")
    assert session.starts == 0


def test_a_call_ends_on_request_though_nobody_left(app: Any) -> None:
    async def play() -> None:
        session = call()
        running = asyncio.create_task(app(PLAIN.format(body="pass")).run(session))
        await asyncio.sleep(0.1)
        assert not running.done()
        session.end_reason = "terminated"
        session.ending.set()
        await asyncio.wait_for(running, 5)

    asyncio.run(play())


PANIC = """
import ctypes
from livekit.rtc import _ffi_client
from livekit.rtc._proto import ffi_pb2
from openrtc_host import adapter
adapter.install()
event = ffi_pb2.FfiEvent()
event.panic.message = "no way out"
data = event.SerializeToString()
_ffi_client.ffi_event_callback((ctypes.c_uint8 * len(data)).from_buffer_copy(data), len(data))
"""


def test_a_panic_of_the_ffi_library_is_a_death_and_no_farewell() -> None:
    process = subprocess.run([sys.executable, "-c", PANIC], capture_output=True, text=True, timeout=60)
    assert process.returncode == -signal.SIGABRT and "no way out" in process.stderr, process
