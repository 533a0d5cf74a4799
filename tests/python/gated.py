"""A pool that asks for everything which would open a port, a socket or a thread, and waits before it is run.

Owns: a gate, the file `go` beside it, so that a host can be looked at before its first session. Never: opens the gate.
"""

from __future__ import annotations

import time
from pathlib import Path

import fake_voice
from livekit.agents import Agent
from openrtc import AgentPool

HERE = Path(__file__).parent


class Plain(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are plain.")


pool = AgentPool(
    agents={"gated": Plain},
    default_stt=fake_voice.STT(),
    default_llm=fake_voice.LLM(),
    default_tts=fake_voice.TTS(),
    default_greeting="Hello.",
    enable_introspection=True,
    introspection_socket_path=HERE / "top.sock",
    enable_tenant_circuit_breaker=True,
    memory_limit_mb=4000.0,
    slow_session_threshold_ms=20.0,
    port=8999,
)

while not (HERE / "go").exists():
    time.sleep(0.02)

if __name__ == "__main__":
    pool.run()
