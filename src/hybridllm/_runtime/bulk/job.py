"""A bulk job as its consumer holds it; apart from the run, so that letting go of it ends the run."""

from __future__ import annotations

import asyncio
import warnings
from types import TracebackType

from hybridllm._core.bulk.result import BulkProgress, BulkResult
from hybridllm._runtime.bulk.run import Run


class BulkJob:
    """Many requests under way: iterate it for their results. Made by `Router.map`.

    It begins with the first result asked for, or with `async with`, and belongs to that event loop. When
    the iteration ends, by itself, by `close`, by a cancellation, by leaving `async with`, or because nobody
    holds the job any more, then nothing of it is under way.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def progress(self) -> BulkProgress:
        """Where the job stands now: a value that does not change. No I/O."""
        return self._run.progress

    def stop(self) -> None:
        """Take no more items. Those under way are finished, and the iteration ends after them."""
        self._run.stop()

    async def close(self) -> None:
        """Cancel what is under way and free it. Results that were not fetched yet are dropped.

        With a journal they are not lost: the next run hands them out.
        """
        await self._run.close()

    def __aiter__(self) -> BulkJob:
        return self

    async def __anext__(self) -> BulkResult:
        try:
            return await self._run.next()
        except asyncio.CancelledError:
            await self._run.close()
            raise

    async def __aenter__(self) -> BulkJob:
        try:
            await self._run.ready()
        except BaseException:
            await self._run.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        run = getattr(self, "_run", None)
        loop = None if run is None else run.loop
        if run is None or loop is None or loop.is_closed():
            return
        loop.call_soon_threadsafe(run.abandon)
        warnings.warn(
            "a BulkJob was dropped before its end; use `async with router.map(...) as job` or `await "
            "job.close()`",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )
