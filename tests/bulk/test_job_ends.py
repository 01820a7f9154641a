"""However a job ends, nothing of it is under way any more: no request, no task, no thread, no lock."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bulk.jobs import all_of, backend, drain, request, requests
from hybridllm import BulkFileError, BulkJob, BulkProgress, BulkResult, RouterClosed
from hybridllm.testing import Reply, run_in_virtual_time

THREAD = "hybridllm-journal"


async def _taken(job: BulkJob, got: list[BulkResult], *, for_s: float) -> None:
    async with asyncio.timeout(for_s):
        await drain(job, got)


def journal_threads() -> int:
    return sum(thread.name == THREAD for thread in threading.enumerate())


@pytest.mark.parametrize("with_journal", [False, True])
@pytest.mark.parametrize("how", ["leave", "close", "cancel", "drop"])
def test_whoever_stops_iterating_frees_everything(
    how: str, with_journal: bool, tmp_path: Path
) -> None:
    """`backend` looks for what is left as it ends."""

    async def consume(job: Any) -> None:
        async for _ in job:
            if how == "leave":
                break
            if how == "close":
                await job.close()

    async def main() -> None:
        async with backend() as here:
            journal = tmp_path / "j" if with_journal else None
            job = here.router.map(requests(100_000), concurrency=8, journal=journal)
            if how == "leave":
                async with job:
                    await consume(job)
            elif how == "drop":
                await anext(job)
                with pytest.warns(ResourceWarning, match="dropped before its end"):
                    job = None
                gc.collect()
                await asyncio.sleep(0.1)
            else:
                task = asyncio.ensure_future(consume(job))
                await asyncio.sleep(5.5)
                if how == "cancel":
                    task.cancel()
                await asyncio.wait({task})
                assert task.cancelled() is (how == "cancel")
                with pytest.raises(StopAsyncIteration):
                    await anext(job)
            assert here.wire.active == 0
            if with_journal:  # unlocked
                await all_of(here.router.map(requests(20), journal=journal))
        assert journal_threads() == 0

    run_in_virtual_time(main)


def test_a_loop_that_is_left_early_ends_the_job() -> None:
    """`break` in a plain `async for`: the job has no other holder, so it ends with the loop."""

    async def main() -> None:
        async with backend() as here:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                async for _ in here.router.map(requests(100_000), concurrency=8):
                    break
                gc.collect()
            await asyncio.sleep(0.1)
            assert here.wire.active == 0
            assert len(here.wire.requests) < 50

    run_in_virtual_time(main)


def test_a_consumers_deadline_ends_the_job() -> None:
    """`asyncio.timeout` around the loop is a cancellation like any other."""

    async def main() -> None:
        async with backend() as here:
            got: list[BulkResult] = []
            with pytest.raises(TimeoutError):
                await _taken(here.router.map(requests(100_000), concurrency=8), got, for_s=10.5)
            assert len(got) == 80
            assert here.wire.active == 0

    run_in_virtual_time(main)


@pytest.mark.parametrize("waits_for", ["room", "input"])
def test_stop_takes_no_more_and_finishes_what_is_under_way(waits_for: str) -> None:
    """Whatever the job waits for at that moment; all that was sent is handed out."""

    async def input_() -> AsyncIterator[dict[str, Any]]:
        for index in range(6 if waits_for == "input" else 1_000):
            yield request(index)
        await asyncio.Event().wait()

    async def main() -> None:
        async with backend() as here, here.router.map(input_(), concurrency=4) as job:
            got = []
            async for result in job:
                got.append(result)
                if len(got) == 6:
                    job.stop()
            assert all(result.ok for result in got)
            assert len(got) == len(here.wire.requests) < 15

    run_in_virtual_time(main)


@pytest.mark.parametrize("what", ["router", "callback"])
def test_a_job_that_has_failed_waits_for_no_more_input(what: str) -> None:
    """Whose next item may never come: it ends as soon as what is under way does."""

    async def input_() -> AsyncIterator[dict[str, Any]]:
        for index in range(2):
            yield request(index)
        await asyncio.Event().wait()

    def refuse(_: BulkProgress) -> None:
        raise KeyError("a bug of the application")

    async def main() -> None:
        def answer(number: int) -> Reply:
            return Reply.chat("fine").after(1.0 + 100.0 * number)

        told = refuse if what == "callback" else None
        async with backend(answer) as here, here.router.map(input_(), on_progress=told) as job:
            await job.__anext__()
            if what == "router":
                await here.router.aclose(drain_s=0.0)
            with pytest.raises((RouterClosed, KeyError)):
                async with asyncio.timeout(200.0):
                    await drain(job, [])

    run_in_virtual_time(main)


def test_a_job_that_was_never_begun_is_nothing() -> None:
    """No task, no file, no warning; and it cannot be begun after it was closed."""

    async def main() -> None:
        async with backend() as here:
            here.router.map(requests(5), journal="/nowhere/at/all")
            job = here.router.map(requests(5))
            await job.close()
            assert [result async for result in job] == []
            job = here.router.map(requests(5))
            job.stop()
            assert await all_of(job) == []

    run_in_virtual_time(main)


def test_a_journal_that_cannot_be_opened_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    """By `async with`, and by the first result alike."""

    async def main() -> None:
        async with backend() as here:
            for path in (tmp_path, tmp_path / "no-folder" / "j", Path("/dev/null")):
                with pytest.raises(BulkFileError, match=str(path)):
                    await all_of(here.router.map(requests(5), journal=path))
                with pytest.raises(BulkFileError, match=str(path)):
                    await anext(here.router.map(requests(5), journal=path))
            assert here.wire.requests == []
        assert journal_threads() == 0

    run_in_virtual_time(main)


def test_two_consumers_share_one_job() -> None:
    """Each result goes to one of them, and both end."""

    async def main() -> None:
        async with backend() as here:
            job = here.router.map(requests(50), concurrency=8)
            shares: list[list[int]] = [[], []]

            async def consume(mine: list[int]) -> None:
                async for result in job:
                    mine.append(result.index)
                    await asyncio.sleep(0.1)

            async with asyncio.TaskGroup() as group:
                for mine in shares:
                    group.create_task(consume(mine))
            assert sorted(shares[0] + shares[1]) == list(range(50))
            assert all(shares)

    run_in_virtual_time(main)


@pytest.mark.parametrize("why", ["closed", "progress"])
def test_a_job_that_cannot_go_on_does_not_wait_for_more_input(why: str) -> None:
    """The next item may be hours away, and nobody could answer it."""

    async def main() -> None:
        async with backend() as here:

            async def slow() -> AsyncIterator[Any]:
                yield request(0)
                await asyncio.sleep(5)
                if why == "closed":
                    await here.router.aclose(drain_s=0)
                    yield request(1)
                await asyncio.sleep(3_600)

            def told(progress: object) -> None:
                raise OSError("the screen is gone")

            on_progress = told if why == "progress" else None
            got: list[BulkResult] = []
            with pytest.raises(RouterClosed if why == "closed" else OSError):
                await _taken(here.router.map(slow(), on_progress=on_progress), got, for_s=60)
            assert got[0].ok

    run_in_virtual_time(main)


def test_an_answer_that_hangs_is_freed_too() -> None:
    """A job that is closed waits for nobody."""

    async def main() -> None:
        async with backend(lambda _: Reply.hang()) as here:
            job = here.router.map(requests(1_000), concurrency=100)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await anext(job)
            assert len(here.wire.requests) == 100
            assert here.wire.active == 0

    run_in_virtual_time(main)
