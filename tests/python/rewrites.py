"""Takes memory in the two ways that a look at the host's resident set misses.

Loaded in the zygote, which alone can read where its memory lies: a host cannot, and has it at the same addresses.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys

import fake_voice
from livekit.agents import Agent
from openrtc import AgentPool

PAGE = os.sysconf("SC_PAGE_SIZE")


def areas() -> list[tuple[int, int]]:
    """Where this process has memory of its own."""
    found = []
    with open("/proc/self/maps") as maps:
        for line in maps:
            words = line.split()
            if words[1].startswith("rw") and (len(words) < 6 or words[5] == "[heap]"):
                start, end = (int(bound, 16) for bound in words[0].split("-"))
                found.append((start, end))
    return found


AREAS = areas()


class Rewrites(Agent):
    """Rewrites every page that it inherited, with what stands there."""

    def __init__(self) -> None:
        super().__init__(instructions="You rewrite.")

    async def on_enter(self) -> None:
        for start, end in AREAS:
            for page in range(start, end, PAGE):
                byte = ctypes.c_ubyte.from_address(page)
                byte.value = byte.value
        await asyncio.Event().wait()


class Fathers(Agent):
    """Has a program that holds 200 MB, and itself holds nothing."""

    def __init__(self) -> None:
        super().__init__(instructions="You have a child.")

    async def on_enter(self) -> None:
        script = "import sys; held = bytearray(b'x') * (200 << 20); sys.stdin.read()"
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", script, stdin=asyncio.subprocess.PIPE
        )
        await child.wait()


pool = AgentPool(
    agents={"rewrites": Rewrites, "fathers": Fathers},
    default_stt=fake_voice.STT(),
    default_llm=fake_voice.LLM(),
    default_tts=fake_voice.TTS(),
)

if __name__ == "__main__":
    pool.run()
