"""A call that lasts: an `AgentSession` with voices that need no key, Silero and the framework's own end-of-turn model.

The same in a host of ours and in a job process of livekit-agents; both hear the recording once, in real time, and then
silence.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import fake_voice
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobProcess, cli
from livekit.plugins import silero
from openrtc_host.recording import RecordingInput, SpokenOutput

server = AgentServer()


def prewarm(process: JobProcess) -> None:
    process.userdata["vad"] = silero.VAD.load()


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    session: AgentSession[None] = AgentSession(
        stt=fake_voice.STT(), llm=fake_voice.LLM(), tts=fake_voice.TTS(), vad=ctx.proc.userdata["vad"]
    )
    line = RecordingInput(os.open(Path(__file__).with_name("call.wav"), os.O_RDONLY))
    session.input.audio = line
    session.output.audio = SpokenOutput()
    await session.start(agent=Agent(instructions="Hello."), room=ctx.room)
    await session.generate_reply(instructions="Hello.")
    line.begin()
    ended = asyncio.Event()

    async def end() -> None:
        ended.set()

    ctx.add_shutdown_callback(end)
    await ended.wait()


if __name__ == "__main__":
    cli.run_app(server)
