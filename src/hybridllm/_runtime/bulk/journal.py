"""A job's journal at work: many lines in one write, off the event loop, and read the same way.

What `append` was given is with the operating system once its future is done: a killed process loses none
of it. To the disk itself it goes at most once in `SYNC_S`, and at the end; a machine that loses power may
lose what was written since.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from hybridllm._core.bulk.journal_state import JournalState, Standing
from hybridllm._runtime.bulk.ports import JournalFile
from hybridllm._runtime.one_thread import OneThread
from hybridllm._runtime.ports import Clock
from hybridllm.errors import BulkFileError

SYNC_S = 1.0


class Journal:
    """One open journal. `work` must run, in a task, for anything to happen."""

    def __init__(self, file: JournalFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._thread = OneThread("hybridllm-journal")
        self._lines: list[bytes] = []
        self._written: list[asyncio.Future[None]] = []
        self._places: list[tuple[int, int]] = []
        self._read: list[asyncio.Future[bytes]] = []
        self._wanted = asyncio.Event()
        self._synced_at_s = 0.0
        self._unsynced = False
        self._broken: BulkFileError | None = None
        self.state = JournalState()

    @property
    def name(self) -> str:
        """The path as it was given."""
        return self._file.name

    async def open(self, operation: str) -> None:
        """Lock and read it.

        Raises:
            BulkFileError: If it is locked, damaged or of another operation.
        """
        found = await self._thread.run(partial(self._file.open, operation))
        if isinstance(found, Exception):
            await self.close()
            raise found
        self.state = found
        self._synced_at_s = self._clock.monotonic_s()

    def append(self, line: bytes) -> asyncio.Future[None]:
        """Write a line; the future is done once it outlives this process, and fails with a `BulkFileError`.

        The line is written even if nobody waits for the future.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._broken is not None:
            written.set_exception(_again(self._broken))
        else:
            self._lines.append(line)
            self._written.append(written)
            self._wanted.set()
        return written

    async def line(self, place: Standing) -> bytes:
        """Return the line of an answer.

        Raises:
            BulkFileError: If it cannot be read.
        """
        read: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._places.append((place.offset, place.length))
        self._read.append(read)
        self._wanted.set()
        return await read

    async def work(self) -> None:
        """Write and read what is asked for, until cancelled."""
        while True:
            await self._asked()
            lines, written = self._lines, self._written
            places, read = self._places, self._read
            self._lines, self._written, self._places, self._read = [], [], [], []
            now_s = self._clock.monotonic_s()
            self._unsynced |= bool(lines)
            sync = self._unsynced and now_s - self._synced_at_s >= SYNC_S
            done = await self._thread.run(partial(self._work, b"".join(lines), places, sync=sync))
            if sync:
                self._unsynced, self._synced_at_s = False, now_s
            if isinstance(done, Exception):
                error = self._break(done)
                waiting: list[asyncio.Future[Any]] = [*written, *read]
                for failed in [one for one in waiting if not one.done()]:
                    failed.set_exception(_again(error))
                continue
            for one in written:
                if not one.done():
                    one.set_result(None)
            for reader, line in zip(read, done, strict=True):
                if not reader.done():
                    reader.set_result(line)

    async def close(self) -> None:
        """Write what was not written yet, and unlock it. Raises nothing: nobody could act on it."""
        lines, self._lines = self._lines, []
        waiting: list[asyncio.Future[Any]] = [*self._written, *self._read]
        self._written, self._read, self._places = [], [], []
        for one in waiting:
            one.cancel()
        try:
            if self._broken is None and (lines or self._unsynced):
                await self._thread.run(partial(self._work, b"".join(lines), (), sync=True))
            await self._thread.run(self._file.close)
        finally:
            await self._thread.close()

    async def _asked(self) -> None:
        """Wait until somebody wants something, or what is written should go to the disk."""
        self._wanted.clear()
        if self._lines or self._places:
            return
        if not self._unsynced:
            await self._wanted.wait()
            return
        left_s = self._synced_at_s + SYNC_S - self._clock.monotonic_s()
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                await self._wanted.wait()
        except TimeoutError:
            pass

    def _work(
        self, lines: bytes, places: list[tuple[int, int]] | tuple[()], *, sync: bool
    ) -> list[bytes]:
        """In the thread."""
        if lines:
            self._file.append(lines)
        if sync:
            self._file.sync()
        return self._file.read(places) if places else []

    def _break(self, error: Exception) -> BulkFileError:
        """After a write that failed nothing more is written: half a line may stand at the end."""
        if not isinstance(error, BulkFileError):
            error = BulkFileError(f"{self.name}: {type(error).__name__}", path=self.name)
        self._broken = error
        return error


def _again(error: BulkFileError) -> BulkFileError:
    """The same error for another one who waits: each is raised on its own."""
    return BulkFileError(str(error), path=error.path, line=error.line)
