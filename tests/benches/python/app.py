"""What the benchmarks run in hosts: a plain livekit-agents script, told by its metadata what to do."""

from __future__ import annotations

import asyncio
import json
import logging
import time

from livekit.agents import JobContext, JobProcess, WorkerOptions, cli
from livekit.plugins import silero

from vad import infer


def prewarm(process: JobProcess) -> None:
    process.userdata["vad"] = silero.VAD.load()


async def entrypoint(ctx: JobContext) -> None:
    wanted = json.loads(ctx.job.metadata or "{}")
    if wanted.get("vad"):
        infer(ctx.proc.userdata["vad"])
        # On the clock that every process of the machine shares.
        logging.getLogger("bench").info("inferred at %d", time.monotonic_ns())
    held = bytearray(wanted.get("buffer_bytes", 0))
    # Touched, or the pages would not be there.
    held[::4096] = b"x" * len(held[::4096])
    if wanted.get("hold"):
        logging.getLogger("bench").info("holding")
        ended = asyncio.Event()

        async def end() -> None:
            ended.set()

        ctx.add_shutdown_callback(end)
        await ended.wait()
    else:
        ctx.shutdown()


if __name__ == "__main__":
    cli.run_app(WorkerOptions(entrypoint_fnc=entrypoint, prewarm_fnc=prewarm))
