"""A time limit on each of many short waits, with one timer for all of them.

`asyncio.timeout` makes and cancels a timer for every wait; a stream waits once per chunk. This arms one
timer, and moves it only when it fires: then it interrupts the wait that has really taken too long. The
rules for telling its own cancellation from the caller's are those of `asyncio.Timeout`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Watch:
    """Watches the waits of one task at a time."""

    __slots__ = ("_fired", "_loop", "_task", "_timer", "_until_s")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until_s = 0.0
        self._fired = False

    async def wait(self, what: Awaitable[T], *, until_s: float) -> T:
        """Return what `what` gives.

        Args:
            what: The wait.
            until_s: When it has taken too long, in the loop's time.

        Raises:
            TimeoutError: If it takes longer; `what` has been cancelled.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a Watch is used inside a task")
        cancelling = task.cancelling()
        self._task, self._until_s, self._fired = task, until_s, False
        timer = self._timer
        if timer is None or until_s < timer.when():
            self._arm()
        try:
            return await what
        except asyncio.CancelledError:
            if self._fired and task.uncancel() <= cancelling:
                raise TimeoutError from None
            raise
        finally:
            self._task = None

    def fire(self) -> None:
        """Interrupt the wait under way, if there is one, as if it had taken too long."""
        if self._task is not None and not self._fired:
            self._fired = True
            self._task.cancel()

    def stop(self) -> None:
        """Disarm the timer; a later wait arms it anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.stop()
        self._timer = self._loop.call_at(self._until_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        task = self._task
        if task is None:
            return  # nobody waits now
        if self._loop.time() < self._until_s:
            self._arm()
            return
        self.fire()
