"""Loads the `.env` beside it first of all, as OpenRTC's own example does; python-dotenv raises where it cannot."""

from __future__ import annotations

import fake_voice
from dotenv import load_dotenv
from livekit.agents import Agent
from openrtc import AgentPool

load_dotenv()


class Plain(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are plain.")


pool = AgentPool(
    agents={"dotenv": Plain},
    default_stt=fake_voice.STT(),
    default_llm=fake_voice.LLM(),
    default_tts=fake_voice.TTS(),
)

if __name__ == "__main__":
    pool.run()
