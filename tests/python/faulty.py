"""An OpenRTC pool in which each agent is named after the one thing that it does wrong.

Owns: faults of a session, one an agent. Never: a fault at import; those are scripts of their own.
"""

from __future__ import annotations

import ctypes
import logging
import os
import random
import socket
import sys
import time

import fake_voice
import numpy as np
from livekit.agents import Agent
from openrtc import AgentPool

log = logging.getLogger("faulty")


class Faulty(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You do it wrong.")


class Fine(Faulty):
    """Does nothing wrong, for the sessions beside the others."""


class Unbuildable(Faulty):
    """The entrypoint crashes: OpenRTC builds the agent in it."""

    def __init__(self) -> None:
        raise LookupError("no such customer: 4711")


class Raises(Faulty):
    async def on_enter(self) -> None:
        raise LookupError("on_enter broke: 4711")


class Exits(Faulty):
    async def on_enter(self) -> None:
        sys.exit(3)


class ExitsAtOnce(Faulty):
    async def on_enter(self) -> None:
        os._exit(4)


class Segfaults(Faulty):
    async def on_enter(self) -> None:
        ctypes.string_at(8)


class Blocks(Faulty):
    """Blocks the one loop for good."""

    async def on_enter(self) -> None:
        while True:
            time.sleep(1)


class Stutters(Faulty):
    """Blocks the loop for 300 ms, once."""

    async def on_enter(self) -> None:
        time.sleep(0.3)


class Hoards(Faulty):
    """Takes memory until it is stopped."""

    async def on_enter(self) -> None:
        hoard = []
        while True:
            hoard.append(bytearray(os.urandom(1 << 16) * 256))


class Dirties(Faulty):
    """Rewrites every page that it inherited: the interpreter's, the frameworks', the models'."""

    async def on_enter(self) -> None:
        with open("/proc/self/maps") as maps:
            areas = [line.split() for line in maps]
        for area in areas:
            if area[1].startswith("rw") and (len(area) < 6 or area[5] == "[heap]"):
                start, end = (int(bound, 16) for bound in area[0].split("-"))
                for page in range(start, end, 4096):
                    byte = ctypes.c_ubyte.from_address(page)
                    byte.value = byte.value
        log.warning("dirtied")


class Reads(Faulty):
    """Reads a file that no wall grants."""

    async def on_enter(self) -> None:
        with open("/var/log/dpkg.log") as file:
            file.read(1)


class ReadsDotenv(Faulty):
    """Reads the `.env` beside the script."""

    async def on_enter(self) -> None:
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".env")) as file:
            file.read()


class Tells(Faulty):
    """Tells its environment, on the log and on standard output."""

    async def on_enter(self) -> None:
        for name, value in sorted(os.environ.items()):
            log.warning("env %s=%s", name, value)
            print(f"out {name}={value}", flush=True)


class Counts(Faulty):
    """Tells its threads, its sockets and its next random numbers."""

    async def on_enter(self) -> None:
        log.warning("threads %s", " ".join(sorted(_thread(task) for task in os.listdir("/proc/self/task"))))
        links = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if _stands(name)]
        log.warning("sockets %d", sum(link.startswith("socket:") for link in links))
        log.warning("random %d %d", random.getrandbits(62), int(np.random.randint(1 << 62, dtype=np.int64)))


class Listens(Faulty):
    """Opens what a host may not: a socket of the file system."""

    async def on_enter(self) -> None:
        socket.socket(socket.AF_UNIX)


def _thread(task: str) -> str:
    with open(f"/proc/self/task/{task}/comm") as comm:
        return comm.read().strip()


def _stands(name: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{name}")


pool = AgentPool(
    agents={
        "fine": Fine,
        "unbuildable": Unbuildable,
        "raises": Raises,
        "exits": Exits,
        "exits-at-once": ExitsAtOnce,
        "segfaults": Segfaults,
        "blocks": Blocks,
        "stutters": Stutters,
        "hoards": Hoards,
        "dirties": Dirties,
        "reads": Reads,
        "reads-dotenv": ReadsDotenv,
        "tells": Tells,
        "counts": Counts,
        "listens": Listens,
    },
    default_stt=fake_voice.STT(),
    default_llm=fake_voice.LLM(),
    default_tts=fake_voice.TTS(),
    default_greeting="Hello.",
)

if __name__ == "__main__":
    pool.run()
