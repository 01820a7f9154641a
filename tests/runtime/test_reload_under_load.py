"""1,000 reloads a second during 200 requests a second, over the file system, half-written files among them.

No request fails for it, and none sees a mixture: its receipt's version says whose route, model and
backends it shows.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hybridllm import PolicyError, Receipt, receipt
from hybridllm._adapters.policy_source import REMEMBERED_MAX
from policy.policy_text import load
from runtime.reloading import GOOD, put, reloading, text
from runtime.world import KEY, Script

SECONDS = 3
RELOADS_PER_S = 1_000
REQUESTS_PER_S = 200
# What a receipt may show: of one of the two, and nothing of both.
POLICIES = {
    "alpha": text("eu", "us", route="route-alpha", model="model-alpha"),
    "beta": text("us", "asia", route="route-beta", model="model-beta"),
}
CANDIDATES = {
    "alpha": ("eu/model-alpha", "us/model-alpha"),
    "beta": ("us/model-beta", "asia/model-beta"),
}
VERSIONS = {load(content, KEY=KEY).version: name for name, content in POLICIES.items()}


async def at_rate(count: int, per_s: int, work: Callable[[int], Any]) -> None:
    """Begin `work(number)` so many times a second, whether the ones before are done or not."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(began + number / per_s - loop.time())
            group.create_task(work(number))


def whose(found: Receipt) -> str:
    """Whose policy the receipt shows; it must show that of one alone."""
    name = VERSIONS[found.policy_version]
    assert found.route == f"route-{name}"
    assert found.candidates == CANDIDATES[name]
    assert {attempt.model for attempt in found.attempts} == {f"model-{name}"}
    assert {attempt.model_asked for attempt in found.attempts} == {f"wire-model-{name}"}
    assert found.attempts[-1].backend == CANDIDATES[name][0].partition("/")[0]
    return name


def write(path: Path, stop: threading.Event) -> int:
    """Replace the file all the time; now and then die in the middle of it, for a while. In a thread."""
    chance = random.Random(11)
    names = list(POLICIES)
    count = 0
    while not stop.is_set():
        count += 1
        whole = POLICIES[names[count % 2]]
        if count % 100:
            put(path, whole)
        else:
            path.write_text(whole[: chance.randrange(40, len(whole) - 40)])
            stop.wait(chance.choice([0.001, 0.01, 0.1]))
    put(path, POLICIES["beta"])
    return count


async def test_a_thousand_reloads_a_second_harm_no_request(tmp_path: Path) -> None:
    """The file changes about as often, and some of its writers die in the middle."""
    path = tmp_path / "team.yaml"
    outcomes: Counter[str] = Counter()
    receipts: list[Receipt] = []
    took_s: list[float] = []
    stop = threading.Event()

    async def reload(here: Script) -> None:
        try:
            outcomes["ok" if await here.router.reload() else "unchanged"] += 1
        except PolicyError:
            outcomes["failed"] += 1

    async def ask(here: Script, number: int) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        receipts.append(receipt(await here.chat(tenant=f"tenant-{number % 50}")))
        took_s.append(loop.time() - began)

    replies = dict.fromkeys(("eu", "us", "asia"), GOOD.after(0.005))
    async with reloading(path, POLICIES["alpha"], replies, watch=True, watch_s=0.1) as here:
        await here.chat()  # what is loaded at the first request
        for name in ("beta", "alpha"):  # what nobody has loaded before must stand still for 50 ms
            put(path, POLICIES[name])
            assert await here.router.reload()
        loop = asyncio.get_running_loop()
        writes = loop.run_in_executor(None, write, path, stop)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    at_rate(SECONDS * RELOADS_PER_S, RELOADS_PER_S, lambda _: reload(here))
                )
                group.create_task(
                    at_rate(SECONDS * REQUESTS_PER_S, REQUESTS_PER_S, lambda n: ask(here, n))
                )
        finally:
            stop.set()
        assert await writes > 200
        status = here.router.status()
        assert len(here.router._engine._targets._targets) <= 3
        assert len(here.router._source[0]._memory) <= REMEMBERED_MAX
        await here.router.reload()
        assert whose(receipt(await here.chat())) == "beta"
        assert here.router.status().last_error is None

    assert sum(outcomes.values()) == SECONDS * RELOADS_PER_S
    assert len(receipts) == SECONDS * REQUESTS_PER_S
    shown = Counter(whose(found) for found in receipts)
    assert min(shown.values()) > 10
    assert status.reloads > 100
    assert sorted(took_s)[-len(took_s) // 100] < 0.25  # 7 ms, where nothing else runs
