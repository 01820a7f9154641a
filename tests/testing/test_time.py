"""Time that can be moved, and what is left behind when a block ends."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from hybridllm._runtime.ports import Clock
from hybridllm.testing import (
    FakeClock,
    LeakedTasks,
    LoopClock,
    VirtualTimeDeadlock,
    VirtualTimeLoop,
    no_leaks,
    run_in_virtual_time,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def test_fake_clock_wakes_sleepers_whose_time_has_come() -> None:
    """In the order of their times; the others sleep on."""
    clock = FakeClock(start_s=100.0, utc=NOON)
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 5.0), ("soon", 1.0), ("at once", 0.0)):
            group.create_task(sleeper(name, seconds))
        await asyncio.sleep(0.01)
        assert (woken, clock.sleeping) == (["at once"], 2)
        clock.advance(4.999)
        await asyncio.sleep(0)
        assert (woken, clock.sleeping) == (["at once", "soon"], 1)
        clock.advance(0.001)
    assert woken == ["at once", "soon", "late"]
    assert clock.monotonic_s() == pytest.approx(105.0)
    assert clock.utc_now() == NOON + timedelta(seconds=5)


async def test_fake_clock_forgets_who_was_cancelled() -> None:
    """A cancelled sleeper neither counts nor breaks the next step."""
    clock: FakeClock = FakeClock()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await clock.sleep(60)
    assert clock.sleeping == 0
    clock.advance(120)


def test_wall_clock_can_step_back_and_durations_do_not_notice() -> None:
    """As NTP or an operator would have it."""
    clock = FakeClock(utc=NOON)
    clock.advance(10)
    clock.set_utc(NOON - timedelta(days=365))
    assert clock.monotonic_s() == 10
    assert clock.utc_now().year == 2025


def test_fake_clock_refuses_what_no_clock_does() -> None:
    """Running backwards, or a wall clock without a zone."""
    with pytest.raises(ValueError, match=r"advance\(-1\)"):
        FakeClock().advance(-1)
    with pytest.raises(ValueError, match="aware"):
        FakeClock(utc=datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake under test


def test_hours_pass_in_no_time_and_exactly() -> None:
    """Sleeps, time limits and the loop's clock agree to the digit."""

    async def main() -> tuple[float, datetime, bool]:
        clock: Clock = LoopClock(utc=NOON)
        await clock.sleep(3_600.0)
        try:
            async with asyncio.timeout(30.25):
                await asyncio.sleep(1_000_000)
        except TimeoutError:
            expired = True
        else:
            expired = False
        return clock.monotonic_s(), clock.utc_now(), expired

    began = time.perf_counter()
    now_s, utc, expired = run_in_virtual_time(main())
    assert time.perf_counter() - began < 2.0
    assert (now_s, expired) == (3_630.25, True)
    assert utc == NOON + timedelta(seconds=3_630.25)


def test_years_pass_too() -> None:
    """After 194 days a nanosecond is less than the digits of the time have room for."""

    async def main() -> float:
        for _ in range(4):
            await asyncio.sleep(100 * 86_400.0)
            await asyncio.sleep(0.001)
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) == pytest.approx(400 * 86_400.0 + 0.004)


def test_timers_fire_in_order() -> None:
    """A thousand tasks that sleep differently wake in the order of their times."""

    async def main() -> list[float]:
        woken: list[float] = []

        async def sleeper(seconds: float) -> None:
            await asyncio.sleep(seconds)
            woken.append(asyncio.get_running_loop().time())

        async with asyncio.TaskGroup() as group:
            for number in range(1_000):
                group.create_task(sleeper(number * 7_919 % 1_000))
        return woken

    assert run_in_virtual_time(main) == [float(second) for second in range(1_000)]


def test_clock_stands_still_for_a_thread() -> None:
    """Real work in a thread takes no virtual time: no time limit strikes meanwhile."""

    async def main() -> float:
        async with asyncio.timeout(0.001):
            await asyncio.to_thread(time.sleep, 0.05)
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main) == 0.0


def test_deadlock_is_an_error_that_names_the_waiting() -> None:
    """Nothing ready and no timer: an error with each task and its place, instead of a hang."""

    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(waits_for_ever(), name="the lazy one")
            await asyncio.sleep(12.5)

    with pytest.raises(VirtualTimeDeadlock) as deadlock:
        run_in_virtual_time(main)
    message = str(deadlock.value)
    assert "deadlock at 12.5 s" in message
    assert "the lazy one: locks.py" in message
    assert "in Event.wait" in message


def test_real_sockets_are_no_deadlock() -> None:
    """With somebody's socket in the loop, data may still come."""

    async def main() -> bytes:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            received = await reader.read()
            writer.close()
            await writer.wait_closed()
        return received

    assert run_in_virtual_time(main) == b"hello"


def test_what_is_left_behind_is_cancelled() -> None:
    """The loop is closed with nothing in it, whatever the coroutine forgot."""
    ends: list[str] = []

    async def forgotten() -> None:
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    async def main() -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(forgotten())
        await asyncio.sleep(0)
        return task

    assert run_in_virtual_time(main).cancelled()
    assert ends == ["cancelled"]


async def test_virtual_time_needs_a_thread_without_a_loop() -> None:
    """Within a running loop it is an error, and no warning hides it."""

    async def main() -> None: ...

    with pytest.raises(RuntimeError, match="running event loop"):
        run_in_virtual_time(main())


def test_loop_can_be_had_by_itself() -> None:
    """For plugins that ask for a loop factory."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(asyncio.sleep(86_400))
        assert runner.get_loop().time() == 86_400.0


async def test_leaked_task_is_named_with_its_place() -> None:
    """Tasks from before the block, and those that end in time, are no leaks."""

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)

    loop = asyncio.get_running_loop()
    older = loop.create_task(sleeper(60))
    async with no_leaks():
        ends_in_time = loop.create_task(sleeper(0.02))
    assert ends_in_time.done()

    leaked: list[asyncio.Task[None]] = []

    async def leak() -> None:
        async with no_leaks(grace_s=0.01):
            leaked.append(loop.create_task(sleeper(60), name="the leak"))
            await asyncio.sleep(0)

    with pytest.raises(LeakedTasks, match=r"1 task left behind:\n  the leak: tasks.py") as error:
        await leak()
    assert error.value.tasks == ("the leak",)
    for task in (older, *leaked):
        task.cancel()
    await asyncio.wait({older, *leaked})


async def test_exception_of_the_block_goes_before_its_leaks() -> None:
    """The reason is worth more than its consequence."""
    tasks: list[asyncio.Task[None]] = []

    async def leak_and_fail() -> None:
        async with no_leaks(grace_s=0.01):
            tasks.append(asyncio.get_running_loop().create_task(asyncio.sleep(60)))
            raise KeyError("the reason")

    with pytest.raises(KeyError):
        await leak_and_fail()
    tasks[0].cancel()
    await asyncio.wait(tasks)


def test_no_leaks_works_in_virtual_time() -> None:
    """The grace is in the loop's time."""

    async def main() -> float:
        with pytest.raises(LeakedTasks):
            async with no_leaks(grace_s=300):
                asyncio.get_running_loop().create_task(asyncio.sleep(1_000))
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main) == 300.0
