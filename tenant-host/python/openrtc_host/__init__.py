"""What an agent may ask of the tenant host that runs it.

Owns: the public names of the package. Never: imports a framework, or anything else that is slow, by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openrtc_host._native import PROTOCOL, VERSION

if TYPE_CHECKING:
    from openrtc_host.context import SessionContext, agent_config, current_session

__version__ = VERSION
__all__ = ["PROTOCOL", "VERSION", "SessionContext", "__version__", "agent_config", "current_session"]


def __getattr__(name: str) -> Any:
    if name in ("SessionContext", "agent_config", "current_session"):
        from openrtc_host import context

        return getattr(context, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
