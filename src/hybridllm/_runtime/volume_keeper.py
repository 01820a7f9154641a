"""The task that keeps volumes: reads the file at the start, writes every ten seconds and at the end.

It looks at the conditions, too, while nobody asks: a day is over at midnight, whether requests come or not.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from contextvars import Context

from hybridllm._core.policy.compiled import Policy
from hybridllm._runtime.volumes import Volumes

FLUSH_S = 10.0
"""What came is in the file after this time: a crash loses no more."""
IDLE_S = 3_600.0
"""With nothing to do, the wall clock is looked at this often: it may have been set."""
LOAD_S = 3.0
"""So long requests wait for the history, at the start; then they are decided without it."""
CLOSE_S = 5.0
"""For the last writing."""
_AFTER_MIDNIGHT_S = 0.001


class VolumeKeeper:
    """Keeps volumes, in one event loop at a time."""

    def __init__(self, volumes: Volumes) -> None:
        self.volumes = volumes
        volumes.on_stirred = self._wake
        self._task: asyncio.Task[None] | None = None
        self._pid = os.getpid()
        self._read = False  # the file, or it was tried
        self._closing: asyncio.Task[None] | None = None
        self._know_no_loop()

    def _know_no_loop(self) -> None:
        self._came, self._stop, self._known = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @property
    def reading(self) -> bool:
        """Whether the history is still being read."""
        return not self._read and self._task is not None and not self._task.done()

    def begin(self) -> None:
        """Begin in the running loop, if there is anything to count; in the same one again it does nothing."""
        task, forked = self._task, self._pid != os.getpid()
        if self._closing is not None or not self.volumes.counting:
            return
        if task is not None and not forked and not task.done() and not task.get_loop().is_closed():
            return
        if forked:
            self._pid = os.getpid()
            self.volumes.forked()
        self._know_no_loop()
        self.volumes.begin()
        # No TaskGroup: it begins inside one call and ends inside another.
        self._task = asyncio.get_running_loop().create_task(
            self._keep(), name="hybridllm-volumes", context=Context()
        )

    async def known(self) -> None:
        """Wait until the history is read, for `LOAD_S` seconds at most."""
        task = self._task
        if self.reading and task is not None and task.get_loop() is asyncio.get_running_loop():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOAD_S):
                    await self._known.wait()

    def follow(self, policy: Policy) -> None:
        """Go over to another policy; called in the router's event loop."""
        self.volumes.follow(policy)
        self.begin()

    async def close(self) -> None:
        """Write what came, and end; from another loop than its own, too. Who calls it again waits with it."""
        if self._closing is None:
            # No TaskGroup: it is shared by everybody who closes, and each of them may leave.
            self._closing = asyncio.get_running_loop().create_task(self._close())
        if self._closing.get_loop() is asyncio.get_running_loop():
            await asyncio.shield(self._closing)

    async def _close(self) -> None:
        task, self._task = self._task, None
        if self._pid != os.getpid():
            return  # all of it is the parent's
        if task is not None and not task.done():
            await self._ended(task)
        if (book := self.volumes.book) is not None:
            if book.waiting:  # its loop ended before it did
                await book.exchange(self.volumes.wanted())
            await book.close()

    async def _ended(self, task: asyncio.Task[None]) -> None:
        loop = task.get_loop()
        if loop is asyncio.get_running_loop():
            self._finish()
            if not (await asyncio.wait({task}, timeout=CLOSE_S))[0]:
                task.cancel()
        elif loop.is_running():
            ending = self._ended(task)
            try:
                there = asyncio.run_coroutine_threadsafe(ending, loop)
            except RuntimeError:  # it was closed just now
                ending.close()
                return
            await asyncio.wait({asyncio.wrap_future(there)}, timeout=CLOSE_S)

    def _wake(self) -> None:
        self._came.set()

    def _finish(self) -> None:
        self._stop.set()
        self._came.set()

    async def _keep(self) -> None:
        try:
            if not self._read:
                await self._first()
            stopped = False
            while not stopped:
                await self._rest()
                stopped = self._stop.is_set()
                await self._write()
        except asyncio.CancelledError:  # the loop ends, and nobody closed the router
            if self._closing is None:
                await self._write()
            raise
        finally:
            self._known.set()

    async def _first(self) -> None:
        volumes = self.volumes
        if volumes.book is not None:
            asked = volumes.wanted(first=True)
            found = await volumes.book.read(asked)
            if found is not None:
                volumes.take(found, asked, first=True)
        self._read = True
        self._known.set()

    async def _rest(self) -> None:
        """Wait for something to do, or for midnight; then for more of it."""
        idle_s = FLUSH_S if self.volumes.restless else IDLE_S
        await _within(self._came, min(idle_s, self.volumes.day_left_s + _AFTER_MIDNIGHT_S))
        if self._came.is_set():
            await _within(self._stop, FLUSH_S)

    async def _write(self) -> None:
        volumes, book = self.volumes, self.volumes.book
        self._came.clear()
        volumes.stirred = False
        volumes.beat()
        if book is None or not book.waiting:
            return
        asked = volumes.wanted()
        found = await book.exchange(asked)
        if found is not None:
            volumes.take(found, asked)
        elif not self._stop.is_set():
            volumes.stir()  # tried again after a while


async def _within(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
