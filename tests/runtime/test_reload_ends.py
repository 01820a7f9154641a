"""How reloading ends: with another event loop, with a thread that is stuck, with a pipe for a file."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hybridllm import PolicyError, Router
from runtime.reloading import put, reloading, text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "team.yaml"
    put(path, text("eu"))
    return path


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


async def test_a_pipe_in_the_place_of_the_file_is_an_error_at_once(path: Path) -> None:
    """The last good policy stays, and a file in its place is taken."""
    async with reloading(path, text("eu")) as here:
        first = here.router.policy
        replace_by_pipe(path)
        with pytest.raises(PolicyError, match="cannot be read: not a regular file"):
            async with asyncio.timeout(2):
                await here.router.reload()
        assert here.router.policy is first
        path.unlink()
        put(path, text("us"))
        assert await here.router.reload() is True


async def test_a_watched_pipe_is_one_failure(path: Path) -> None:
    """However often it is looked at."""
    async with reloading(path, text("eu"), watch=True, watch_s=0.01) as here:
        replace_by_pipe(path)
        await asyncio.sleep(0.4)
        assert here.router.status().failed == 1


STUCK = """
import asyncio, threading
from hybridllm._runtime.one_thread import OneThread

async def main():
    thread, reading = OneThread("stuck"), threading.Event()

    def read():
        reading.set()
        threading.Event().wait()

    task = asyncio.create_task(thread.run(read))
    while not reading.is_set():
        await asyncio.sleep(0.01)
    await thread.close()
    print("closed", flush=True)
    task.cancel()

asyncio.run(main())
"""


def test_a_thread_that_is_stuck_does_not_keep_the_process() -> None:
    """A disk that never answers: the process ends all the same, soon after `close`."""
    command = [sys.executable, "-W", "error", "-c", STUCK]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "closed\n"
            assert process.wait(timeout=3) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_work_that_outlives_its_loop_is_dropped_and_the_thread_goes_on() -> None:
    """Nobody is there to be told; the next loop has the thread to itself, and nothing is logged."""
    from hybridllm._runtime.one_thread import OneThread

    thread, go, reading = OneThread("late"), threading.Event(), threading.Event()

    def slow() -> str:
        reading.set()
        assert go.wait(5)
        return "too late"

    async def leaves() -> None:
        task = asyncio.get_running_loop().create_task(thread.run(slow))
        while not reading.is_set():
            await asyncio.sleep(0.001)
        task.cancel()

    async def last() -> str | Exception:
        go.set()
        found = await thread.run(lambda: "in time")
        await thread.close()
        return found

    asyncio.run(leaves())
    assert asyncio.run(last()) == "in time"
    assert not any(one.name == "late" for one in threading.enumerate())


# Another event loop


def test_close_from_another_loop_ends_the_watch(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its task ends in its own loop, and nothing is said to have failed."""
    router = Router.from_file(path, environ={}, watch=True, watch_s=0.01)

    async def begin() -> asyncio.Task[None]:
        router._begin()
        await asyncio.sleep(0.03)
        (watcher,) = asyncio.all_tasks() - {asyncio.current_task()}
        return watcher

    async def end(watcher: asyncio.Task[None]) -> None:
        await asyncio.wait({watcher}, timeout=2)

    with asyncio.Runner() as first:
        watcher = first.run(begin())
        asyncio.run(router.aclose())
        first.run(end(watcher))
        assert watcher.done()
    assert not router.status().watching
    assert caplog.records == []


@pytest.mark.parametrize("tidy", [True, False], ids=["run", "close"])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_watch_begins_again_in_another_loop(path: Path, tidy: bool) -> None:
    """It is none when its loop is closed; the first call in the next one begins it anew."""
    router = Router.from_file(path, environ={}, watch=True, watch_s=0.01)

    async def begin() -> None:
        assert await router.reload() is False
        router._begin()
        assert router.status().watching

    async def again() -> None:
        assert await router.reload() is False
        assert router.status().watching
        put(path, text("eu", route="second"))
        async with asyncio.timeout(5):
            while router.policy.routes[0].name != "second":
                await asyncio.sleep(0.01)
        await router.aclose()
        assert not router.status().watching

    if tidy:
        asyncio.run(begin())
    else:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin())
        left = asyncio.all_tasks(loop)
        loop.close()
        for task in left:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # as a careless program
    assert not router.status().watching
    asyncio.run(again())
