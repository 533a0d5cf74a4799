"""What LiveKit's SDK runs for each connection, and need not.

Owns: a folder in front of `PATH` at which the search for `lsb_release` ends. Never: hides another program, nor this one
from Python, whose `subprocess` searches on.
"""

from __future__ import annotations

import os
import tempfile

NAME = "lsb_release"


def spare() -> None:
    """Has the SDK find no `lsb_release` and read `/etc/os-release`, which says the same.

    It is a shell script that starts four more programs: about 100 ms of CPU in each connection, 15 of which a caller
    waits.
    """
    folder = os.path.join(tempfile.gettempdir(), ".openrtc-host")
    try:
        os.mkdir(folder, 0o700)
        # A link to itself: after any other error but this the search would go on in the next folder.
        os.symlink(NAME, os.path.join(folder, NAME))
    except OSError:
        return
    os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])
