"""The agent of every worker here: it speaks for seven seconds as soon as it is in the call.

Owns: what it says, and the voices that need no key. Never: knows which worker it is in.
"""

from __future__ import annotations

import fake_voice
from livekit.agents import Agent

#: Without a pause longer than 40 ms.
SPEECH = "We keep on speaking for as long as you listen. " * 5


class Talker(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You speak.", stt=fake_voice.STT(), llm=fake_voice.LLM(), tts=fake_voice.TTS())

    async def on_enter(self) -> None:
        self.session.say(SPEECH, allow_interruptions=False)
