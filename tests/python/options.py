"""A plain livekit-agents script of the older kind: `WorkerOptions`, an entrypoint and a prewarm function.

Also the application by attribute: `options:entrypoint` is an `async def`, `options:options` are WorkerOptions.
"""

from __future__ import annotations

import logging

import fake_voice
from livekit.agents import Agent, AgentSession, JobContext, JobProcess, WorkerOptions, cli
from livekit.plugins import silero

log = logging.getLogger("options")


def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = silero.VAD.load()
    log.warning("prewarmed")


async def entrypoint(ctx: JobContext) -> None:
    await ctx.connect()
    session: AgentSession[None] = AgentSession(
        stt=fake_voice.STT(),
        llm=fake_voice.LLM(),
        tts=fake_voice.TTS(),
        vad=ctx.proc.userdata.get("vad") or silero.VAD.load(),
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
    )

    async def left() -> None:
        log.warning("shut down")

    ctx.add_shutdown_callback(left)
    await session.start(agent=Agent(instructions="You are plain."), room=ctx.room)
    await session.generate_reply(instructions=f"Hello in {ctx.room.name} on {{key}}.")


options = WorkerOptions(entrypoint_fnc=entrypoint, prewarm_fnc=prewarm, agent_name="options")

if __name__ == "__main__":
    cli.run_app(options)
