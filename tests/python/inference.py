"""A plain script whose provider strings mean LiveKit Inference: they need a tenant's own Inference key."""

from __future__ import annotations

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli

server = AgentServer()


@server.rtc_session(agent_name="inference")
async def entrypoint(ctx: JobContext) -> None:
    session: AgentSession[None] = AgentSession(llm="openai/gpt-4o")
    await session.start(agent=Agent(instructions="You infer."), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
