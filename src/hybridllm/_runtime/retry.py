"""Repeating, by tenacity; the only door to it.

Knows nothing of when to repeat: `_core.resilience.next_step` has decided that before `Again` is
raised. One `AsyncRetrying` per request, because a shared one mixes up its tasks, and only for requests
whose first attempt failed. The predicate is positive: nothing but `Again` is ever repeated, so a
cancellation or a bug passes through untouched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_never

T = TypeVar("T")


class Again(Exception):
    """Another attempt is to be made.

    Attributes:
        after_s: The wait before it, in seconds.
    """

    def __init__(self, after_s: float) -> None:
        super().__init__(after_s)
        self.after_s = after_s


async def repeat(
    turn: Callable[[], Awaitable[T]], *, sleep: Callable[[float], Awaitable[None]]
) -> T:
    """Call `turn` until it returns, waiting as each `Again` says; anything else it raises is raised."""
    repeats = AsyncRetrying(
        retry=retry_if_exception_type(Again),
        wait=_wait_s,
        stop=stop_never,
        sleep=sleep,
        reraise=True,
    )
    return await repeats(turn)


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    return error.after_s if isinstance(error, Again) else 0.0
