"""A plain livekit-agents script that does in its `prewarm` what the peers' does: loads Silero and infers once."""

from __future__ import annotations

import logging
import time

from livekit.agents import JobContext, JobProcess, WorkerOptions, cli
from livekit.plugins import silero

from vad import infer


def prewarm(process: JobProcess) -> None:
    infer(silero.VAD.load())
    # On the clock that every process of the machine shares.
    process.userdata["inferred_at"] = time.monotonic_ns()


async def entrypoint(ctx: JobContext) -> None:
    logging.getLogger("bench").info("inferred at %d", ctx.proc.userdata["inferred_at"])
    ctx.shutdown()


if __name__ == "__main__":
    cli.run_app(WorkerOptions(entrypoint_fnc=entrypoint, prewarm_fnc=prewarm))
