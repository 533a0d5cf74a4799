"""Cannot be loaded with a real key, and says which in its error."""

from __future__ import annotations

import os

import fake_voice
from livekit.agents import Agent
from openrtc import AgentPool

key = os.environ["OPENAI_API_KEY"]
if "canary" in key:
    raise ValueError(f"the key {key} is not mine")


class Plain(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are plain.")


pool = AgentPool(
    agents={"tells": Plain},
    default_stt=fake_voice.STT(),
    default_llm=fake_voice.LLM(),
    default_tts=fake_voice.TTS(),
)

if __name__ == "__main__":
    pool.run()
