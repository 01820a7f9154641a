"""The journal's disk: what is written when, and what becomes of a job whose disk is slow or full."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bulk.jobs import all_of, backend, drain, in_a_second, requests
from hybridllm import BulkFileError, BulkJob, BulkResult
from hybridllm._adapters.journal_file import JournalFile
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import Script


def test_an_intent_is_written_before_its_request_leaves(tmp_path: Path) -> None:
    """And an answer before it is handed out: seen from outside, at both moments."""
    path = tmp_path / "j"

    def answer(number: int) -> Reply:
        assert b'{"sent":%d,' % number in path.read_bytes()
        return in_a_second(number)

    async def main() -> None:
        async with backend(answer) as here:
            async for result in here.router.map(requests(50), journal=path, concurrency=8):
                assert result.ok
                assert b'{"done":%d,' % result.index in path.read_bytes()

    run_in_virtual_time(main)


class FullDisk:
    """A journal whose disk is full after so many bytes; see `JournalFile`."""

    def __init__(self, path: Path, room: int) -> None:
        self._file = JournalFile(path)
        self.room = room
        self.name = str(path)

    def append(self, lines: bytes) -> None:
        self.room -= len(lines)
        if self.room < 0:
            raise BulkFileError(f"{self.name}: No space left on device", path=self.name)
        self._file.append(lines)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def job_on(file: Any, here: Script, count: int) -> BulkJob:
    job = here.router.map(requests(count), concurrency=4, journal=file.name)
    job._run._journal._file = file
    return job


def test_a_full_disk_ends_the_job_and_loses_no_answer(tmp_path: Path) -> None:
    """What was answered is handed out although it could not be written; nothing more is sent."""

    async def main() -> None:
        async with backend() as here:
            job = job_on(FullDisk(tmp_path / "j", room=4_000), here, 1_000)
            got: list[BulkResult] = []
            with pytest.raises(BulkFileError, match="No space left"):
                await drain(job, got)
            asked = len(here.wire.requests)
            assert asked < 50
            assert sum(result.ok for result in got) == asked
            assert all(r.ok or isinstance(r.error, BulkFileError) for r in got)
            results = await all_of(here.router.map(requests(30), journal=tmp_path / "j"))
            assert all(result.ok for result in results)

    run_in_virtual_time(main)


async def test_a_job_in_real_time_leaves_the_event_loop_alone(tmp_path: Path) -> None:
    """A disk that is slow to write delays answers, and nobody else."""
    slow = asyncio.Event()

    async with backend(lambda n: Reply.chat(f"answer {n}")) as here:
        file = FullDisk(tmp_path / "j", room=1 << 30)
        loop, there = asyncio.get_running_loop(), asyncio.Event()
        append = file.append

        def dawdle(lines: bytes) -> None:
            loop.call_soon_threadsafe(there.set)
            asyncio.run_coroutine_threadsafe(slow.wait(), loop).result(timeout=30)
            append(lines)

        file.append = dawdle  # type: ignore[method-assign]
        job = job_on(file, here, 5)
        consumer = asyncio.ensure_future(all_of(job))
        async with asyncio.timeout(30):
            await there.wait()  # the thread hangs, and this loop turns
            assert here.wire.requests == []
            slow.set()
            assert len(await consumer) == 5
