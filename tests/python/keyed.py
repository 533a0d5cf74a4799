"""A script that builds an object which must have a key, at import, as `openai.STT()` at the top of a script does."""

from __future__ import annotations

from livekit.agents import Agent
from livekit.plugins import openai
from openrtc import AgentPool


class Plain(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are plain.")


pool = AgentPool(
    agents={"keyed": Plain},
    default_stt=openai.STT(),
    default_llm=openai.LLM(model="gpt-4o-mini"),
    default_tts=openai.TTS(),
)

if __name__ == "__main__":
    pool.run()
