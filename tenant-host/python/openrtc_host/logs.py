"""Python's logging, carried to the supervisor with the session that each line belongs to.

Owns: the handler of the root logger, and the levels it starts with. Never: raises into the code that logs, writes a
line of more than its bound, or touches the channel from another thread than its own.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from . import context
from .failure import cut

LOG_LINE_BYTES_MAX = 16 * 1024
_WAITING_MAX = 1000
_NOISY = (
    "asyncio",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "openai",
    "urllib3",
    "aiohttp.access",
    "websockets.client",
)

Line = tuple["context.SessionContext | None", str, str]


class Sink(Protocol):
    """Where lines go; called by the main thread only."""

    def __call__(self, session: context.SessionContext | None, level: str, message: str) -> None:
        """Takes one line."""


class ChannelHandler(logging.Handler):
    """Turns records into log reports. Lines of other threads wait, boundedly, for the main thread."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._waiting: deque[Line] = deque()
        self._sending = False
        self.begin(sink)

    def begin(self, sink: Sink) -> None:
        """Takes the calling thread for the main one, and has nothing waiting."""
        self._sink = sink
        self._wake: Callable[[], object] | None = None
        self._thread = threading.get_ident()
        self._waiting.clear()
        self._lost = 0

    def redirect(self, sink: Sink, wake: Callable[[], object]) -> None:
        """From now on lines go to `sink`; `wake` has the main thread call `drain`, and may be called by any thread."""
        self._sink, self._wake = sink, wake

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one record."""
        try:
            line = (context.CURRENT.get(), level_name(record.levelno), self._text(record))
            if threading.get_ident() == self._thread and not self._sending:
                self._send(line)
            elif len(self._waiting) < _WAITING_MAX:
                self._waiting.append(line)
                if self._wake is not None and len(self._waiting) == 1:
                    self._wake()
            else:
                self._lost += 1
        except Exception:
            self._lost += 1

    def drain(self) -> None:
        """Sends what other threads logged. Main thread only."""
        while self._waiting:
            self._send(self._waiting.popleft())
        if self._lost:
            lost, self._lost = self._lost, 0
            self._send(
                (None, "warn", f"{lost} log lines of other threads were dropped: more than {_WAITING_MAX} waited")
            )

    def _send(self, line: Line) -> None:
        self._sending = True
        try:
            self._sink(*line)
        except Exception:
            self._lost += 1
        finally:
            self._sending = False

    def _text(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            message = f"{message}\n{logging.Formatter().formatException(record.exc_info)}"
        if record.stack_info:
            message = f"{message}\n{record.stack_info}"
        if record.name not in ("root", "__main__"):
            message = f"{record.name}: {message}"
        return cut(message, LOG_LINE_BYTES_MAX)


def level_name(number: int) -> str:
    """The supervisor's word for a level of Python's."""
    if number < logging.INFO:
        return "debug"
    if number < logging.WARNING:
        return "info"
    return "warn" if number < logging.ERROR else "error"


_ours: list[ChannelHandler] = []


def install(sink: Sink) -> ChannelHandler:
    """Makes the root logger's one handler ours; in a zygote's child, whose zygote has done so, only its sink is new.

    An application that calls `logging.basicConfig` gets its level, and its file or handlers if it names any; a second
    copy of each line on standard error is what it does not get.
    """
    root = logging.getLogger()
    if root.handlers and root.handlers == _ours:
        _ours[0].begin(sink)
        return _ours[0]
    for handler in list(root.handlers):
        root.removeHandler(handler)
    ours = ChannelHandler(sink)
    _ours[:] = [ours]
    root.addHandler(ours)
    root.setLevel(logging.INFO)
    for name in _NOISY:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
    original = logging.basicConfig

    def basic_config(**settings: Any) -> None:
        if settings.get("filename") is not None or settings.get("handlers"):
            root.removeHandler(ours)
            try:
                original(**settings)
            finally:
                root.addHandler(ours)
        elif settings.get("level") is not None:
            root.setLevel(settings["level"])

    logging.basicConfig = basic_config
    logging.lastResort = None
    return ours


def print_lines() -> None:
    """Has what is printed leave line by line, as lines of the host's output, whatever its characters."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True, errors="backslashreplace")
