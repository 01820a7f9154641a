"""Real sockets without real waiting: an event loop that skips the time in which nothing happens.

Backends and router run in one loop of one thread, so whatever one of them sends is in the kernel before
the loop looks for it: if nothing is there after a moment, all of them wait for a timer, and the clock
goes there at once. A first token that is awaited for 10 s takes a hundredth of one; limits can be held
to what they say, on a machine however slow. Not for peers in other processes or threads.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

GRACE_S = 0.004
"""Real seconds in which what was sent must arrive; over loopback it is there at once."""


class _SkippingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0
        self.threads_busy = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= GRACE_S or self.threads_busy:
            return super().select(timeout)
        ready = super().select(GRACE_S)
        if not ready:
            self.skipped_s += timeout - GRACE_S
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    """See above. Its clock starts at 0, so that `LoopClock` starts at its date."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        self._began_s = 0.0
        super().__init__(self._skipping)
        self._began_s = self.time()

    def time(self) -> float:
        """Real seconds, and those that were skipped."""
        return super().time() + self._skipping.skipped_s - self._began_s

    def leap(self, seconds: float) -> None:
        """Move the clock at once; timers that are due by then go off after it, each of them once."""
        self._skipping.skipped_s += seconds

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """As the base class; nothing is skipped while a thread works."""
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
