"""`python -m openrtc_host MODE …`, as the host program and the supervisor call it.

Owns: the choice of the mode. Never: imports what another mode needs.
"""

from __future__ import annotations

import sys
from typing import NoReturn

USAGE = """\
python -m openrtc_host MODE
  zygote JSON       warm up and fork hosts; started by the supervisor
  host JSON         serve as one host; started by the supervisor
  scan …            what an application imports and asks for, without running it
  inspect …         what its hosts would have, measured
  version           of this package, its protocol, the interpreter and the frameworks, as JSON
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
            import json

            from . import _native, scan

            print(json.dumps({**scan.version_report(), "protocol": _native.PROTOCOL}))
            return 0
        case _:
            print(USAGE, end="", file=sys.stderr)
            return 2


def become_host() -> NoReturn:
    """Serves as a host that no zygote forked. What it serves, the supervisor tells it over the channel."""
    from . import _native, boot

    boot.run(_native.adopt_channel())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
