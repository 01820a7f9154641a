"""G7 and G9, on real sockets and in real time: deadlines that hold, cancellations that leave nothing."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from random import Random

from hybridllm import DeadlineExceeded
from hybridllm.testing import Fault
from runtime.world import MESSAGES, World, world
from survive.bars import Bar
from survive.figures import quantile

AT_ONCE = 50
WARM = 500
LAG_S_MAX = 0.025


def cancellations(count: int, *, seed: int = 1) -> list[Bar]:
    """G9: cancel so many calls at random moments, and look at what is left."""
    return asyncio.run(_cancelled(count, seed))


def deadlines(count: int, *, seed: int = 1) -> list[Bar]:
    """G7: call backends that hang, with short deadlines."""
    return asyncio.run(_late(count, seed))


async def _cancelled(count: int, seed: int) -> list[Bar]:
    chance = Random(seed)
    async with world("eu", "us", ordered=False, backends={"latency_s": 0.01}) as here:
        await _cancel(here, WARM, chance)
        await here.idle()
        gc.collect()
        before = _rss_bytes()
        await _cancel(here, count, chance)
        await here.idle()
        for backend in here.backends.values():
            backend.requests.clear()
        gc.collect()
        grown = _rss_bytes() - before
        left = here.in_flight + here.connections_in_use + here.active
        tasks = len(asyncio.all_tasks()) - 1
        await here.chat()  # and it still answers
        figure = f"{here.in_flight} permits, {here.connections_in_use} connections"
    return [
        Bar("G9", f"left after {count:,} cancellations", "nothing", figure, left == 0),
        Bar(
            "G9",
            f"memory grown by {count:,} cancellations",
            "less than 5 MiB",
            f"{grown / 2**20:.1f} MiB ({tasks} tasks are the simulated servers')",
            grown < 5 * 2**20,
        ),
    ]


async def _cancel(here: World, count: int, chance: Random) -> None:
    loop = asyncio.get_running_loop()
    numbers = iter(range(count))

    async def one(number: int) -> None:
        if number % 2:
            await here.text()
        else:
            await here.chat()

    async def worker() -> None:
        for number in numbers:
            task = loop.create_task(one(number))
            await asyncio.sleep(chance.random() * 0.02)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())


async def _late(count: int, seed: int) -> list[Bar]:
    chance = Random(seed)
    loop = asyncio.get_running_loop()
    overruns: list[float] = []
    async with world("eu", "us", ordered=False) as here:
        await here.chat()  # the first request of a process loads `openai`
        for backend in here.backends.values():
            backend.fault = Fault.hang()
        numbers = iter(range(count))

        async def worker() -> None:
            for number in numbers:
                deadline_s = 0.1 + 0.2 * chance.random()
                began_s = loop.time()
                try:
                    await here.router.chat.completions.create(
                        messages=MESSAGES, deadline_s=deadline_s, stream=bool(number % 2)
                    )
                except DeadlineExceeded:
                    overruns.append(loop.time() - began_s - deadline_s)
                except Exception:  # noqa: BLE001 - given up before its time: no overrun
                    overruns.append(0.0)

        lags: list[float] = []
        ticker = loop.create_task(_ticking(lags))
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(worker())
        ticker.cancel()
    lag = max(lags, default=0.0)
    # The bars are for a loop that runs when it should; on a busy machine nothing can be said.
    healthy = lag <= LAG_S_MAX
    late = f" (the loop itself was late by up to {lag * 1000:.0f} ms)"
    p999, most = quantile(overruns, 0.999) or 0.0, max(overruns)
    return [
        Bar(
            "G7",
            f"deadline overrun, p99.9 of {len(overruns):,}, real time",
            "at most 50 ms",
            f"{p999 * 1000:.1f} ms{late}",
            p999 <= 0.05 if healthy or p999 <= 0.05 else None,
        ),
        Bar(
            "G7",
            "and the most",
            "at most 250 ms",
            f"{most * 1000:.1f} ms",
            most <= 0.25 if healthy or most <= 0.25 else None,
        ),
    ]


async def _ticking(lags: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + 0.01
        await asyncio.sleep(0.01)
        lags.append(loop.time() - due_s)


def _rss_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024
