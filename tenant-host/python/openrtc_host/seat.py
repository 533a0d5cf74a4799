"""Where a session sits: in the frameworks' mock room, or in a room of a LiveKit server.

Owns: one constructor for each kind of room, and the job with the supervisor's tenant in it. Never: joins the room, or
reads a tenant.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from openrtc_host import call
from openrtc_host.closing import CLOSE_S, Closing
from openrtc_host.mock import MockRoom
from openrtc_host.seams import SessionTask
from openrtc_host.stamp import stamped


@dataclasses.dataclass
class Seat:
    """The room, and how its job is described."""

    job: Any
    room: Any
    url: str = ""
    token: str = dataclasses.field(default="", repr=False)
    identity: str | None = None
    """What the server was told that the agent is called; `None` in a mock room."""

    @property
    def fake(self) -> bool:
        """Whether there is nobody to talk to."""
        return self.identity is None

    @classmethod
    def of(cls, session: SessionTask, agent_config: Mapping[str, Any], agent_name: str) -> Seat:
        """The seat of a session."""
        if session.call is None:
            return cls.in_mock_room(session, agent_config, agent_name)
        return cls.in_call(session, session.call, agent_config)

    @classmethod
    def in_mock_room(cls, session: SessionTask, agent_config: Mapping[str, Any], agent_name: str) -> Seat:
        """In the frameworks' mock room, as their own simulated jobs."""
        from livekit.protocol import agent, models

        info = session.info
        job_text, room_text = stamped(session.job_metadata, session.room_metadata, info["tenant"], agent_config)
        job = agent.Job(
            id=info["job_id"],
            room=models.Room(sid=f"RM_{info['job_id']}", name=info["room_name"], metadata=room_text),
            type=agent.JobType.JT_ROOM,
            metadata=job_text,
            agent_name=agent_name,
        )
        return cls(job=job, room=MockRoom(info["room_name"], room_text))

    @classmethod
    def in_call(cls, session: SessionTask, given: Mapping[str, Any], agent_config: Mapping[str, Any]) -> Seat:
        """In a room of a LiveKit server, on the server's own job."""
        from livekit.protocol import agent

        tenant: str = session.info["tenant"]
        job = agent.Job()
        job.ParseFromString(bytes(given["job"]))
        job.metadata, job.room.metadata = stamped(job.metadata, job.room.metadata, tenant, agent_config)
        if "tenant" in job.attributes:
            job.attributes["tenant"] = tenant
        call.enter(given["url"], given["grants"])
        room = call.CallRoom(job.room.name, tenant)
        return cls(job=job, room=room, url=given["url"], token=given["token"], identity=given["identity"])


async def introduce(room: Any, asked: Any) -> None:
    """Calls the agent what the script's `request_fnc` wants; the server was answered before it was asked."""
    me, closing = room.local_participant, Closing()
    if asked.name:
        await closing.step("set the agent's name", me.set_name(asked.name), CLOSE_S)
    if asked.metadata:
        await closing.step("set the agent's metadata", me.set_metadata(asked.metadata), CLOSE_S)
    if asked.attributes:
        await closing.step("set the agent's attributes", me.set_attributes(asked.attributes), CLOSE_S)
