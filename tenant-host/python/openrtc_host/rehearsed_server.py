"""A script that a zygote loads, and runs sessions of, before any tenant is known: as plain as a tenant's may be."""

from __future__ import annotations

from livekit.agents import JobContext, JobProcess, WorkerOptions, cli
from rehearsed_words import NOBODY  # type: ignore[import-not-found]


def prewarm(process: JobProcess) -> None:
    process.userdata["caller"] = NOBODY


async def entrypoint(ctx: JobContext) -> None:
    ctx.shutdown()


if __name__ == "__main__":
    cli.run_app(WorkerOptions(entrypoint_fnc=entrypoint, prewarm_fnc=prewarm))
