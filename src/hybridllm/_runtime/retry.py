"""Repeating, by tenacity; the only door to it.

Knows nothing of when to repeat, nor how long to wait before: `_core.resilience.next_step` says that to each
turn. One `AsyncRetrying` per request, because a shared one mixes up its tasks, and only for requests whose
first attempt failed. The predicate is positive: nothing but `Again` is ever repeated, so a cancellation or a
bug passes through untouched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_never, wait_none

T = TypeVar("T")


class Again(Exception):
    """Another attempt is to be made."""


async def repeat(
    turn: Callable[[], Awaitable[T]], *, sleep: Callable[[float], Awaitable[None]]
) -> T:
    """Call `turn` until it does not raise `Again`; anything else it raises is raised."""
    repeats = AsyncRetrying(
        retry=retry_if_exception_type(Again),
        wait=wait_none(),
        stop=stop_never,
        sleep=sleep,
        reraise=True,
    )
    return await repeats(turn)
