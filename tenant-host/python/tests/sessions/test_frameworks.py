"""The frameworks themselves: versions, private names, the warm-up of a zygote, and turn detectors."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SILENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def in_a_process(source: str) -> dict:
    """What a fresh interpreter prints as JSON."""
    path = ":".join(dict.fromkeys([*sys.path, str(HERE)]))
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **SILENT, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_private_name_is_where_it_was():
    from openrtc_host import adapter

    for name in adapter.PRIVATE_NAMES:
        module, path = name.split(":")
        found = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)


@pytest.mark.parametrize(
    ("package", "version", "said"),
    [
        ("livekit-agents", "1.7.4", "livekit-agents 1.7.4 is installed .* livekit-agents>=1.8,<1.9 is needed"),
        ("livekit-agents", "1.9.0", "livekit-agents 1.9.0 is installed"),
        ("livekit-agents", "2.0", "livekit-agents>=1.8,<1.9 is needed: pip install"),
        ("openrtc", "0.21.0", "openrtc 0.21.0 is installed .* openrtc>=0.20,<0.21 is needed"),
        ("livekit-agents", None, "livekit-agents is not installed"),
    ],
)
def test_another_version_is_refused_by_name(monkeypatch, package, version, said):
    import importlib.metadata

    from openrtc_host import versions

    known = importlib.metadata.version

    def changed(name: str) -> str:
        if name != package:
            return known(name)
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", changed)
    versions.check_versions.cache_clear()
    with pytest.raises(versions.UnsupportedVersion, match=said):
        versions.check_versions()


def test_the_warm_up_starts_no_thread_and_the_vads_weights_are_shared():
    found = in_a_process("""
import json, os, sys
from openrtc_host import adapter
missed = adapter.warm(
    ["livekit.agents", "livekit.plugins.silero", "livekit.plugins.openai", "openrtc", "no_such_module"])
threads = len(os.listdir("/proc/self/task"))
from livekit.plugins import silero
from openrtc_host import rehearsal
from livekit.plugins.silero import onnx_model
one, two = silero.VAD.load(), silero.VAD.load()
shared = onnx_model.new_inference_session(True) is onnx_model.new_inference_session(True)
ffi = sys.modules["livekit.rtc._ffi_client"]
print(json.dumps({
    "missed": missed, "threads": threads, "shared": shared,
    "rehearsed": [rehearsal.rehearse(pool) for pool in (True, False)],
    "ffi": ffi.FfiClient._instance is None, "after": len(os.listdir("/proc/self/task")),
}))
""")
    assert found["threads"] == found["after"] == 1
    assert found["shared"] and found["ffi"]
    assert found["rehearsed"] == [2, 1]
    assert [text.split(":")[0] for text in found["missed"]] == ["preload no_such_module"]


def test_a_played_load_runs_sessions_and_leaves_nothing_behind():
    script = """
import gc, json, os, sys
import livekit.agents, openrtc
from openrtc_host import adapter, application, capture, dry_run, threads
ended, play = [], dry_run.play
def counted(loaded=None):
    report = dry_run._Script.report
    def told(self, name, fields):
        if name == "SessionEnded":
            ended.append((loaded is not None, fields["status"]))
        report(self, name, fields)
    dry_run._Script.report = told
    try: play(loaded)
    finally: dry_run._Script.report = report
dry_run.play = counted
adapter.install()
state = lambda: [os.getcwd(), dict(os.environ), sys.argv, sys.path[:], id(sys.modules["__main__"]), gc.isenabled()]
gc.disable()
before = state()
dry_run.play_all(3)
threads.require_one()
print(json.dumps({"same": state() == before, "ended": ended, "loaded": len(application._loaded),
    "made": len(capture.made()), "beside": "rehearsed_words" in sys.modules}))
"""
    ended = [[False, "cancelled"]] * 3 + [[True, "success"]] * 3
    found = in_a_process(script)
    assert found == {"same": True, "ended": ended, "loaded": 0, "made": 0, "beside": False}


def test_calls_of_a_mock_room_are_forgotten_and_what_was_not_called_is_not_written_to():
    from unittest.mock import Mock

    from openrtc_host.mock import forget_calls

    room = Mock()
    kept = room.other.mock_calls
    room.participant.publish("text")
    room.participant.publish.return_value.stop()
    forget_calls(room)
    for mock in (room, room.participant, room.participant.publish, room.participant.publish.return_value):
        assert not mock.mock_calls and not mock.method_calls and not mock.called
    assert room.participant.publish.call_args is None
    assert room.other.mock_calls is kept


def test_a_zygote_of_plain_scripts_holds_nothing_of_openrtcs_turn_detector():
    script = """
import json, sys
from openrtc_host import adapter
adapter.warm(MODULES)
print(json.dumps({"transformers": "transformers" in sys.modules}))
"""
    plain = ["livekit.agents", "livekit.plugins.silero"]
    assert in_a_process(script.replace("MODULES", repr(plain))) == {"transformers": False}
    assert in_a_process(script.replace("MODULES", repr([*plain, "openrtc.core"]))) == {"transformers": True}


def test_a_zygote_holds_the_end_of_turn_weights_only_where_they_are_wanted():
    script = """
import json, os
import livekit.local_inference as li
from openrtc_host import adapter
loaded = []
li.init_vad, li.init_eot = (lambda: loaded.append("vad")), (lambda: loaded.append("eot"))
adapter.warm(["livekit.agents"], WANTED)
print(json.dumps({"loaded": loaded, "left": [name for name in os.environ if "PRELOAD" in name]}))
"""
    assert in_a_process(script.replace("WANTED", "True")) == {"loaded": ["vad", "eot"], "left": []}
    assert in_a_process(script.replace("WANTED", "False")) == {"loaded": ["vad"], "left": []}


RUNNER = """
import json, os, asyncio
from livekit.agents.inference_runner import _InferenceRunner
class Runner(_InferenceRunner):
    INFERENCE_METHOD = "test_method"
    def initialize(self):
        if os.environ.get("ABSENT"):
            raise RuntimeError('Could not find file "languages.json".')
        self.ready = True
    def run(self, data):
        if data == b"bad":
            raise ValueError("bad input")
        return data.upper() if self.ready else None
_InferenceRunner.register_runner(Runner)
from openrtc_host import turn_detector
missed = turn_detector.preload()
threads = len(os.listdir("/proc/self/task"))
async def infer():
    executor = turn_detector.HostExecutor()
    try:
        return (await executor.do_inference("test_method", b"abc")).decode()
    except RuntimeError as error:
        return str(error)
print(json.dumps({"missed": missed, "threads": threads, "answer": asyncio.run(infer())}))
"""


def test_a_plugins_inference_runs_in_the_host_on_a_model_loaded_before_the_fork():
    found = in_a_process(RUNNER)
    assert found == {"missed": [], "threads": 1, "answer": "ABC"}


def test_absent_model_files_are_named_with_the_command_that_fetches_them(monkeypatch):
    monkeypatch.setenv("ABSENT", "1")
    found = in_a_process(RUNNER)
    assert "Fetch its files with `python -m livekit.agents download-files`" in found["missed"][0]
    assert 'Could not find file "languages.json"' in found["answer"] and "download-files" in found["answer"]


def test_openrtcs_default_detector_without_files_is_vad_with_one_warning(caplog, monkeypatch):
    """With the plugin installed its model files are absent; without it the plugin is: both fall back."""
    from openrtc_host import turn_detector

    monkeypatch.delenv("LIVEKIT_REMOTE_EOT_URL", raising=False)
    turn_detector.forget()
    with caplog.at_level("WARNING", "openrtc_host"):
        first, _ = turn_detector.openrtc_detector()
        second, _ = turn_detector.openrtc_detector()
    from openrtc.core.turn_handling import _is_usable_inference_executor

    assert not _is_usable_inference_executor(first) and not _is_usable_inference_executor(second)
    said = [record.getMessage() for record in caplog.records if record.name == "openrtc_host"]
    assert len(said) == 1 and "falls back to VAD" in said[0] and "python -m livekit.agents download-files" in said[0]
