"""An idle host gives back what its sessions took."""

from __future__ import annotations

import asyncio

import pytest

from openrtc_host import _native, rest


def test_it_gives_back_once_when_idle_and_not_when_a_session_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    monkeypatch.setattr(rest, "_AFTER_S", 0.0)
    monkeypatch.setattr(rest, "_give_back", lambda: given.append("back"))

    async def idle_busy_idle() -> list[int]:
        resting, counts = rest.Rest(asyncio.get_running_loop()), []
        for idle in (True, False), (True, True):
            for state in idle:
                resting.begin(state)
            done = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.0, done.set_result, None)
            await done
            counts.append(len(given))
        return counts

    assert asyncio.run(idle_busy_idle()) == [0, 1]


def test_the_heap_can_be_trimmed_at_any_time() -> None:
    held = [bytes(100_000) for _ in range(100)]
    del held[::2]
    assert isinstance(_native.trim_heap(), bool)
    assert all(len(one) == 100_000 for one in held)
