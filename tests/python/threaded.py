"""Starts a thread at import: nothing may be forked from a process that has it."""

from __future__ import annotations

import threading

import fake_voice
from livekit.agents import Agent
from openrtc import AgentPool

threading.Thread(target=threading.Event().wait, name="metrics-flusher", daemon=True).start()


class Plain(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are plain.")


pool = AgentPool(
    agents={"threads": Plain},
    default_stt=fake_voice.STT(),
    default_llm=fake_voice.LLM(),
    default_tts=fake_voice.TTS(),
)

if __name__ == "__main__":
    pool.run()
