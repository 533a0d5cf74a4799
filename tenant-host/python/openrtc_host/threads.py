"""The threads of a zygote, which must be one before it forks.

Owns: who started each further thread, and the words for it. Never: ends one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_TASKS = "/proc/self/task"
_SETTLE_S = 1.0
_STEP_S = 0.01

_causes: dict[int, str] = {}


class Started(Exception):
    """There is a second thread; the text is complete, for the operator."""


def further() -> dict[int, str]:
    """The threads beside the main one, by id: Python's name for it, else the system's."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found: dict[int, str] = {}
    for task in map(int, os.listdir(_TASKS)):
        if task == os.getpid():
            continue
        try:
            with open(f"{_TASKS}/{task}/comm", encoding="utf-8", errors="replace") as comm:
                found[task] = names.get(task) or comm.read().strip()
        except OSError:
            pass  # It has just ended.
    return found


@contextmanager
def watched(cause: str) -> Iterator[None]:
    """Books the threads that are there after it, and were not before, as started by `cause`."""
    before = further()
    yield
    for task in further():
        if task not in before:
            _causes[task] = cause


def require_one() -> None:
    """Raises `Started` unless the main thread is the only one, or soon is: some imports leave a thread that ends."""
    until = time.monotonic() + _SETTLE_S
    while (left := further()) and time.monotonic() < until:
        time.sleep(_STEP_S)
    if left:
        named = ", ".join(
            f"{name!r} (started by {_causes.get(task, 'what was preloaded')})" for task, name in left.items()
        )
        raise Started(
            f"thread {named}: a process with a second thread cannot be forked soundly, so hosts are spawned cold;"
            " leave the module that starts it out of `preload`"
        )
