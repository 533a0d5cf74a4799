"""The same work in the peers' own processes, asked for line by line, so that one run can be interleaved with ours.

Reads `MODE` on standard input and answers each line with one of JSON. MODE: `spawn` and `forkserver` time a job process
of livekit-agents until it is initialized (its prewarm loads Silero and infers once) and tell its private memory;
`voice` holds the call of `voice.py` in such a process of the forkserver for SECONDS and tells its memory.
`coroutine N BYTES` and `process N BYTES` hold N sessions with a buffer each in OpenRTC's coroutine pool or
livekit-agents' process pool and tell the memory (PSS) of the whole tree; `warm N BYTES` is the coroutine pool after
livekit-agents' own warm-up (`ipc._preload`: native library, VAD and end-of-turn weights), which a zygote of ours has
had too.
"""

from __future__ import annotations

import asyncio
import importlib
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

from vad import infer

SECONDS = 6.0


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


async def call(ctx: JobContext) -> None:
    # Every job process imports this file; only the forkserver has what this needs.
    await importlib.import_module("voice").entrypoint(ctx)


def context(method: str) -> Any:
    made = multiprocessing.get_context(method)
    if method == "forkserver":
        framework = ["livekit.agents.ipc._preload", "livekit.agents.ipc._preload_freeze"]
        made.set_forkserver_preload(["livekit.plugins.silero", "vad", "voice", *framework])
    return made


def smaps(pid: int) -> dict[str, int]:
    """Kilobytes by name, of one process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}


def tree(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [child for task in tasks for child in (task / "children").read_text().split()]
    return [pid, *(below for child in children for below in tree(int(child)))]


def running(number: int, metadata: str) -> RunningJobInfo:
    job = agent.Job(id=f"j{number}", room=models.Room(name=f"r{number}"), metadata=metadata)
    accept = JobAcceptArguments(name="", identity=f"agent-{number}", metadata="")
    return RunningJobInfo(accept_arguments=accept, job=job, url="", token="", worker_id="w", fake_job=True)


async def job_process(method: str, made: dict[str, Any], entrypoint: Any = None) -> dict[str, float]:
    options: dict[str, Any] = {
        "initialize_process_fnc": prewarm,
        "job_entrypoint_fnc": entrypoint or hold,
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
    if entrypoint is not None:
        await executor.launch_job(running(1, ""))
        await asyncio.sleep(SECONDS)
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
    if mode == "warm":
        importlib.import_module("livekit.agents.ipc._preload")
    if mode != "process":
        coroutine_runtime = importlib.import_module("openrtc.runtime.coroutine_runtime")
        pool: Any = coroutine_runtime.CoroutinePool(mp_ctx=made["forkserver"], max_concurrent_sessions=count, **options)
    else:
        pool = proc_pool.ProcPool(mp_ctx=made["spawn"], **options)
    await pool.start()
    for number in range(count):
        await pool.launch_job(running(number, str(buffer_bytes)))
    await asyncio.sleep(1)
    pids = tree(os.getpid())
    pss = sum(smaps(pid)["Pss"] for pid in pids)
    await pool.aclose()
    return {"pss_kb": pss, "processes": len(pids)}


async def serve() -> None:
    made = {method: context(method) for method in ("spawn", "forkserver")}
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        mode, *numbers = line.split()
        if mode in made:
            answer = await job_process(mode, made)
        elif mode == "voice":
            answer = await job_process("forkserver", made, call)
        else:
            answer = await sessions(mode, int(numbers[0]), int(numbers[1]), made)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
