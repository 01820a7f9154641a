"""Real sockets without real time: an event loop whose clock moves only while nothing happens.

Backends and router run in one loop of one thread, so whatever one of them sends is in the kernel before
the loop looks for it: if nothing is there after a moment, all of them wait for a timer, and the clock
goes there at once. A first token that is awaited for 10 s takes a hundredth of one; and as work takes no
time at all, limits can be held to what they say on a machine however slow. Not for peers in other
processes or threads.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

GRACE_S = 0.004
"""Real seconds in which what was sent must arrive; over loopback it is there at once."""

DEADLOCK_S = 60.0


class _SkippingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.threads_busy = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            ready = super().select(None if self.threads_busy else DEADLOCK_S)
            assert ready, "no timer is set and nobody sends: nothing can ever happen"
            return ready
        ready = super().select(timeout if self.threads_busy else min(timeout, GRACE_S))
        if not ready:
            self.now_s += max(timeout, 0.0)
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    """See above. Its clock starts at 0, so that `LoopClock` starts at its date."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        """The seconds that were skipped."""
        return self._skipping.now_s

    def leap(self, seconds: float) -> None:
        """Move the clock at once; timers that are due by then go off after it, each of them once."""
        self._skipping.now_s += seconds

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """As the base class; while a thread works, time passes as it does."""
        self._skipping.threads_busy += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _future: Any) -> None:
        self._skipping.threads_busy -= 1


async def leap(seconds: float) -> None:
    """Let so much time pass as one step: for a wait in which nothing is to be seen."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippingLoop)
    loop.leap(seconds)
    await asyncio.sleep(0.001)


def run_skipping(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run an async function without arguments in a new `SkippingLoop`."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(main())
