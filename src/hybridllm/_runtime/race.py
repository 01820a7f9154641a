"""Two attempts of one request side by side, the second begun later; the first answer wins.

The loser is cancelled and waited for, so that nothing of it is left when the winner is handed out. So are
both if the caller leaves; what was won by then is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from hybridllm._core.resilience.outcome import Failure, Next

T = TypeVar("T")
Attempt = Coroutine[Any, Any, T | Failure]


class Race(Generic[T]):
    """A race of at most two.

    Args:
        drop: Ends an answer that nobody will see: a stream is to be closed.
    """

    def __init__(self, drop: Callable[[T], Awaitable[None]]) -> None:
        self._drop = drop
        self._under_way: set[asyncio.Task[T | Failure]] = set()

    async def run(
        self, first: Attempt[T], second: Callable[[], Attempt[T] | None], after_s: float
    ) -> T | Failure:
        """Return the first answer, or the last failure.

        Args:
            first: Begins now.
            second: Makes the other one, `after_s` seconds later if the first is still under way; None: nobody
                is left to ask, or too many were.
            after_s: Seconds.
        """
        try:
            self._begin(first)
            done, _ = await asyncio.wait(self._under_way, timeout=after_s)
            if not done:
                other = second()
                if other is not None:
                    self._begin(other)
            found = await self._won()
        except BaseException:
            await self._end()
            raise
        try:
            await self._end()
        except BaseException:
            if not isinstance(found, Failure):
                await self._drop(found)
            raise
        return found

    def _begin(self, attempt: Attempt[T]) -> None:
        # Not a TaskGroup: its error would be a group of errors, and the loser's end is no error.
        self._under_way.add(asyncio.get_running_loop().create_task(attempt))

    async def _won(self) -> T | Failure:
        while True:
            done, _ = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            failure: Failure | None = None
            for task in done:
                self._under_way.discard(task)
                found = task.result()
                if not isinstance(found, Failure):
                    return found
                failure = found
            if failure is not None and (not self._under_way or failure.next is Next.STOP):
                return failure

    async def _end(self) -> None:
        """Cancel and wait for whoever is left; a caller who leaves meanwhile leaves after it."""
        left = self._under_way
        for task in left:
            task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while left:
            try:
                done, left = await asyncio.wait(left)
            except asyncio.CancelledError as error:
                cancelled = error
                continue
            for task in done:
                if task.cancelled() or task.exception() is not None:
                    continue  # seen; the race is over
                late = task.result()
                if not isinstance(late, Failure):
                    await self._drop(late)  # it won as the caller left
        if cancelled is not None:
            raise cancelled
