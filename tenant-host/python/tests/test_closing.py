"""The steps of a session's end: what does not heed its time keeps nothing else waiting."""

from __future__ import annotations

import asyncio
import logging

import pytest

from openrtc_host.closing import Closing


async def stubborn(let_go: asyncio.Event) -> None:
    while not let_go.is_set():
        try:
            await let_go.wait()
        except asyncio.CancelledError:
            continue


def test_a_step_that_heeds_nothing_keeps_the_next_not_waiting_and_the_session_open() -> None:
    async def end() -> list[str]:
        closing, let_go, told = Closing(), asyncio.Event(), []

        async def tell() -> None:
            told.append("told")

        await closing.step("close", stubborn(let_go), 0.01)
        await closing.step("tell", tell(), 1.0)
        over = asyncio.create_task(closing.over())
        await asyncio.sleep(0)
        assert not over.done()
        let_go.set()
        await over
        return told

    assert asyncio.run(end()) == ["told"]


def test_a_step_that_fails_is_logged_and_the_next_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise LookupError("4711")

    async def end() -> None:
        closing = Closing()
        await closing.step("a callback", fails(), 1.0)
        await closing.over()

    with caplog.at_level(logging.ERROR):
        asyncio.run(end())
    assert "a callback failed; going on" in caplog.text and "LookupError: 4711" in caplog.text


def test_a_step_that_is_cancelled_takes_its_work_along() -> None:
    async def end() -> bool:
        begun, never = asyncio.Event(), asyncio.Event()
        gone = False

        async def work() -> None:
            nonlocal gone
            begun.set()
            try:
                await never.wait()
            finally:
                gone = True

        step = asyncio.create_task(Closing().step("work", work(), 60.0))
        await begun.wait()
        step.cancel()
        await asyncio.wait({step})
        await asyncio.sleep(0)
        return gone

    assert asyncio.run(end())


def test_what_runs_has_its_time_and_is_cancelled_then() -> None:
    async def end() -> tuple[bool, bool]:
        never = asyncio.Event()
        quick, slow = asyncio.create_task(asyncio.sleep(0)), asyncio.create_task(never.wait())
        await Closing.finish({quick, slow}, 0.05, 1.0)
        return quick.cancelled(), slow.cancelled()

    assert asyncio.run(end()) == (False, True)
