"""One thread for what may take its time on a disk, so that the event loop never waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

CLOSE_S = 1.0  # for work under way when it is closed

_Given = TypeVar("_Given")


class OneThread:
    """Runs one piece of work after the other; the thread is started by the first, and ended by `close`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool: ThreadPoolExecutor | None = None
        self._latest: asyncio.Future[object] | None = None

    async def run(self, work: Callable[[], _Given]) -> _Given | Exception:
        """Return what `work` returns, or the exception that it raises.

        A caller who is cancelled leaves the work to itself: a thread cannot be stopped.
        """
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        job = asyncio.get_running_loop().run_in_executor(self._pool, _returned, work)
        self._latest = job  # type: ignore[assignment]  # a Future gives its result out only
        return await asyncio.shield(job)

    async def close(self) -> None:
        """Wait shortly for what is under way, and end the thread."""
        pool, self._pool = self._pool, None
        latest, self._latest = self._latest, None
        if pool is None:
            return
        idle = latest is None or latest.done()
        if latest is not None and not idle and latest.get_loop() is asyncio.get_running_loop():
            idle = bool((await asyncio.wait({latest}, timeout=CLOSE_S))[0])
        # An idle thread ends at once. One that waits for a disk that does not answer is left to it.
        pool.shutdown(wait=idle, cancel_futures=True)


def _returned(work: Callable[[], _Given]) -> _Given | Exception:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - a border: it is returned, for nobody may be there to catch it
        return error
