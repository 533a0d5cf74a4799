"""Code that a host writes to when it runs: laid together, so that it makes few pages of the zygote's private.

Owns: finding it, by a child that does what a host does, and moving it. Never: changes what a function does.

From CPython 3.11 on the interpreter counts in the code itself how soon it may write a faster instruction there. Where
it finds none it counts for ever; what runs once in a process (an at-fork handler, an import) does not come to an end
of it. Such functions lie one to a page.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time
from array import array
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType

from . import _native, packing

#: CPython 3.13 calls a function whose code was replaced more slowly for ever: it has no version any more.
_VERSIONS = ((3, 11), (3, 12))
#: How long the child may take; a host needs some 0.1 s for what it does.
_CHILD_S = 20.0


def gather(play: Callable[[], None]) -> int:
    """Has a child play a host's part, and moves the functions whose code it wrote to; how many."""
    if sys.version_info[:2] not in _VERSIONS:
        return 0
    gc.collect()
    # Not `isinstance`: a mock of a function says that it is one.
    functions = [found for found in gc.get_objects() if type(found) is FunctionType]
    # Held to the end, so that the ids below stay theirs.
    codes = list(_with_inner(function.__code__ for function in functions))
    written = _written(codes, play)
    restless = [function for function in functions if _holds(function.__code__, written)]
    if restless:
        packing.fill_pools()
        _native.fill_heap()
    moved: dict[int, CodeType] = {}
    for function in restless:
        function.__code__ = _moved(function.__code__, moved)
    return len(restless)


def _with_inner(codes: Iterable[CodeType]) -> Iterable[CodeType]:
    """These, and the code of functions that they make, each once."""
    seen: set[int] = set()
    waiting = list(codes)
    while waiting:
        code = waiting.pop()
        if id(code) not in seen:
            seen.add(id(code))
            waiting += _inner(code)
            yield code


def _inner(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if type(constant) is CodeType]


def _holds(code: CodeType, written: set[int]) -> bool:
    return id(code) in written or any(_holds(inner, written) for inner in _inner(code))


def _moved(code: CodeType, moved: dict[int, CodeType]) -> CodeType:
    """Its like elsewhere; the same one for all functions that share it."""
    if id(code) not in moved:
        constants = tuple(_moved(it, moved) if type(it) is CodeType else it for it in code.co_consts)
        moved[id(code)] = code.replace(co_consts=constants)
    return moved[id(code)]


def _state(code: CodeType) -> int:
    """Differs once the interpreter wrote to it."""
    return hash(code._co_code_adaptive)  # type: ignore[attr-defined]


def _written(codes: list[CodeType], play: Callable[[], None]) -> set[int]:
    """Which of these a forked child wrote to; none where it failed, which is said by what it printed."""
    before = [_state(code) for code in codes]
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(receive)
            play()
            found = array("I", [at for at, code in enumerate(codes) if _state(code) != before[at]])
            with os.fdopen(send, "wb") as pipe:
                pipe.write(found.tobytes())
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    os.close(send)
    try:
        told = _read(receive)
    finally:
        os.close(receive)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    found = array("I")
    found.frombytes(told[: len(told) // found.itemsize * found.itemsize])
    return {id(codes[at]) for at in found}


def _read(pipe: int) -> bytes:
    """All that is written there, or nothing where that takes too long."""
    until, told = time.monotonic() + _CHILD_S, b""
    while select.select([pipe], [], [], max(until - time.monotonic(), 0.0))[0]:
        part = os.read(pipe, 1 << 16)
        if not part:
            return told
        told += part
    return b""
