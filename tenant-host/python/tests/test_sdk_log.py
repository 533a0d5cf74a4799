"""The SDK filters its log where it is written; what it shows still comes, and who wants every detail gets it."""

import os
import subprocess
import sys
import types
from typing import Any

import pytest

from openrtc_host import sdk_log

JOINS_NOTHING = """
import asyncio, logging, os, socket, sys
from livekit import rtc
from openrtc_host import sdk_log

class Count(logging.Handler):
    def emit(self, record):
        print("python", record.levelname)

logging.getLogger("livekit").addHandler(Count())
logging.getLogger("livekit").setLevel(logging.DEBUG)
sdk_log.spare()

async def join():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    try:
        await rtc.Room().connect(f"ws://127.0.0.1:{port}", "token", rtc.RoomOptions(connect_timeout=2.0))
    except rtc.ConnectError:
        print("refused")

asyncio.run(join())
sys.stdout.flush()
os._exit(0)  # As a host does: the interpreter's own end may meet a thread of the SDK that still logs.
"""


def joined_nothing(**variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("RUST_LOG", "LIVEKIT_RTC_DEBUG")}
    done = subprocess.run([sys.executable, "-c", JOINS_NOTHING], env=kept | variables, capture_output=True, text=True)
    assert done.returncode == 0 and "refused" in done.stdout, done.stderr
    return done


def test_its_warnings_are_written_and_its_log_does_not_cross_into_python() -> None:
    done = joined_nothing()
    assert "python" not in done.stdout
    assert " livekit" in done.stderr and ("WARN" in done.stderr or "ERROR" in done.stderr), done.stderr
    assert "INFO" not in done.stderr and "DEBUG" not in done.stderr, done.stderr


def test_a_filter_of_the_operators_counts() -> None:
    done = joined_nothing(RUST_LOG="livekit=debug")
    assert "DEBUG livekit" in done.stderr and "python" not in done.stdout


def test_with_its_own_variable_it_logs_as_it_always_did() -> None:
    assert "python DEBUG" in joined_nothing(LIVEKIT_RTC_DEBUG="1").stdout


def test_what_is_started_later_does_not_inherit_our_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def begin(callback: str, capture: bool) -> None:
        seen.update(callback=callback, capture=capture, filter=os.environ.get("RUST_LOG"))

    begin.argtypes = None  # type: ignore[attr-defined]
    client = types.SimpleNamespace(get_ffi_lib=lambda: types.SimpleNamespace(livekit_ffi_initialize=begin))
    monkeypatch.setitem(sys.modules, "livekit.rtc._ffi_client", client)
    monkeypatch.delenv("RUST_LOG", raising=False)
    monkeypatch.delenv("LIVEKIT_RTC_DEBUG", raising=False)
    sdk_log.spare()
    client.get_ffi_lib().livekit_ffi_initialize("callback", True)
    assert seen["callback"] == "callback" and seen["capture"] is False and seen["filter"].startswith("warn")
    assert "RUST_LOG" not in os.environ
