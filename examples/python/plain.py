"""The same without OpenRTC: one agent, in a plain livekit-agents script.

Nothing in it knows of a supervisor. `python plain.py dev` runs it against a LiveKit server;
`openrtc-supervisor run plain.py` runs it behind walls, one host per tenant.
"""

from __future__ import annotations

import logging

import fake_voice
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobProcess, cli
from livekit.plugins import silero

log = logging.getLogger("agency")
server = AgentServer()


def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = silero.VAD.load()


server.setup_fnc = prewarm


@server.rtc_session(agent_name="reception")
async def entrypoint(ctx: JobContext) -> None:
    session: AgentSession[None] = AgentSession(
        stt=fake_voice.STT(),
        llm=fake_voice.LLM(),
        tts=fake_voice.TTS(),
        vad=ctx.proc.userdata["vad"],
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
    )
    await session.start(agent=Agent(instructions="You put callers through."), room=ctx.room)
    await ctx.connect()
    log.info("session in room %s", ctx.room.name)
    await session.generate_reply(instructions="Hello, this is the reception on {key}.")


if __name__ == "__main__":
    cli.run_app(server)
