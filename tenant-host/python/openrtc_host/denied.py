"""What a wall denied, told so that the supervisor recognises it.

Owns: finding the denied path or port in an exception and all that led to it, and the words that end a session as
`wall_denied{path}` (`supervisor/src/host/denied.rs`). Never: says that a wall denied what was merely missing.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator

_CAUSES_MAX = 64
_CONNECT = re.compile(r"Connect call failed \('(?P<host>[^']*)', (?P<port>\d+)")


def causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, then what it was raised from or while handling, groups included; each once."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _CAUSES_MAX:
        found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        if isinstance(found, BaseExceptionGroup):
            waiting.extend(found.exceptions)
        waiting.extend(cause for cause in (found.__cause__, found.__context__) if cause is not None)


def path(error: BaseException) -> str | None:
    """The absolute path whose use was denied, if that is what is behind the exception."""
    for cause in causes(error):
        if not isinstance(cause, PermissionError):
            continue
        for name in (cause.filename, cause.filename2):
            if isinstance(name, bytes):
                name = os.fsdecode(name)
            if isinstance(name, os.PathLike):
                name = os.fspath(name)
            if isinstance(name, str) and name:
                return os.path.abspath(name)
    return None


def port(error: BaseException) -> int | None:
    """The TCP port that could not be connected to for want of permission."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM):
            found = _CONNECT.search(str(cause))
            if found:
                return int(found["port"])
    return None


def remedy(error: BaseException) -> str | None:
    """What grants the path that was denied; the supervisor says it of sessions, a host of its own start."""
    denied = path(error)
    if denied is None:
        return None
    if os.path.basename(denied).startswith(".env"):
        return f"no host may read {denied}: its keys belong under [tenants.*] or [defaults.api_keys] (`config import`)"
    return f"no host may read {denied}: `[wall] read_paths = [{json.dumps(denied)}]` grants it, write_paths to write"


def told(error: BaseException, summary: str) -> str:
    """The summary, led by what was denied: the path first, for the supervisor takes the first that was not granted."""
    denied = path(error)
    if denied is not None:
        line = f"[Errno 13] Permission denied: '{denied}'"
        if summary.startswith(f"PermissionError: {line}"):
            return summary
        return f"PermissionError: {line}; it ended as {summary}"
    refused = port(error)
    if refused is not None:
        return f"{summary}; TCP port {refused} is not one that hosts may connect to: add it to `[wall] connect_ports`"
    return summary
