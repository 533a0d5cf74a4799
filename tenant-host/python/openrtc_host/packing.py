"""Where the objects of a zygote's children will lie: together, on pages of their own.

Owns: filling the holes that imports left in Python's small-object pools. A child's first objects would go into these,
and each would make a page of the zygote's private for a few bytes. Never: costs more than the holes had.
"""

from __future__ import annotations

_POOL_BYTES = 16 * 1024
_POOL_HEAD_BYTES = 48
_OBJECT_BYTES_MAX = 512
_STEP_BYTES = 16
_OBJECTS_MAX = 200_000

_fillers: list[bytes] = []


def fill_pools() -> int:
    """Fills every pool that has room; the bytes it took. For the last moment before the first fork."""
    head = bytes.__basicsize__
    smallest = -(-head // _STEP_BYTES) * _STEP_BYTES
    return sum(_fill(size, head) for size in range(smallest, _OBJECT_BYTES_MAX + 1, _STEP_BYTES))


def _fill(size: int, head: int) -> int:
    """Fills the pools of one size: they are full once a pool took nothing but fillers."""
    fits = (_POOL_BYTES - _POOL_HEAD_BYTES) // size
    taken: dict[int, int] = {}
    for count in range(1, _OBJECTS_MAX):
        filler = bytes(size - head)
        _fillers.append(filler)
        pool = id(filler) // _POOL_BYTES
        taken[pool] = taken.get(pool, 0) + 1
        if taken[pool] == fits:
            return count * size
    return _OBJECTS_MAX * size
