"""What a zygote does before its first fork: imports, and models paged in.

Owns: the order, and the one Silero session that every host shares. Never: starts a thread, an event loop or the FFI
runtime; holds anything of a tenant's.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any

from openrtc_host import adapter, capture, turn_detector
from openrtc_host.versions import check_versions

#: What livekit-agents' own warm-up loads: unset, VAD and end-of-turn weights; "0", neither.
_LOCAL_INFERENCE = "LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE"


def warm(modules: Iterable[str], end_of_turn: bool = True) -> list[str]:
    """Imports modules and pages the models in; what could not be, as texts for the log. Starts no thread."""
    check_versions()
    modules, missed = list(modules), list[str]()
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # a plugin may raise anything at import
            missed.append(f"preload {name}: {type(error).__name__}: {error}")
    if "livekit.agents" in sys.modules:
        _preload_framework(end_of_turn)
        adapter.install()
        capture.install()
        adapter.shared_mock_room()
    if "livekit.plugins.silero" in sys.modules:
        _warm_silero()
    missed.extend(turn_detector.preload())
    if "livekit.agents" in sys.modules:
        from openrtc_host import rehearsal

        try:
            rehearsal.rehearse(pool=any(name.partition(".")[0] == "openrtc" for name in modules))
        except Exception as error:  # the first session of a host then pays what could not be shared
            missed.append(f"rehearse a session: {type(error).__name__}: {error}")
    _close_hub()
    return missed


def _preload_framework(end_of_turn: bool) -> None:
    """dlopens the FFI library, loads the built-in VAD and, where wanted, the 244 MB of end-of-turn weights."""
    if end_of_turn:
        adapter.preload_framework()  # its own steps never raise
        return
    os.environ[_LOCAL_INFERENCE] = "0"
    try:
        adapter.preload_framework()
    finally:
        del os.environ[_LOCAL_INFERENCE]
    with contextlib.suppress(Exception):  # as upstream: whoever needs it first tells what is wrong
        importlib.import_module("livekit.local_inference").init_vad()


def _close_hub() -> None:
    """Closes the hub's HTTP client, which a plugin's look for model files has opened: each host would, right after the
    fork (the hub has a handler for that), and be 5 ms the poorer."""
    close = getattr(sys.modules.get("huggingface_hub"), "close_session", None)
    if close is not None:
        close()


def _warm_silero() -> None:
    import numpy

    onnx = importlib.import_module("livekit.plugins.silero.onnx_model")
    model = onnx.OnnxModel(onnx_session=onnx.new_inference_session(True), sample_rate=16_000)
    model(numpy.zeros((1, model.window_size_samples), dtype=numpy.float32))


def share_silero() -> None:
    """Every `silero.VAD.load()` of a process takes one inference session: its weights are then the zygote's pages."""
    if "livekit.plugins.silero" not in sys.modules:
        return
    onnx: Any = importlib.import_module("livekit.plugins.silero.onnx_model")
    original = onnx.new_inference_session
    if getattr(original, "_openrtc_host", False):
        return
    shared: list[Any] = []

    def new_inference_session(force_cpu: bool, onnx_file_path: Any = None) -> Any:
        if not force_cpu or onnx_file_path is not None:
            return original(force_cpu, onnx_file_path)
        if not shared:
            shared.append(original(force_cpu))
        return shared[0]

    new_inference_session._openrtc_host = True  # type: ignore[attr-defined]
    onnx.new_inference_session = new_inference_session
