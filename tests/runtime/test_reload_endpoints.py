"""What was learnt of an endpoint outlives a reload, as long as it is the same endpoint."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from hybridllm import Stream, receipt
from hybridllm._core.policy.succession import carried_on, endpoints
from hybridllm.testing import Reply, run_in_virtual_time
from policy.policy_text import load
from runtime.reloading import GOOD, put, reloading, text
from runtime.world import KEY, many

BEFORE = text("eu", "us")
ALL = {("eu", None), ("eu", "m"), ("us", None), ("us", "m")}
US = {("us", None), ("us", "m")}
# What changes of `eu`, and what is carried on.
CHANGES = {
    "route": (text("eu", "us", route="other"), ALL),
    "retries": (text("eu", "us", retries="{same_backend_max: 2}"), ALL),
    "order": (text("us", "eu"), ALL),
    "another backend": (text("asia", "eu", "us"), ALL),
    "price": (BEFORE.replace("input_per_1m: 1", "input_per_1m: 3"), ALL),
    "region": (BEFORE.replace("region: eu", "region: us"), ALL),
    "base_url": (text("eu", "us", urls={"eu": "https://new.test/v1"}), US),
    "key": (text("eu", "us", keys={"eu": "EU_KEY"}), US),
    "kind": (
        BEFORE.replace("kind: api, base_url: 'https://eu", "kind: vllm, base_url: 'https://eu"),
        US,
    ),
    "wire model": (text("eu", "us", wire="n"), {("eu", None), ("us", None)}),
    "model": (text("eu", "us", model="n", wire="wire-m"), {("eu", None), ("us", None)}),
    "gone": (text("us"), US),
}


def answer(sent: Any) -> Reply:
    """Whole or streamed, as was asked."""
    return Reply.chat_stream(["fine"]) if sent.json.get("stream") else GOOD


@pytest.mark.parametrize(("after", "kept"), CHANGES.values(), ids=CHANGES)
def test_an_endpoint_is_the_same_as_long_as_nothing_of_its_address_changes(
    after: str, kept: set[Any]
) -> None:
    """Place, kind, key, and the name that the model has there."""
    environ = {"KEY": KEY, "EU_KEY": KEY}
    former, policy = load(BEFORE, **environ), load(after, **environ)
    assert carried_on(former, policy) == kept
    assert carried_on(former, policy) <= endpoints(policy)
    assert carried_on(former, policy, rekeyed={"eu"}) == {key for key in kept if key[0] != "eu"}


DOWN = Reply.status(503)
LEARNT = {
    "breaker": DOWN,
    "cool-off of the backend": Reply.status(401),
    "cool-off of the pair": Reply.status(429, retry_after=60),
}


@pytest.mark.parametrize(
    ("change", "forgotten"),
    [("route", False), ("another backend", False), ("base_url", True), ("key", True)],
)
@pytest.mark.parametrize("reply", LEARNT.values(), ids=LEARNT)
def test_what_was_learnt_goes_with_its_endpoint(
    tmp_path: Path, reply: Reply, change: str, forgotten: bool
) -> None:
    """And only then: a reload does not send everybody to a dead backend again."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        environ = {"KEY": KEY, "EU_KEY": KEY}
        async with reloading(path, BEFORE, {"eu": reply}, environ=environ) as here:
            for _ in range(5):
                await here.chat()
            assert here.router.explain().refusals
            put(path, CHANGES[change][0])
            assert await here.router.reload()
            refused = {
                here.router.explain().candidates[place] for place in here.router.explain().refusals
            }
            assert refused == (set() if forgotten else {"eu/m"})
            put(path, BEFORE)
            assert await here.router.reload()
            assert bool(here.router.explain().refusals) is not forgotten

    run_in_virtual_time(main)


@pytest.mark.parametrize("reply", LEARNT.values(), ids=LEARNT)
@pytest.mark.parametrize("stream", [False, True], ids=["answer", "stream"])
def test_what_comes_late_from_a_former_endpoint_is_held_against_nobody(
    tmp_path: Path, reply: Reply, stream: bool
) -> None:
    """A request that was under way there fails; the backend that has the name now is well."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        replies = {"eu": reply.after(2.0), "us": answer}
        async with reloading(path, BEFORE, replies) as here:
            loop = asyncio.get_running_loop()
            tasks = [loop.create_task(here.chat(stream=stream)) for _ in range(8)]
            await asyncio.sleep(1)
            put(path, CHANGES["base_url"][0])
            assert await here.router.reload()
            put(path, text("us", "eu", urls={"eu": "https://new.test/v1"}))
            assert await here.router.reload()
            for task in tasks:
                found = await task
                if stream:
                    await found.close()
            assert here.router.explain().refusals == {}
            assert here.router.status().in_flight == {"us": 0, "eu": 0}

    run_in_virtual_time(main)


def test_what_comes_late_from_an_endpoint_that_stayed_counts(tmp_path: Path) -> None:
    """A reload in its middle changes nothing for it."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        async with reloading(path, BEFORE, {"eu": Reply.status(401).after(2.0)}) as here:
            task = asyncio.get_running_loop().create_task(here.chat())
            await asyncio.sleep(1)
            put(path, text("asia", "eu", "us", route="other"))
            assert await here.router.reload()
            await task
            assert [*here.router.explain().refusals] == [1]

    run_in_virtual_time(main)


def test_measured_latency_goes_with_its_endpoint(tmp_path: Path) -> None:
    """A backend at another place is not as slow as the one before."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        async with reloading(path, BEFORE, {"eu": GOOD.after(1.0)}) as here:
            latencies = here.router._engine.fleet.latencies
            for _ in range(30):
                await here.chat()
            put(path, text("eu", "us", route="other"))
            await here.router.reload()
            assert "eu/m" in latencies.snapshot()
            task = asyncio.get_running_loop().create_task(here.chat())
            await asyncio.sleep(0.5)
            put(path, CHANGES["base_url"][0])
            await here.router.reload()
            await task
            assert "eu/m" not in latencies.snapshot()

    run_in_virtual_time(main)


def test_counts_of_requests_under_way_survive_every_reload(tmp_path: Path) -> None:
    """Answered, failed, cancelled, streamed, while backends come and go: none is lost, none below zero."""
    chance = random.Random(7)
    contents = [content for content, _ in CHANGES.values()]

    async def main() -> None:
        path = tmp_path / "team.yaml"
        environ = {"KEY": KEY, "EU_KEY": KEY}
        replies = {
            "eu": lambda sent: chance.choice([answer(sent), DOWN, Reply.hang()]).after(0.2),
            "us": lambda sent: answer(sent).after(chance.random()),
        }
        async with reloading(path, BEFORE, replies, environ=environ) as here:

            async def request(number: int) -> Any:
                await asyncio.sleep(chance.random() * 5)
                async with asyncio.timeout(chance.random() * 2 + 0.01):
                    return await here.chat(stream=number % 4 == 0)

            async def reload(number: int) -> None:
                put(path, contents[number % len(contents)])
                await here.router.reload()
                assert all(count >= 0 for count in here.router.status().in_flight.values())
                await asyncio.sleep(chance.random() * 0.1)

            async with asyncio.TaskGroup() as group:
                reloads = group.create_task(many(100, 1, reload))
                requests = group.create_task(many(300, 300, request))
            assert [error for error in reloads.result() if error is not None] == []
            for found in requests.result():
                if isinstance(found, Stream):
                    await found.close()
            served = [one for one in requests.result() if not isinstance(one, Exception)]
            assert len(served) > 100
            assert {receipt(one).policy for one in served} == {"team"}
            assert set(here.router.status().in_flight.values()) == {0}

    run_in_virtual_time(main)


def test_what_comes_late_from_an_endpoint_that_is_gone_is_told_to_nobody(tmp_path: Path) -> None:
    """Its failures are nobody's any more, and whoever looks at breakers finds those that there are."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        async with reloading(path, BEFORE, {"eu": DOWN.after(2.0)}) as here:
            loop = asyncio.get_running_loop()
            tasks = [loop.create_task(here.chat()) for _ in range(8)]
            await asyncio.sleep(1)
            put(path, CHANGES["gone"][0])
            assert await here.router.reload()
            for task in tasks:
                assert receipt(await task).attempts[-1].backend == "us"
            assert not here.router._engine.fleet.breakers
            assert not here.router._engine.fleet.ailing
            assert here.router.status().in_flight == {"us": 0}

    run_in_virtual_time(main)
