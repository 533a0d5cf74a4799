"""A small OpenRTC agency: two agents, one process, no key and no server.

Nothing in it knows of a supervisor. `python main.py dev` runs it as OpenRTC does, against a LiveKit server;
`openrtc-supervisor run main.py` runs it behind walls, one host per tenant.
"""

from __future__ import annotations

import logging

import fake_voice
from livekit.agents import Agent
from openrtc import AgentPool
from openrtc.context import current_agent_name, current_session_id, current_tenant_id

log = logging.getLogger("agency")


class AgencyAgent(Agent):
    async def on_enter(self) -> None:
        log.info("session %s of %s with %s", current_session_id(), current_tenant_id(), current_agent_name())


class Support(AgencyAgent):
    def __init__(self) -> None:
        super().__init__(instructions="You help the customers with their orders.")


class Energy(AgencyAgent):
    def __init__(self) -> None:
        super().__init__(instructions="You take the reading of the customer's meter.")


# As `openai.STT()` would: each reads the key of the process that it is built in.
pool = AgentPool(
    default_stt=fake_voice.STT(),
    default_llm=fake_voice.LLM(),
    default_tts=fake_voice.TTS(),
    default_greeting="Hello, this is support on {key}.",
)
pool.add("support", Support)
pool.add("energy", Energy, greeting="Hello, your meter please, on {key}.")

if __name__ == "__main__":
    pool.run()
