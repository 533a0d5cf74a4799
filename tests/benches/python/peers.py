"""The same work in the peers' own processes, asked for line by line, so that one run can be interleaved with ours.

Reads `MODE` on standard input and answers each line with one of JSON. MODE: `spawn` and `forkserver` time a job process of
livekit-agents until it is initialized (its prewarm loads Silero and infers once) and tell its private memory;
`coroutine N BYTES` and `process N BYTES` hold N sessions with a buffer each in OpenRTC's coroutine pool or livekit-agents'
process pool and tell the memory (PSS) of the whole tree.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

from livekit.agents import JobContext, JobExecutorType, JobProcess
from livekit.agents.ipc import job_proc_executor, proc_pool
from livekit.agents.job import JobAcceptArguments, RunningJobInfo
from livekit.plugins import silero
from livekit.protocol import agent, models
from openrtc.runtime.coroutine_runtime import CoroutinePool
from vad import infer


def prewarm(process: JobProcess) -> None:
    process.userdata["vad"] = silero.VAD.load()
    infer(process.userdata["vad"])


async def hold(ctx: JobContext) -> None:
    held = bytearray(int(ctx.job.metadata))
    held[::4096] = b"x" * len(held[::4096])
    ended = asyncio.Event()

    async def end() -> None:
        ended.set()

    ctx.add_shutdown_callback(end)
    await ended.wait()


def context(method: str) -> Any:
    made = multiprocessing.get_context(method)
    if method == "forkserver":
        made.set_forkserver_preload(
            ["livekit.plugins.silero", "vad", "livekit.agents.ipc._preload", "livekit.agents.ipc._preload_freeze"]
        )
    return made


def smaps(pid: int) -> dict[str, int]:
    """Kilobytes by name, of one process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}


def tree(pid: int) -> list[int]:
    children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return [pid, *(below for child in children for below in tree(int(child)))]


async def job_process(method: str, made: dict[str, Any]) -> dict[str, float]:
    options: dict[str, Any] = {
        "initialize_process_fnc": prewarm,
        "job_entrypoint_fnc": hold,
        "session_end_fnc": None,
        "simulation_end_fnc": None,
        "inference_executor": None,
        "initialize_timeout": 60,
        "close_timeout": 10,
        "session_end_timeout": 10,
        "memory_warn_mb": 0,
        "memory_limit_mb": 0,
        "ping_interval": 60,
        "ping_timeout": 60,
        "high_ping_threshold": 60,
        "http_proxy": None,
        "loop": asyncio.get_running_loop(),
    }
    executor = job_proc_executor.ProcJobExecutor(mp_ctx=made[method], **options)
    begun = time.perf_counter()
    await executor.start()
    await executor.initialize()
    took = time.perf_counter() - begun
    memory = smaps(executor.pid or 0)
    await executor.aclose()
    return {"ms": took * 1000, "private_kb": memory["Private_Dirty"], "pss_kb": memory["Pss"]}


async def sessions(mode: str, count: int, buffer_bytes: int, made: dict[str, Any]) -> dict[str, float]:
    options: dict[str, Any] = {
        "initialize_process_fnc": prewarm,
        "job_entrypoint_fnc": hold,
        "session_end_fnc": None,
        "simulation_end_fnc": None,
        "num_idle_processes": 0,
        "initialize_timeout": 60,
        "close_timeout": 10,
        "session_end_timeout": 10,
        "inference_executor": None,
        "job_executor_type": JobExecutorType.PROCESS,
        "memory_warn_mb": 0,
        "memory_limit_mb": 0,
        "http_proxy": None,
        "loop": asyncio.get_running_loop(),
    }
    if mode == "coroutine":
        pool: Any = CoroutinePool(mp_ctx=made["forkserver"], max_concurrent_sessions=count, **options)
    else:
        pool = proc_pool.ProcPool(mp_ctx=made["spawn"], **options)
    await pool.start()
    for number in range(count):
        job = agent.Job(id=f"j{number}", room=models.Room(name=f"r{number}"), metadata=str(buffer_bytes))
        accept = JobAcceptArguments(name="", identity=f"agent-{number}", metadata="")
        await pool.launch_job(
            RunningJobInfo(accept_arguments=accept, job=job, url="", token="", worker_id="w", fake_job=True)
        )
    await asyncio.sleep(1)
    pids = [os.getpid()] if mode == "coroutine" else tree(os.getpid())
    pss = sum(smaps(pid)["Pss"] for pid in pids)
    await pool.aclose()
    return {"pss_kb": pss, "processes": len(pids)}


async def serve() -> None:
    made = {method: context(method) for method in ("spawn", "forkserver")}
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        mode, *numbers = line.split()
        if mode in made:
            answer = await job_process(mode, made)
        else:
            answer = await sessions(mode, int(numbers[0]), int(numbers[1]), made)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
