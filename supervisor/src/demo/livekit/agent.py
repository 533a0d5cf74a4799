"""The demo's agent: greets its caller, and answers at length once it has been spoken to. It needs no key.

Owns: nothing of its own; `{"crash_after_s": 9}` in the metadata of its dispatch crashes its process, as a fault in a
native library would.
"""

from __future__ import annotations

import asyncio
import ctypes
import json

import fake_voice
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, llm

server = AgentServer()
#: A minute without a pause longer than 40 ms.
ACCOUNT = " ".join(["We look after your order for as long as you listen and we do not stop for anybody else."] * 14)


class LLM(fake_voice.LLM):
    def answer(self, asked: list[llm.ChatMessage]) -> str:
        said = super().answer(asked)
        return f"{said} {ACCOUNT}" if asked and asked[-1].role == "user" else said


@server.rtc_session(agent_name="support")
async def entrypoint(ctx: JobContext) -> None:
    told = json.loads(ctx.job.metadata)
    session: AgentSession[None] = AgentSession(
        stt=fake_voice.STT(), llm=LLM(), tts=fake_voice.TTS(), turn_handling={"turn_detection": "stt"}
    )
    await session.start(agent=Agent(instructions="You help."), room=ctx.room)
    session.generate_reply(instructions=f"Hello, this is {told['tenant']}.")
    if "crash_after_s" in told:
        asyncio.get_running_loop().call_later(told["crash_after_s"], ctypes.string_at, 0)


if __name__ == "__main__":
    cli.run_app(server)
