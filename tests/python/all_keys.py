"""A pool whose `tenant_config` holds every tenant's key: refused, for each host would hold them all."""

from __future__ import annotations

import fake_voice
from livekit.agents import Agent
from openrtc import AgentPool

pool = AgentPool(
    agents={"support": Agent},
    default_stt=fake_voice.STT(),
    default_llm=fake_voice.LLM(),
    default_tts=fake_voice.TTS(),
    tenant_config={
        "acme-corp": {"llm": fake_voice.LLM(api_key="canary-acme")},
        "globex": {"llm": fake_voice.LLM(api_key="canary-globex")},
    },
)

if __name__ == "__main__":
    pool.run()
