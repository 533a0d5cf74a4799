"""The same agent in a plain livekit-agents worker, with the defaults of its `start`."""

from __future__ import annotations

import os

import offers
from livekit.agents import AgentServer, AgentSession, JobContext, JobProcess, cli
from livekit.plugins import silero
from talker import Talker

offers.tell()
server = AgentServer(port=0)


def prewarm(process: JobProcess) -> None:
    process.userdata["vad"] = silero.VAD.load()


server.setup_fnc = prewarm
if "BENCH_IDLE_PEERS" in os.environ:
    server.load_fnc = lambda: 0.0


@server.rtc_session(agent_name=os.environ.get("BENCH_AGENT_NAME", "plain"))
async def entrypoint(ctx: JobContext) -> None:
    session: AgentSession[None] = AgentSession(
        vad=ctx.proc.userdata["vad"],
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
    )
    # In the order of OpenRTC's own entrypoint.
    await ctx.connect()
    await session.start(agent=Talker(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
