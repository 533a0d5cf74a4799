"""What an agent may ask of the tenant host that runs it.

Owns: the public names of the package. Never: imports a framework, or anything else that is slow, by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openrtc_host._native import PROTOCOL, VERSION

if TYPE_CHECKING:
    from openrtc_host.context import agent_config

__version__ = VERSION
__all__ = ["PROTOCOL", "VERSION", "__version__", "agent_config"]


def __getattr__(name: str) -> Any:
    if name == "agent_config":
        from openrtc_host.context import agent_config

        return agent_config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
