"""A dispatch's metadata as agents' code may read it: the original texts, with the supervisor's tenant in them.

Owns: the overwriting of `tenant` and the place of `agent_config`. Never: reads a tenant (decision H3).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any


def stamped(job_metadata: str, room_metadata: str, tenant: str, agent_config: Mapping[str, Any]) -> tuple[str, str]:
    """Both texts with the supervisor's tenant in them, and `agent_config` in the job's. A text that is no JSON object
    is left alone: what cannot be stamped is never read."""
    job = as_object(job_metadata) if job_metadata.strip() else {}
    if job is not None:
        stamp = {"tenant": tenant} | ({"agent_config": dict(agent_config)} if agent_config else {})
        if any(job.get(name) != value for name, value in stamp.items()):
            job_metadata = json.dumps(job | stamp, ensure_ascii=False)
    room = as_object(room_metadata)
    if room and "tenant" in room and room["tenant"] != tenant:
        room_metadata = json.dumps(room | {"tenant": tenant}, ensure_ascii=False)
    return job_metadata, room_metadata


def as_object(text: str) -> dict[str, Any] | None:
    """The JSON object in a text, as OpenRTC gives it to routers; `None` for anything else."""
    with contextlib.suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, dict):
            return found
    return None
