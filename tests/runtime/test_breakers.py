"""A backend that keeps failing is left in peace, asked now and then, and taken back once it has recovered.

In virtual time: cool-downs are exact.
"""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from hybridllm import RouteExhausted, receipt
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import Script, policy, script, scripted

OPEN_S = 5.0
BUSY, GOOD = Reply.status(503), Reply.chat("fine")


async def opened(here: Script) -> None:
    """Let `eu` fail five times: its breaker opens."""
    for _ in range(5):
        assert receipt(await here.chat()).attempts[-1].backend == "us"
    assert here.sent("eu") == 5


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(BUSY, id="503"),
        pytest.param(Reply.fail("connect"), id="refused"),
        pytest.param(Reply.fail("reset"), id="reset"),
        pytest.param(Reply.raw(b"<html>"), id="html"),
        pytest.param(Reply.hang(), id="hang"),
    ],
)
def test_a_dead_backend_gets_one_probe_per_cool_down(reply: Reply) -> None:
    """Five failures, then nothing for 5 s, one request, 10 s, one, 20 s, one, and 30 s from there on."""

    async def main() -> None:
        text = policy("eu", "us", timeouts="attempt: 50ms")
        async with scripted(text, eu=reply, us=GOOD) as here:
            await opened(here)
            began = asyncio.get_running_loop().time()
            for _ in range(400):
                await asyncio.sleep(0.25)
                await here.chat()
            probes = [sent.sent_at_s - began for sent in here.wire.sent_to("eu.test")[5:]]
            assert [b - a for a, b in zip([0.0, *probes], probes, strict=False)] == pytest.approx(
                [5.0, 10.0, 20.0, 30.0, 30.0][: len(probes)], abs=0.6
            )
            assert len(probes) >= 4

    run_in_virtual_time(main)


def test_under_load_too_there_is_one_probe_at_a_time() -> None:
    """A hundred callers at the moment when a cool-down ends: one of them probes."""

    async def main() -> None:
        async with script("eu", "us", eu=[BUSY] * 5 + [BUSY.after(0.1)], us=GOOD) as here:
            await opened(here)
            await asyncio.sleep(OPEN_S + 0.01)
            async with asyncio.TaskGroup() as group:
                for _ in range(100):
                    group.create_task(here.chat())
            assert here.sent("eu") == 6

    run_in_virtual_time(main)


def test_a_backend_that_has_recovered_is_taken_back_by_one_good_probe() -> None:
    """The caller of the probe is served by it, and all later ones are asked there first."""

    async def main() -> None:
        async with script("eu", "us", eu=[*[BUSY] * 5, GOOD], us=GOOD) as here:
            await opened(here)
            await asyncio.sleep(OPEN_S + 0.01)
            for _ in range(3):
                assert [a.backend for a in receipt(await here.chat()).attempts] == ["eu"]

    run_in_virtual_time(main)


@pytest.mark.parametrize("way", ["plain", "stream"])
def test_a_cancelled_probe_gives_its_permit_back(way: str) -> None:
    """Its caller left: that says nothing about the backend, and the next request probes."""

    async def main() -> None:
        async with script("eu", "us", eu=[*[BUSY] * 5, Reply.hang(), GOOD], us=GOOD) as here:
            await opened(here)
            await asyncio.sleep(OPEN_S + 0.01)
            task = asyncio.get_running_loop().create_task(here.chat(stream=way == "stream"))
            await asyncio.sleep(0.1)
            assert here.sent("eu") == 6
            assert receipt(await here.chat()).attempts[0].backend == "us"  # while it is under way
            task.cancel()
            await asyncio.wait([task])
            assert receipt(await here.chat()).attempts[0].backend == "eu"

    run_in_virtual_time(main)


def test_a_stream_that_probes_closes_the_breaker_at_its_end_and_not_before() -> None:
    """A first token proves little; left early it proves nothing, and the next one probes again."""

    async def main() -> None:
        stream = Reply.chat_stream(["a", "b"]).paced(0.1)
        us = Reply.chat_stream(["u"])
        async with script("eu", "us", eu=[*[BUSY] * 5, stream, stream, stream], us=us) as here:
            for _ in range(5):
                await (await here.stream()).close()
            await asyncio.sleep(OPEN_S + 0.01)
            left = await here.stream()
            assert left.backend == "eu"
            other = await here.stream()
            assert other.backend == "us"
            await other.close()
            await left.close()
            whole = await here.stream()
            assert whole.backend == "eu"
            assert [chunk async for chunk in whole]
            assert not here.router.explain(task="t").refusals

    run_in_virtual_time(main)


def test_a_late_result_of_before_the_trip_changes_nothing() -> None:
    """A slow answer that began before closes no breaker; a late failure keeps none open longer."""

    async def main() -> None:
        slow_good, slow_bad = GOOD.after(3.0), BUSY.after(4.0)
        async with script("eu", "us", eu=[slow_good, slow_bad, *[BUSY] * 5, GOOD], us=GOOD) as here:
            loop = asyncio.get_running_loop()
            early = [loop.create_task(here.chat()) for _ in range(2)]
            await asyncio.sleep(0.1)
            for _ in range(5):
                await here.chat()
            opened_at_s = loop.time()
            assert here.sent("eu") == 7
            await asyncio.wait(early)
            assert receipt(early[0].result()).attempts[-1].backend == "eu"
            assert receipt(await here.chat()).attempts[0].backend == "us"  # still open
            await asyncio.sleep(opened_at_s + OPEN_S + 0.01 - loop.time())
            assert receipt(await here.chat()).attempts[0].backend == "eu"  # and no longer than that

    run_in_virtual_time(main)


def test_breakers_never_empty_a_plan() -> None:
    """With every breaker open the request is sent all the same, once to each; and so recovery is seen."""

    async def main() -> None:
        text = policy("eu", "us", repeats=0)
        async with scripted(text, eu=BUSY, us=BUSY) as here:
            for _ in range(8):
                with pytest.raises(RouteExhausted) as caught:
                    await here.chat()
                assert {a.backend for a in receipt(caught.value).attempts} == {"eu", "us"}
            here.wire.script("us.test", GOOD)
            assert receipt(await here.chat()).attempts[-1].backend == "us"
            # Its success lets a probe through at once, instead of after the cool-down.
            assert [a.backend for a in receipt(await here.chat()).attempts] == ["us"]

    run_in_virtual_time(main)


def test_a_total_outage_fails_fast() -> None:
    """No back-off, no wait: the caller hears at once what cannot be had."""

    async def main() -> None:
        async with script("eu", "us", eu=Reply.fail("connect"), us=Reply.fail("connect")) as here:
            for _ in range(10):
                with pytest.raises(openai.APIConnectionError):
                    await here.chat()
            began = asyncio.get_running_loop().time()
            with pytest.raises(openai.APIConnectionError):
                await here.chat()
            assert asyncio.get_running_loop().time() == began

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply.status(400), id="400"),
        pytest.param(Reply.status(422), id="422"),
        pytest.param(Reply.chat("cut", finish_reason="length"), id="length"),
        pytest.param(Reply.chat("", finish_reason="content_filter"), id="filter"),
    ],
)
def test_what_is_no_fault_of_the_backend_opens_nothing(reply: Reply) -> None:
    """Bad requests, long answers, filtered ones: however many."""

    async def main() -> None:
        async with script("eu", "us", eu=reply, us=GOOD) as here:
            for _ in range(20):
                try:
                    await here.chat()
                except openai.APIStatusError:
                    pass
            assert here.sent("us") == 0
            assert not here.router._engine.fleet.breakers

    run_in_virtual_time(main)


def test_successes_in_between_keep_a_breaker_closed() -> None:
    """Five failures in a row open it; four, and a success, do not."""

    async def main() -> None:
        async with script("eu", "us", eu=[*[BUSY] * 4, GOOD] * 4, us=GOOD) as here:
            for _ in range(20):
                await here.chat()
            assert here.sent("eu") == 20

    run_in_virtual_time(main)


def test_each_model_of_a_backend_has_a_breaker_of_its_own() -> None:
    """One that is not loaded does not take the others along."""
    text = policy("eu", "us").replace("models:\n", "models:\n  other: {on: {eu: other}}\n")

    async def main() -> None:
        def by_model(sent: Any) -> Reply:
            return GOOD if sent.json["model"] == "other" else BUSY

        async with scripted(text, eu=by_model, us=GOOD) as here:
            await opened(here)
            assert receipt(await here.chat()).attempts[0].backend == "us"
            assert receipt(await here.chat(model="other")).attempts[0].backend == "eu"

    run_in_virtual_time(main)
