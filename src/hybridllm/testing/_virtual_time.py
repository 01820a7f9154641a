"""Virtual time for asyncio: a sleep of an hour takes no time, and ends exactly an hour later.

The loop never waits for a timer: when nothing is ready, it moves its clock to the next one. That is
for in-process fakes such as `ScriptedWire`; over real sockets time would run away from the data.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

_NANOSECOND = 1e-9
_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class VirtualTimeDeadlock(RuntimeError):
    """Every task waits, no timer is set: nothing could ever happen again."""


class _JumpingSelector(selectors.DefaultSelector):
    """Moves the clock to the next timer instead of waiting for it."""

    def __init__(self, describe_waiting: Callable[[], str]) -> None:
        super().__init__()
        self.now_s = 0.0
        self.threads_busy = 0
        self._describe_waiting = describe_waiting

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.threads_busy:
            return super().select(timeout)  # A thread works in real time: time stands still for it.
        if timeout is None:
            # One registered file is the loop's own self-pipe. More are somebody's real sockets.
            if len(self.get_map()) > 1:
                return super().select(timeout)
            if not (ready := super().select(0)):
                raise VirtualTimeDeadlock(
                    f"deadlock at {self.now_s:g} s of virtual time: nothing is ready and no timer is "
                    f"set, so nothing can ever happen. Waiting:\n{self._describe_waiting()}"
                )
            return ready
        ready = super().select(0)
        if not ready:
            self.now_s += max(timeout, 0.0)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at 0 and jumps from timer to timer.

    Work in threads (`asyncio.to_thread`) is waited for in real time while the clock stands still. A
    thread that the loop does not know of is not waited for.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector(self._describe_waiting)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._jumping.now_s

    @property
    def _clock_resolution(self) -> float:
        """A timer is due that is nearer than this; asyncio's nanosecond adds nothing to 194 days."""
        return max(_NANOSECOND, math.ulp(self._jumping.now_s))

    @_clock_resolution.setter
    def _clock_resolution(self, real: float) -> None:
        """Take no notice of the real clock's."""

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*_Arguments], _Result],
        *args: *_Arguments,
    ) -> asyncio.Future[_Result]:
        """As the base class; the clock stands still until the thread is done."""
        self._jumping.threads_busy += 1
        try:
            future = super().run_in_executor(executor, func, *args)
        except BaseException:
            self._jumping.threads_busy -= 1
            raise
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the base class's signature
        """As the base class, without its time limit: that one is in real seconds, ours are not."""
        self._jumping.threads_busy += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._jumping.threads_busy -= 1

    def _thread_done(self, _future: asyncio.Future[Any]) -> None:
        self._jumping.threads_busy -= 1

    def _describe_waiting(self) -> str:
        tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
        return "\n".join(sorted(describe_task(task) for task in tasks)) or "  no task at all"


def run_in_virtual_time(
    main: Coroutine[Any, Any, _Result] | Callable[[], Coroutine[Any, Any, _Result]],
) -> _Result:
    """Run a coroutine, or an async function without arguments, in a new `VirtualTimeLoop`.

    Whatever it leaves behind is cancelled, and the loop is closed.

    Raises:
        VirtualTimeDeadlock: If every task waits and no timer is set.
        RuntimeError: If an event loop is running in this thread.
    """
    coroutine = main if isinstance(main, Coroutine) else main()
    try:
        if _loop_is_running():
            raise RuntimeError("virtual time needs a thread in which no running event loop is")
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            return runner.run(coroutine)
    finally:
        coroutine.close()  # Without effect if it ran; else no warning hides the error's reason.


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def describe_task(task: asyncio.Task[Any]) -> str:
    """Return a task's name, and the innermost place where it waits."""
    coroutine: Any = task.get_coro()
    while hasattr(getattr(coroutine, "cr_await", None), "cr_frame"):
        coroutine = coroutine.cr_await
    frame = getattr(coroutine, "cr_frame", None)
    if frame is None:
        return f"  {task.get_name()}"
    code = frame.f_code
    place = f"{Path(code.co_filename).name}:{frame.f_lineno} in {code.co_qualname}"
    return f"  {task.get_name()}: {place}"
