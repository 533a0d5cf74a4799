"""The versions of the frameworks that were checked, and the refusal of others.

Owns: the ranges. Never: imports a framework.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import sys
from collections.abc import Mapping

#: Package → (first version checked, first version not checked).
SUPPORTED: Mapping[str, tuple[str, str]] = {"openrtc": ("0.20", "0.21"), "livekit-agents": ("1.8", "1.9")}


class UnsupportedVersion(RuntimeError):
    """A framework is missing, or of a version that was not checked."""

    step = "configure"


def _release(version: str) -> tuple[int, int]:
    parts = version.split(".")
    return int(parts[0]), int("".join(c for c in (parts[1] if len(parts) > 1 else "0") if c.isdigit()) or "0")


@functools.cache
def has_openrtc() -> bool:
    """Whether OpenRTC is installed beside livekit-agents."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return bool(importlib.metadata.version("openrtc"))
    return False


@functools.cache
def check_versions() -> dict[str, str]:
    """The versions found, by package; raises when one was not checked. OpenRTC may be absent."""
    found: dict[str, str] = {}
    for package, (first, beyond) in SUPPORTED.items():
        wanted = f"{package}>={first},<{beyond}"
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            if package == "openrtc":
                continue
            raise UnsupportedVersion(
                f"{package} is not installed for {sys.executable}, and {wanted} is needed: pip install '{wanted}'"
            ) from None
        if not _release(first) <= _release(found[package]) < _release(beyond):
            raise UnsupportedVersion(
                f"{package} {found[package]} is installed for {sys.executable}, and {wanted} is needed: "
                f"pip install '{wanted}'"
            )
    return found
