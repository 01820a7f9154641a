"""One thread for what may take its time on a disk, so that the event loop never waits for one.

A daemon: the threads of `concurrent.futures` are joined when the process ends, so one that waits for a disk
that never answers would keep the process from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import ParamSpec, TypeVar

CLOSE_S = 1.0  # for work under way when it is closed

_Given = TypeVar("_Given")
_Arguments = ParamSpec("_Arguments")


class OneThread:
    """Runs one piece of work after the other; the thread is started by the first, and ended by `close`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._daemon: _Daemon | None = None
        self._latest: asyncio.Future[object] | None = None

    async def run(self, work: Callable[[], _Given]) -> _Given | Exception:
        """Return what `work` returns, or the exception that it raises.

        A caller who is cancelled leaves the work to itself: a thread cannot be stopped.
        """
        if self._daemon is None:
            self._daemon = _Daemon(self._name)
        job = asyncio.get_running_loop().run_in_executor(self._daemon, _returned, work)
        self._latest = job  # type: ignore[assignment]  # a Future gives its result out only
        return await asyncio.shield(job)

    async def close(self) -> None:
        """Wait shortly for what is under way, and end the thread."""
        daemon, self._daemon = self._daemon, None
        latest, self._latest = self._latest, None
        if daemon is None:
            return
        idle = latest is None or latest.done()
        if latest is not None and not idle and latest.get_loop() is asyncio.get_running_loop():
            idle = bool((await asyncio.wait({latest}, timeout=CLOSE_S))[0])
        # An idle thread ends at once. One that waits for a disk that does not answer is left to it.
        daemon.shutdown(wait=idle, cancel_futures=True)


class _Job:
    """A piece of work, and the loop in which somebody waits for it."""

    __slots__ = ("_future", "_loop", "_work")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, future: Future[_Given], work: Callable[[], _Given]
    ) -> None:
        self._loop, self._future, self._work = loop, future, work

    def run(self) -> None:
        if not self._future.set_running_or_notify_cancel():
            return
        given = self._work()
        if (
            not self._loop.is_closed()
        ):  # else nobody can wait any more, and handing it over would raise
            self._future.set_result(given)

    def cancel(self) -> None:
        self._future.cancel()


class _Daemon(Executor):
    """An executor with one daemon thread. What it is given must not raise."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=_worked, args=(self._jobs,), name=name, daemon=True)
        self._thread.start()

    def submit(
        self,
        fn: Callable[_Arguments, _Given],
        /,
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> Future[_Given]:
        future: Future[_Given] = Future()
        loop = asyncio.get_running_loop()
        self._jobs.put(_Job(loop, future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        while cancel_futures:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is not None:
                job.cancel()
        self._jobs.put(None)
        if wait:
            self._thread.join()


def _worked(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job  # it holds a policy, and the next one may be long in coming


def _returned(work: Callable[[], _Given]) -> _Given | Exception:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - a border: it is returned, for nobody may be there to catch it
        return error
    except BaseException as error:  # noqa: BLE001 - and the thread must live on: somebody waits for it
        return RuntimeError(type(error).__name__)
