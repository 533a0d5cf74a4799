"""`runtime inspect`: what is measured, and that no application can spoil the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openrtc_host._native", exc_type=ImportError)
pytest.importorskip("livekit.agents", exc_type=ImportError)

OPTIONS = (
    "import os, sys\nfrom livekit.agents import JobContext, WorkerOptions, cli\n"
    "print('spoils the report?')\nos.write(1, b'and this?')\n"
    "assert os.environ['OPENAI_API_KEY'] == 'stand-in' and 'SECRET_OF_THE_SHELL' not in os.environ\n"
    "async def entrypoint(ctx: JobContext): ...\n"
    "ballast = [bytearray(os.urandom(4096)) for _ in range(2048)]\n"
    "cli.run_app(WorkerOptions(entrypoint_fnc=entrypoint, agent_name='inbound'))\n"
)


def inspect(folder: Path, script: str, **plan: Any) -> dict[str, Any]:
    """The report on a script."""
    (folder / "main.py").write_text(script, encoding="utf-8")
    whole = {"target": {"script": str(folder / "main.py")}, "output": str(folder / "report.json"), **plan}
    environment = {**os.environ, "PYTHONPATH": str(folder), "SECRET_OF_THE_SHELL": "canary"}
    subprocess.run(
        [sys.executable, "-B", "-m", "openrtc_host", "inspect", json.dumps(whole)],
        check=True,
        timeout=120,
        cwd="/",
        env=environment,
    )
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


def test_a_sound_application_is_measured(tmp_path: Path) -> None:
    report = inspect(tmp_path, OPTIONS, configure={"env": [["OPENAI_API_KEY", "stand-in"]]})
    host = report["host"]
    assert (report["unfit"], host["error"], host["agents"]) == (None, None, ["inbound"])
    assert len(report["threads"]) == len(host["threads"]) == 1
    assert [module["module"] for module in report["preload"]] == ["livekit.agents"]
    assert host["load_ms"] > 0 and host["fork_ms"] > 0
    # The script's own 8 MiB are its host's alone; the zygote's image is not.
    assert 8_000 < host["private_kb"] - host["private_kb_forked"] < 60_000
    assert report["image"]["rss_kb"] > host["private_kb"]
    assert all(library["known"] for library in report["atfork"])
    paths = report["paths"]
    assert paths["prefix"] == sys.prefix and paths["base_prefix"] == sys.base_prefix
    assert all(os.path.exists(path) for path in [*paths["stdlib"], *paths["certificates"]]) and paths["certificates"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("raise ValueError('no such voice')\n", "ValueError: no such voice (main.py:1)"),
        ("import gone_missing\n", "No module named 'gone_missing'"),
        ("import sys\nsys.exit(3)\n", "sys.exit(3)"),
        ("import os\nos._exit(7)\n", "ended its process with code 7"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "ended its process: SIGSEGV"),
    ],
)
def test_an_application_that_does_not_load_is_told_from_the_zygote(tmp_path: Path, script: str, said: str) -> None:
    report = inspect(tmp_path, script, preload=["livekit.agents"])
    assert report["unfit"] is None and len(report["threads"]) == 1
    assert said in report["host"]["error"]


def test_a_module_that_starts_a_thread_is_named(tmp_path: Path) -> None:
    threading = "import threading, time\nt = threading.Thread(target=time.sleep, args=(600,), daemon=True)\nt.start()\n"
    (tmp_path / "starts_one.py").write_text(threading)
    report = inspect(tmp_path, OPTIONS, preload=["livekit.agents", "starts_one"])
    started = {module["module"]: len(module["threads"]) for module in report["preload"]}
    assert started == {"livekit.agents": 0, "starts_one": 1} and len(report["threads"]) == 2


def test_a_module_that_cannot_be_preloaded_is_said(tmp_path: Path) -> None:
    report = inspect(tmp_path, OPTIONS, preload=["json", "gone_missing"])
    assert "gone_missing" in report["unfit"] and report["host"] is None
