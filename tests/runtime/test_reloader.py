"""The reloader with a source in the hand of the test: who shares a load with whom, and what it survives."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hybridllm import Policy
from hybridllm._runtime.in_force import InForce
from hybridllm._runtime.reload import LOOKS_MAX, SETTLE_S, Reloader
from hybridllm._runtime.source import Glimpse, Taken
from hybridllm._runtime.wall_clock import utc_now
from hybridllm.testing import LoopClock, no_leaks, run_in_virtual_time
from policy.policy_text import GOOD, load
from runtime.reloading import Heard, HeldSource


@asynccontextmanager
async def held(first: Policy) -> AsyncIterator[tuple[HeldSource, Reloader, InForce, Heard]]:
    """A reloader that watches a source in the hand of the test, once a second."""
    in_force, heard = InForce(first, utc_now()), Heard()
    source = HeldSource(Taken("first", (0,), first))

    def swap(policy: Policy) -> None:
        in_force.policy = policy

    reloader = Reloader(
        source,
        Taken("first", (0,)),
        in_force,
        swap=swap,
        listener=heard,
        clock=LoopClock(),
        watch_s=1.0,
    )
    async with no_leaks():
        yield source, reloader, in_force, heard
        await reloader.close()


def test_two_writes_that_look_alike_from_outside_are_told_apart() -> None:
    """Within one tick of the file system's clock: so a content is read once more, a look later."""
    first, second = load(GOOD), load(GOOD)

    async def main() -> None:
        async with held(first) as (source, reloader, in_force, heard):
            reloader.watch()
            source.now = source.content("second", second)
            await asyncio.sleep(1.1)
            assert in_force.policy is second
            await asyncio.sleep(10)
            assert (source.taken, heard.outcomes) == (2, ["ok"])

    run_in_virtual_time(main)


def test_a_file_that_never_stands_still_is_not_taken() -> None:
    """Nothing says when it is whole; it is told once, and taken when it does stand still."""
    first, second = load(GOOD), load(GOOD)

    async def main() -> None:
        async with held(first) as (source, reloader, in_force, heard):
            source.now = lambda _seen: Glimpse(os.urandom(4), None, None, (1,))
            loop = asyncio.get_running_loop()
            began = loop.time()
            with pytest.raises(Exception, match="being written all the time"):
                await reloader.reload()
            assert loop.time() - began == pytest.approx(LOOKS_MAX * SETTLE_S)
            assert (in_force.policy, heard.outcomes) == (first, ["failed"])
            source.now = source.content("second", second)
            assert await reloader.reload() is True

    run_in_virtual_time(main)


@pytest.mark.parametrize("where", ["look", "take"])
def test_a_watch_outlives_whatever_goes_wrong(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """A bug costs a line in the log, without its words, and not the watch."""
    first, second = load(GOOD), load(GOOD)

    async def main() -> None:
        async with held(first) as (source, reloader, in_force, _):
            reloader.watch()
            if where == "look":
                source.at = RuntimeError("secret")
            else:
                source.at, source.now = (1,), RecursionError("secret")
            await asyncio.sleep(10)
            assert (in_force.policy, reloader.watching) == (first, True)
            source.at = (2,)
            source.now = source.content("second", second)
            await asyncio.sleep(2.1)
            assert in_force.policy is second

    run_in_virtual_time(main)
    (record,) = caplog.records
    assert "secret" not in record.getMessage()
    assert ("RuntimeError" if where == "look" else "RecursionError") in record.getMessage()


def test_what_is_touched_while_it_is_read_is_let_be() -> None:
    """A writer who begins right after the second look, and pauses: what he has written is not taken."""
    first, half, whole = load(GOOD), load(GOOD), load(GOOD)

    async def main() -> None:
        async with held(first) as (source, reloader, in_force, heard):
            reloader.watch()
            source.at = (1,)

            def begun(_seen: Glimpse | None) -> Taken:
                source.at = (2,)
                return source.content("half", half)

            source.now = begun
            await asyncio.sleep(2.4)
            assert source.taken == 1
            source.at, source.now = (3,), Taken("whole", (3,), whole)
            await asyncio.sleep(3)
            assert (in_force.policy, heard.outcomes) == (whole, ["ok"])

    run_in_virtual_time(main)


async def test_the_same_content_changes_nothing_even_if_it_was_compiled_anew() -> None:
    """Its source may have forgotten it; the policy in force stays the object that it was."""
    first, again = load(GOOD), load(GOOD)
    async with held(first) as (source, reloader, in_force, heard):
        source.now = source.content("first", again)
        assert await reloader.reload() is False
        assert (in_force.policy, heard.outcomes) == (first, ["unchanged"])


async def test_a_call_gets_a_load_that_began_after_it() -> None:
    """Never the one that is under way: the file may have changed since that one read it."""
    first, second, third = load(GOOD), load(GOOD), load(GOOD)
    go, reading = threading.Event(), threading.Event()
    async with held(first) as (source, reloader, in_force, heard):
        policies = iter([("second", second), ("third", third)])

        def slow(_seen: Glimpse | None) -> Taken:
            reading.set()
            assert go.wait(5)
            return source.content(*next(policies))

        source.now = slow
        loop = asyncio.get_running_loop()
        early = loop.create_task(reloader.reload())
        while not reading.is_set():
            await asyncio.sleep(0.001)
        late = [loop.create_task(reloader.reload()) for _ in range(20)]
        await asyncio.sleep(0.01)
        go.set()
        assert await early is True
        assert [await one for one in late] == [True] * 20
        assert (source.taken, in_force.policy) == (2, third)
        assert heard.outcomes == ["ok", "ok"]


async def test_a_caller_who_leaves_takes_nothing_from_the_others() -> None:
    """The load that he began goes on without him; who asked meanwhile gets one of his own."""
    first, second = load(GOOD), load(GOOD)
    go, reading = threading.Event(), threading.Event()
    async with held(first) as (source, reloader, in_force, _):

        def slow(_seen: Glimpse | None) -> Taken:
            reading.set()
            assert go.wait(5)
            return source.content("second", second)

        source.now = slow
        loop = asyncio.get_running_loop()
        leaving = loop.create_task(reloader.reload())
        while not reading.is_set():
            await asyncio.sleep(0.001)
        staying = loop.create_task(reloader.reload())
        await asyncio.sleep(0.01)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert in_force.policy is first
        go.set()
        assert await staying is False
        assert (in_force.policy, source.taken) == (second, 2)
