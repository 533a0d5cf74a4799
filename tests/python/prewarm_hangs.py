"""Its prewarm never returns."""

from __future__ import annotations

import time

from livekit.agents import AgentServer, JobContext, JobProcess, cli


def prewarm(proc: JobProcess) -> None:
    while True:
        time.sleep(1)


server = AgentServer(setup_fnc=prewarm)


@server.rtc_session(agent_name="prewarm-hangs")
async def entrypoint(ctx: JobContext) -> None:
    await ctx.connect()


if __name__ == "__main__":
    cli.run_app(server)
