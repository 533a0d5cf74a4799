"""An exception in one line, for the operator.

Owns: the summary of what an application raised: its type, its message, and the last place of the application that it
came through. Never: prints a traceback, or grows beyond the bound of an error.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType

from . import denied

ERROR_BYTES_MAX = 2048
_CUT = "… (cut)"
_OWN = os.path.dirname(os.path.abspath(__file__))


def cut(text: str, bytes_max: int) -> str:
    """A text of at most so many bytes, marked where it was cut; always valid UTF-8."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= bytes_max:
        return encoded.decode()
    return encoded[: bytes_max - len(_CUT.encode())].decode("utf-8", "ignore") + _CUT


def summary(error: BaseException, folder: str | None = None) -> str:
    """`ValueError: no such voice (main.py:12, in greet)`; `folder` is the application's."""
    text = denied.told(error, _headline(error) + _place(error, folder))
    return cut(text, ERROR_BYTES_MAX)


def exited(code: object) -> str:
    """What is said of code that called `sys.exit`."""
    return f"the agent called sys.exit({'' if code is None else code!r})"


def _headline(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return _headline(error.exceptions[0])
    try:
        message = error.msg if isinstance(error, SyntaxError) else str(error).strip()
    except Exception:
        message = "(its message could not be made)"
    name = type(error).__name__
    return f"{name}: {message}" if message else name


def _place(error: BaseException, folder: str | None) -> str:
    for cause in denied.causes(error):
        if isinstance(cause, SyntaxError) and cause.filename and cause.lineno and _applications(cause.filename, folder):
            return f" ({_shown(cause.filename, folder)}:{cause.lineno})"
        last = None
        for file, line, function in _frames(cause.__traceback__):
            if _applications(file, folder):
                last = (file, line, function)
        if last is not None:
            file, line, function = last
            within = "" if function == "<module>" else f", in {function}"
            return f" ({_shown(file, folder)}:{line}{within})"
    return ""


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, int, str]]:
    for frame, line in traceback.walk_tb(trace):
        yield frame.f_code.co_filename, line, frame.f_code.co_name


def _applications(file: str, folder: str | None) -> bool:
    if file.startswith("<") or "site-packages" in file or "dist-packages" in file:
        return False
    file = os.path.abspath(file)
    if folder is not None:
        return _below(file, folder) and not (_below(sys.prefix, folder) and _below(file, sys.prefix))
    return not any(_below(file, prefix) for prefix in (_OWN, sys.prefix, sys.base_prefix))


def _below(file: str, folder: str) -> bool:
    return file.startswith(folder.rstrip("/") + "/")


def _shown(file: str, folder: str | None) -> str:
    file = os.path.abspath(file)
    return os.path.relpath(file, folder) if folder is not None else os.path.basename(file)
