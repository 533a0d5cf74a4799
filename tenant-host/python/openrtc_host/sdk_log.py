"""What LiveKit's SDK logs: filtered where it is written, instead of in Python.

Owns: the switch that the SDK is started with, and the filter where nobody named one. Never: drops an error.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

#: The SDK's own variable, with which it shows its log in Python down to the last detail.
_DETAILS = "LIVEKIT_RTC_DEBUG"
#: What its Rust half reads: which lines go to standard error.
_FILTER = "RUST_LOG"
#: Without the warnings of which one follows every room that was left in order.
_USUAL = "warn,livekit_ffi::server=error"


def spare() -> None:
    """Has the SDK log to standard error by its own filter.

    It hands each line to Python else, some 1 250 of them to join one room, of which Python drops all but two: with what
    it takes to make them and to wait for the interpreter, half of the CPU time of joining.
    """
    client: Any = importlib.import_module("livekit.rtc._ffi_client")
    load = client.get_ffi_lib

    def get_ffi_lib() -> Any:
        library = load()
        library.livekit_ffi_initialize = _initialize(library.livekit_ffi_initialize)
        return library

    client.get_ffi_lib = get_ffi_lib


def _initialize(begin: Any) -> Callable[..., Any]:
    def initialize(callback: Any, capture: bool, *about: Any) -> Any:
        begin.argtypes = initialize.argtypes  # type: ignore[attr-defined]
        if os.environ.get(_DETAILS):
            return begin(callback, capture, *about)
        usual = _FILTER not in os.environ
        if usual:
            os.environ[_FILTER] = _USUAL
        try:
            return begin(callback, False, *about)
        finally:
            if usual:
                # It was read, and is not meant for what the agent starts.
                del os.environ[_FILTER]

    initialize.argtypes = begin.argtypes  # type: ignore[attr-defined]
    return initialize
