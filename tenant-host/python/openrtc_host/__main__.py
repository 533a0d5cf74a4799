"""`python -m openrtc_host MODE …`, as the host program and the supervisor call it.

Owns: the choice of the mode. Never: imports what another mode needs.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib import metadata
from typing import NoReturn

USAGE = """\
python -m openrtc_host MODE
  zygote JSON       warm up and fork hosts; started by the supervisor
  host JSON         serve as one host; started by the supervisor
  scan …            what an application imports and asks for, without running it
  inspect …         what its hosts would have, measured
  version           of this package, of Python and of the frameworks that are there, as JSON
"""


def main(argv: list[str]) -> int:
    """Runs the mode."""
    match argv:
        case ["zygote", plan]:
            from . import zygote

            return zygote.run(plan)
        case ["host", _]:
            become_host()
        case ["scan", *arguments]:
            from . import scan

            return scan.main(arguments)
        case ["inspect", *arguments]:
            from . import inspection

            return inspection.main(arguments)
        case ["version"]:
            print(json.dumps(versions()))
            return 0
        case _:
            print(USAGE, end="", file=sys.stderr)
            return 2


def versions() -> dict[str, str | None]:
    """What the supervisor asks an interpreter before it makes hosts with it."""
    from . import _native

    return {
        "openrtc_host": _native.VERSION,
        "python": platform.python_version(),
        "livekit_agents": installed("livekit-agents"),
        "openrtc": installed("openrtc"),
    }


def installed(distribution: str) -> str | None:
    """The version of a distribution, if it is there."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def become_host() -> NoReturn:
    """Serves as a host that no zygote forked. What it serves, the supervisor tells it over the channel."""
    from . import _native, boot

    boot.run(_native.adopt_channel())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
