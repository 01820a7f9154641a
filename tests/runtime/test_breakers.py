"""A backend that keeps failing is left in peace, asked now and then, and taken back once it has recovered.

In virtual time. How long a breaker stays open is spread by a fifth, at random.
"""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from hybridllm import BackendsUnavailable, RouteExhausted, receipt
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import Script, policy, script, scripted

OPEN_S = 6.0  # at most, the first time: 5 s and a fifth
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
            waits = [b - a for a, b in zip([0.0, *probes], probes, strict=False)]
            for waited_s, expected_s in zip(waits, [5.0, 10.0, 20.0, 30.0, 30.0], strict=False):
                assert 0.75 * expected_s <= waited_s <= 1.25 * expected_s + 0.6
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


def test_a_backend_that_has_recovered_is_taken_back_by_two_good_probes() -> None:
    """The callers of the probes are served by it, and all later ones are asked there first."""

    async def main() -> None:
        async with script("eu", "us", eu=[*[BUSY] * 5, GOOD], us=GOOD) as here:
            await opened(here)
            await asyncio.sleep(OPEN_S + 0.01)
            for breakers in (1, 0, 0):
                assert [a.backend for a in receipt(await here.chat()).attempts] == ["eu"]
                assert len(here.router._engine.fleet.breakers) == breakers

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


def test_a_stream_that_probes_has_proved_itself_with_its_first_token() -> None:
    """Its end may be minutes away; the next one probes meanwhile, and two good first tokens close it."""

    async def main() -> None:
        stream = Reply.chat_stream(["a", "b"]).paced(0.1)
        us = Reply.chat_stream(["u"])
        async with script("eu", "us", eu=[*[BUSY] * 5, stream], us=us) as here:
            for _ in range(5):
                await (await here.stream()).close()
            await asyncio.sleep(OPEN_S + 0.01)
            probes = [await here.stream() for _ in range(3)]
            assert [probe.backend for probe in probes] == ["eu"] * 3
            assert not here.router.explain(task="t").refusals
            for probe in probes:
                await probe.close()
            assert not here.router._engine.fleet.breakers

    run_in_virtual_time(main)


def test_a_stream_in_panic_beside_a_probe_is_no_probe() -> None:
    """It is asked though it is not its turn; whatever becomes of it, the probe is still under way."""

    async def main() -> None:
        replies = [*[BUSY] * 5, Reply.hang(), Reply.chat_stream(["a", "b"]).paced(0.1)]
        async with scripted(policy("eu", repeats=0), eu=replies) as here:
            for _ in range(5):
                with pytest.raises(RouteExhausted):
                    await here.chat()
            await asyncio.sleep(OPEN_S + 0.01)
            probe = asyncio.get_running_loop().create_task(here.stream())
            await asyncio.sleep(1.5)  # by then the throttle admits one for certain
            (before,) = here.router._engine.fleet.breakers.values()
            assert before.probing
            await (await here.stream()).close()
            assert list(here.router._engine.fleet.breakers.values()) == [before]
            probe.cancel()
            await asyncio.wait([probe])

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    "replies",
    [
        pytest.param([BUSY] * 5, id="five-in-a-row"),
        pytest.param([GOOD, BUSY] * 5, id="half-of-them"),
    ],
)
def test_a_health_page_is_looked_at_however_the_breaker_opened(replies: list[Reply]) -> None:
    async def main() -> None:
        async with script("eu", "us", eu=[*replies, GOOD], us=GOOD) as here:
            for _ in replies:
                await here.chat()
            assert here.router._engine.fleet.ailing == {"eu"}
            await asyncio.sleep(2.5)
            assert len(here.wire.health_requests) == 1

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
    """With every breaker open some requests are sent all the same, fewer and fewer; so recovery is seen."""

    async def main() -> None:
        text = policy("eu", "us", repeats=0)
        async with scripted(text, eu=BUSY, us=BUSY) as here:
            for _ in range(5):
                with pytest.raises(RouteExhausted) as caught:
                    await here.chat()
                assert {a.backend for a in receipt(caught.value).attempts} == {"eu", "us"}
            unavailable = []
            for _ in range(300):
                with pytest.raises(RouteExhausted) as caught:
                    await here.chat()
                if isinstance(caught.value, BackendsUnavailable):
                    unavailable.append(caught.value)
            assert 10 < here.sent("eu") + here.sent("us") < 100
            assert len(unavailable) > 200
            for error in unavailable:
                assert 0 < error.retry_after_s <= OPEN_S
                assert not receipt(error).attempts
            here.wire.script("us.test", GOOD)
            await asyncio.sleep(OPEN_S + 0.01)
            assert receipt(await here.chat()).attempts[-1].backend == "us"

    run_in_virtual_time(main)


def test_panic_goes_on_where_many_requests_succeed() -> None:
    """Three backends that fail half of the time: an open breaker everywhere would make an outage of it."""

    async def main() -> None:
        text = policy("eu", "us", "ap", ordered=False, repeats=0)
        half = {name: [BUSY, GOOD.after(0.2)] * 1_000 for name in ("eu", "us", "ap")}
        async with scripted(text, **half) as here:
            good = 0
            for _ in range(600):
                try:
                    await here.chat()
                    good += 1
                except RouteExhausted:
                    await asyncio.sleep(0.01)
            assert good > 0.55 * 600

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
    """Five in a row open it, or half of ten and more; four, and five successes, do not."""

    async def main() -> None:
        async with script("eu", "us", eu=[*[GOOD] * 5, *[BUSY] * 4] * 4, us=GOOD) as here:
            for _ in range(36):
                await here.chat()
            assert here.sent("eu") == 36

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
