"""An OpenRTC pool with one agent: run as it is by ours, and by OpenRTC in the mode that BENCH_ISOLATION names.

The detector of turns that OpenRTC prefers needs files from a model hub, and without them ends every session; there it is
Silero's word, as in ours.
"""

from __future__ import annotations

import os
from typing import Any

import offers
from openrtc import AgentPool
from openrtc.core import turn_handling
from talker import Talker

mode: Any = os.environ.get("BENCH_ISOLATION", "coroutine")
pool = AgentPool(isolation=mode, agent_name=os.environ.get("BENCH_AGENT_NAME"), port=0)
pool.add("talker", Talker)

if "BENCH_ISOLATION" in os.environ:
    offers.tell()
    turn_handling._supports_multilingual_turn_detection = lambda executor: False
if "BENCH_IDLE_PEERS" in os.environ:
    server: Any = pool._server
    server.load_fnc = server._coroutine_load_fnc = lambda: 0.0

if __name__ == "__main__":
    pool.run()
