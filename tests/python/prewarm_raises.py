"""Its prewarm raises."""

from __future__ import annotations

from livekit.agents import AgentServer, JobContext, JobProcess, cli


def prewarm(proc: JobProcess) -> None:
    raise LookupError("no model: 4711")


server = AgentServer(setup_fnc=prewarm)


@server.rtc_session(agent_name="prewarm-raises")
async def entrypoint(ctx: JobContext) -> None:
    await ctx.connect()


if __name__ == "__main__":
    cli.run_app(server)
