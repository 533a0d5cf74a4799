"""A plain livekit-agents application whose agent speaks for long, and does what its dispatch's metadata says.

Owns: nothing of its own; `{"do": "die"}` ends its process, `{"do": "raise"}` its entrypoint, `{"do": "hang_up"}` the call;
`{"do": "ask", "room": …}` asks the server to change a room's metadata, its own by default.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal

import fake_voice
from livekit import api
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobProcess, cli
from livekit.plugins import silero

server = AgentServer()
#: A minute without a pause longer than 40 ms, on the key that it runs with.
SPEECH = "This is the desk on {key}. " + "We keep on speaking for as long as you listen. " * 30


def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = silero.VAD.load()


server.setup_fnc = prewarm


@server.rtc_session(agent_name="desk")
async def entrypoint(ctx: JobContext) -> None:
    told = json.loads(ctx.job.metadata)
    session: AgentSession[None] = AgentSession(
        stt=fake_voice.STT(),
        llm=fake_voice.LLM(),
        tts=fake_voice.TTS(),
        vad=ctx.proc.userdata["vad"],
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
    )
    await session.start(agent=Agent(instructions="You speak."), room=ctx.room)
    session.generate_reply(instructions=SPEECH)
    after_s = told.get("after", 2.0)
    match told.get("do"):
        case "die":
            asyncio.get_running_loop().call_later(after_s, os.kill, os.getpid(), signal.SIGKILL)
        case "raise":
            await asyncio.sleep(after_s)
            raise RuntimeError("the desk fell over")
        case "hang_up":
            asyncio.get_running_loop().call_later(after_s, ctx.shutdown, "said enough")
        case "ask":
            asked = api.UpdateRoomMetadataRequest(room=told.get("room", ctx.room.name), metadata="the desk was here")
            async with api.LiveKitAPI() as server:
                await server.room.update_room_metadata(asked)


if __name__ == "__main__":
    cli.run_app(server)
