"""What a fork costs: real zygotes of two sizes, with and without huge pages, asked in turns.

`forks.py ROUNDS` prints one JSON object a line, one for each zygote: its memory, and for each round the milliseconds
from the request to the answer (the host is a process), to the host's first byte from Python, and until it is gone.
"""

from __future__ import annotations

import array
import json
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FORK = (1).to_bytes(4, "little") + bytes(4)
READY = (2).to_bytes(4, "little")
FORKED = (3).to_bytes(4, "little")
PRELOAD = ["livekit.agents", "livekit.plugins.silero"]
WARM_UP = 3


def zygote(collapsed: bool) -> None:
    """Becomes warm as the product's does, and forks."""
    import gc

    from openrtc_host import _native, packing, threads
    from openrtc_host import zygote as ours

    ours.warm({"target": {"script": __file__}, "preload": PRELOAD, "load_app": "host"})
    threads.require_one()
    if collapsed:
        ours.share_memory()
    else:
        gc.collect()
        gc.disable()
        packing.fill_pools()
        gc.freeze()
    if _native.serve_forks() is not None:
        os.write(1, b"x")
        os._exit(0)


class Zygote:
    """One of them, and what it took."""

    def __init__(self, image: str, collapsed: bool) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {
            **{name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")},
            "ORT_DISABLE_TELEMETRY": "1",
            "PATH": os.environ["PATH"],
            "LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE": "1" if image == "large" else "0",
        }
        os.dup2(theirs.fileno(), 3, inheritable=True)
        arguments = [sys.executable, "-B", __file__, "zygote", "collapsed" if collapsed else "plain"]
        self.process = subprocess.Popen(arguments, env=environment, pass_fds=(3,))
        os.dup2(0, 3)  # kept, or the next descriptor would be 3
        theirs.close()
        if ours.recv(4096)[:4] != READY:
            raise SystemExit("the zygote did not become warm")
        self.socket, self.image, self.collapsed = ours, image, collapsed
        self.took: dict[str, list[float]] = {"forked_ms": [], "byte_ms": [], "gone_ms": []}

    def fork(self, counts: bool) -> None:
        channel, far = socket.socketpair()
        reader, writer = os.pipe()
        fds = array.array("i", [far.fileno(), writer, writer])
        began = time.perf_counter()
        self.socket.sendmsg([FORK], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        answer, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(4))
        forked = time.perf_counter()
        if answer[:4] != FORKED:
            raise SystemExit(f"the zygote did not fork: {answer!r}")
        os.close(writer)
        far.close()
        if os.read(reader, 1) != b"x":
            raise SystemExit("the host said nothing")
        spoke = time.perf_counter()
        os.waitid(os.P_PID, int.from_bytes(answer[4:8], "little"), os.WEXITED | 0x40000000)  # __WALL: no SIGCHLD
        gone = time.perf_counter()
        for fd in (reader, int.from_bytes(ancillary[0][2][:4], sys.byteorder)):
            os.close(fd)
        channel.close()
        if counts:
            for name, at in (("forked_ms", forked), ("byte_ms", spoke), ("gone_ms", gone)):
                self.took[name].append((at - began) * 1000)

    def told(self) -> dict[str, Any]:
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()[1:]
        memory = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        huge = memory["AnonHugePages"]
        return {"rss_kb": memory["Rss"], "anonymous_kb": memory["Anonymous"], "huge_kb": huge, **self.took}


def main(rounds: int) -> None:
    os.dup2(0, 3)
    zygotes = [Zygote(image, collapsed) for image in ("small", "large") for collapsed in (False, True)]
    for number in range(WARM_UP + rounds):
        for one in random.sample(zygotes, len(zygotes)):
            one.fork(number >= WARM_UP)
    for one in zygotes:
        print(json.dumps(one.told()))
        one.socket.close()
        one.process.wait()


if __name__ == "__main__":
    if sys.argv[1] == "zygote":
        zygote(sys.argv[2] == "collapsed")
    else:
        main(int(sys.argv[1]))
