"""An OpenRTC pool in which each agent is named after the one thing that it does wrong.

Owns: faults of a session, one an agent. Never: a fault at import; those are scripts of their own.
"""

from __future__ import annotations

import asyncio
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
    """Does nothing wrong, and says hello."""


class Waits(Faulty):
    """Does nothing wrong, for as long as it is let."""

    async def on_enter(self) -> None:
        await asyncio.Event().wait()


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
        print("the licence is over: 4711", file=sys.stderr, flush=True)
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
    """Blocks the loop for 300 ms, once, and then waits."""

    async def on_enter(self) -> None:
        await asyncio.sleep(0.3)
        time.sleep(0.3)
        await asyncio.Event().wait()


class Hoards(Faulty):
    """Takes memory until it is stopped."""

    async def on_enter(self) -> None:
        hoard = []
        while True:
            hoard.append(bytearray(os.urandom(1 << 16) * 256))


class Reads(Faulty):
    """Reads a file that no wall grants."""

    async def on_enter(self) -> None:
        with open(os.environ["OUTSIDE"]) as file:
            file.read(1)


class ReadsDeep(Faulty):
    """The same within a library that has an error of its own for it."""

    async def on_enter(self) -> None:
        try:
            with open(os.environ["OUTSIDE"]) as file:
                file.read(1)
        except OSError as error:
            raise RuntimeError("the voice model is broken") from error


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


class Draws(Faulty):
    """Tells its next random numbers."""

    async def on_enter(self) -> None:
        drawn = random.getrandbits(62), int(np.random.randint(1 << 62, dtype=np.int64))
        log.warning("drew %d and %d", *drawn)


class Listens(Faulty):
    """Opens what a host may not: a socket of the file system."""

    async def on_enter(self) -> None:
        socket.socket(socket.AF_UNIX)


pool = AgentPool(
    agents={
        "fine": Fine,
        "waits": Waits,
        "unbuildable": Unbuildable,
        "raises": Raises,
        "exits": Exits,
        "exits-at-once": ExitsAtOnce,
        "segfaults": Segfaults,
        "blocks": Blocks,
        "stutters": Stutters,
        "hoards": Hoards,
        "reads": Reads,
        "reads-deep": ReadsDeep,
        "reads-dotenv": ReadsDotenv,
        "tells": Tells,
        "draws": Draws,
        "listens": Listens,
    },
    default_stt=fake_voice.STT(),
    default_llm=fake_voice.LLM(),
    default_tts=fake_voice.TTS(),
    default_greeting="Hello.",
)

if __name__ == "__main__":
    pool.run()
