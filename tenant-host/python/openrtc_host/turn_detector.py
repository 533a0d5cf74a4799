"""End-of-turn models inside the host: the `inference_executor` that plugins ask their job for.

Owns: the runners that could be loaded (in the zygote, so that hosts share their pages), and the fall-back to VAD when
their files are not there. Never: shares an inference process between tenants; starts a thread before the first fork.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
from typing import Any

from openrtc_host import adapter

logger = logging.getLogger("openrtc_host")

#: What fetches the model files, for whoever installs the application.
DOWNLOAD_COMMAND = "python -m livekit.agents download-files"
#: The plugin that OpenRTC uses by default.
PLUGIN = "livekit.plugins.turn_detector.multilingual"

_loaded: dict[str, Any] = {}
_absent: dict[str, str] = {}
_warned: set[str] = set()


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _load(method: str, runner: Any) -> Any:
    """A runner with its model, or `None` and a remembered reason."""
    if method in _loaded or method in _absent:
        return _loaded.get(method)
    made = runner()
    try:
        made.initialize()
    except Exception as error:  # RuntimeError for absent files; anything for broken ones
        _absent[method] = f"{error}"
        return None
    _loaded[method] = made
    return made


class _OneCpu:
    """onnxruntime makes a thread for each core beyond the first: runners that are loaded before a fork must see one."""

    def __init__(self) -> None:
        self._onnx: Any = sys.modules.get("onnxruntime")
        self._session: Any = None

    def __enter__(self) -> None:
        if self._onnx is None:
            return
        original = self._session = self._onnx.InferenceSession

        def inference_session(*args: Any, **options: Any) -> Any:
            chosen = options.get("sess_options")
            if chosen is not None:
                chosen.intra_op_num_threads = 1
                chosen.inter_op_num_threads = 1
            return original(*args, **options)

        self._onnx.InferenceSession = inference_session

    def __exit__(self, *_: object) -> None:
        if self._onnx is not None:
            self._onnx.InferenceSession = self._session


def preload() -> list[str]:
    """In a zygote: loads what plugins registered; texts of what could not be, for the log."""
    missed: list[str] = []
    for method, runner in adapter.runner_classes().items():
        before = _threads()
        with _OneCpu():
            made = _load(method, runner)
        if made is None:
            missed.append(f"turn detector {method}: {_absent[method]} Fetch its files with `{DOWNLOAD_COMMAND}`.")
        elif _threads() != before:
            missed.append(f"turn detector {method}: started {_threads() - before} thread(s) while it was loaded")
    return missed


class HostExecutor:
    """Runs inference in this host, one at a time, beside the event loop."""

    def __init__(self) -> None:
        self._lock: asyncio.Lock | None = None

    async def do_inference(self, method: str, data: bytes) -> bytes | None:
        """One inference, as livekit-agents' inference process would do it."""
        runner = adapter.runner_classes().get(method)
        if runner is None:
            raise RuntimeError(f"no plugin registered the inference method {method!r}")
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:
            made = _loaded.get(method) or await asyncio.to_thread(_load, method, runner)
            if made is None:
                raise RuntimeError(f"{method}: {_absent[method]} Fetch its files with `{DOWNLOAD_COMMAND}`.")
            result = await asyncio.to_thread(made.run, data)
        return None if result is None else bytes(result)


class AbsentExecutor(HostExecutor):
    """The executor where OpenRTC's default detector has no files: OpenRTC then takes VAD (its own marker says so)."""

    _openrtc_noop = True


def _warn_once(text: str) -> None:
    if text not in _warned:
        _warned.add(text)
        logger.warning(text)


def openrtc_detector() -> tuple[HostExecutor, Any]:
    """Executor and detector class of OpenRTC's default turn handling; VAD, with one warning, without files."""
    remote = bool(os.environ.get("LIVEKIT_REMOTE_EOT_URL"))
    try:
        module = importlib.import_module(PLUGIN)
    except ImportError as error:
        _warn_once(
            f"turn detection falls back to VAD: {error}. Install it with `pip install livekit-plugins-turn-detector` "
            f"and fetch its files with `{DOWNLOAD_COMMAND}`"
        )
        return AbsentExecutor(), None
    detector = module.MultilingualModel
    if remote:
        return HostExecutor(), detector
    for method, runner in adapter.runner_classes().items():
        if runner.__module__ == PLUGIN and _load(method, runner) is None:
            _warn_once(f"turn detection falls back to VAD: {_absent[method]} Fetch its files with `{DOWNLOAD_COMMAND}`")
            return AbsentExecutor(), detector
    return HostExecutor(), detector


def warn_again() -> None:
    """What was warned of in a zygote is warned of in its hosts."""
    _warned.clear()


def forget() -> None:
    """Starts anew; for tests."""
    _loaded.clear()
    _absent.clear()
    _warned.clear()
