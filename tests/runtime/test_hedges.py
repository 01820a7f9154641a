"""A hedge: the second backend is asked when the first takes long, the first answer wins, the other is paid.

In virtual time. One request in twenty may be hedged, so twenty quick ones come first.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import openai
import pytest

from hybridllm import RouteExhausted, receipt
from hybridllm._core.money.usage import UsageSource
from hybridllm._core.receipt import AttemptOutcome, AttemptReason
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import Script, policy, scripted, text_of

GOOD, BUSY = Reply.chat("eu"), Reply.status(503)
LATE, THERE = GOOD.after(3.0), Reply.chat("us").after(0.2)
SERVED, FAILED = AttemptOutcome.SERVED, AttemptOutcome.FAILED
LOST, CANCELLED = AttemptOutcome.LOST_HEDGE, AttemptOutcome.CANCELLED
AFTER = "hedge: {after: 500ms}"
CALLS = 20


def hedged(*names: str, task: str = AFTER, **options: Any) -> str:
    return policy(*names, task=task, **options)


async def warm(here: Script, calls: int = CALLS) -> None:
    """So many quick requests, of which a twentieth may be hedged now."""
    for _ in range(calls):
        await here.chat()


def asyncio_now() -> float:
    return asyncio.get_running_loop().time()


def story(of: Any) -> list[tuple[str, AttemptReason, AttemptOutcome]]:
    """(backend, reason, outcome) of each attempt, in the order in which they began."""
    return [(one.backend, one.reason, one.outcome) for one in receipt(of).attempts]


def quick_then(*replies: Reply, calls: int = CALLS) -> list[Reply]:
    return [GOOD] * calls + list(replies)


def test_nobody_is_hedged_who_does_not_ask_for_it() -> None:
    """However long the first takes."""

    async def main() -> None:
        async with scripted(policy("eu", "us"), eu=quick_then(LATE), us=THERE) as here:
            await warm(here)
            answer = await here.chat()
            assert story(answer) == [("eu", AttemptReason.PRIMARY, SERVED)]
            assert here.sent("us") == 0

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("eu", "us", "expected", "duration_s"),
    [
        pytest.param(GOOD.after(0.49), THERE, [("eu", SERVED)], 0.49, id="in-time"),
        pytest.param(LATE, THERE, [("eu", LOST), ("us", SERVED)], 0.7, id="the-hedge-wins"),
        pytest.param(
            GOOD.after(0.6), THERE, [("eu", SERVED), ("us", LOST)], 0.6, id="the-hedge-loses"
        ),
        pytest.param(
            Reply.hang(), THERE, [("eu", LOST), ("us", SERVED)], 0.7, id="the-first-hangs"
        ),
        pytest.param(LATE, Reply.hang(), [("eu", SERVED), ("us", LOST)], 3.0, id="the-hedge-hangs"),
        pytest.param(
            LATE, BUSY.after(0.1), [("eu", SERVED), ("us", FAILED)], 3.0, id="the-hedge-fails"
        ),
        pytest.param(
            BUSY.after(0.6), THERE, [("eu", FAILED), ("us", SERVED)], 0.7, id="the-first-fails"
        ),
        pytest.param(
            BUSY.after(0.2), THERE, [("eu", FAILED), ("us", SERVED)], 0.4, id="before-the-hedge"
        ),
    ],
)
def test_the_first_answer_wins(
    eu: Reply, us: Reply, expected: list[tuple[str, AttemptOutcome]], duration_s: float
) -> None:
    """The other one is on the receipt; nothing is left of it."""

    async def main() -> None:
        async with scripted(hedged("eu", "us"), eu=quick_then(eu), us=us) as here:
            await warm(here)
            answer = await here.chat()
            assert here.idle
            assert [(backend, outcome) for backend, _, outcome in story(answer)] == expected
            found = receipt(answer)
            assert found.duration_s == pytest.approx(duration_s, abs=0.01)
            served = next(backend for backend, outcome in expected if outcome is SERVED)
            assert answer.choices[0].message.content == served
            reasons = [one.reason for one in found.attempts]
            early = eu.failure is None and eu.status_code == 503 and eu.delay_s < 0.5
            second = AttemptReason.FAILOVER if early else AttemptReason.HEDGE
            assert reasons == [AttemptReason.PRIMARY, second][: len(expected)]
            assert [one.number for one in found.attempts] == [1, 2][: len(expected)]

    run_in_virtual_time(main)


def test_the_loser_is_paid_for_and_not_blamed() -> None:
    """Its tokens are estimated, its cost is waste, and its breaker hears nothing."""

    async def main() -> None:
        async with scripted(hedged("eu", "us"), eu=quick_then(LATE), us=THERE) as here:
            await warm(here)
            found = receipt(await here.chat())
            lost, served = found.attempts
            assert (lost.outcome, lost.error) == (LOST, None)
            assert lost.usage is not None
            assert lost.usage.source is UsageSource.ESTIMATED
            assert lost.cost_usd is not None
            assert lost.cost_usd > 0
            assert found.cost_wasted_usd == lost.cost_usd
            assert found.cost_usd == lost.cost_usd + (served.cost_usd or Decimal(0))
            assert not found.cost_complete
            assert not here.router._engine.fleet.breakers

    run_in_virtual_time(main)


STREAM_EU = Reply.chat_stream(["e", "u"])
STREAM_US = Reply.chat_stream(["u", "s"])


@pytest.mark.parametrize(
    ("eu", "us", "text", "backends"),
    [
        pytest.param(STREAM_EU.after(2.0), STREAM_US, "us", "eu us", id="the-hedge-wins"),
        pytest.param(STREAM_EU.paced(0.3), STREAM_US.paced(0.4), "eu", "eu us", id="it-loses"),
        pytest.param(STREAM_EU.paced(0.2), STREAM_US, "eu", "eu", id="in-time"),
        # The head and a role come at once: neither is a token.
        pytest.param(
            Reply.stream(*STREAM_EU.chunks[:1]).then_hang(), STREAM_US, "us", "eu us", id="role"
        ),
        pytest.param(STREAM_EU.after(2.0), BUSY, "eu", "eu us", id="the-hedge-fails"),
    ],
)
def test_of_streams_the_first_token_wins(eu: Reply, us: Reply, text: str, backends: str) -> None:
    """One stream is handed out; the other was closed by then."""

    async def main() -> None:
        async with scripted(hedged("eu", "us"), eu=quick_then(eu), us=us) as here:
            await warm(here)
            stream = await here.stream()
            assert here.wire.active == 1
            assert await text_of(stream) == text
            assert [one.backend for one in stream.receipt.attempts] == backends.split()
            outcomes = {one.outcome for one in stream.receipt.attempts}
            assert outcomes <= {SERVED, LOST, FAILED}

    run_in_virtual_time(main)


def test_a_winner_that_breaks_is_gone_on_for_and_the_receipt_tells_all_in_order() -> None:
    async def main() -> None:
        eu = Reply.stream(*STREAM_EU.chunks[:2]).then_fail().after(0.7)
        us = [STREAM_US.after(5.0), STREAM_US]
        async with scripted(hedged("eu", "us"), eu=quick_then(eu), us=us) as here:
            await warm(here)
            stream = await here.stream(on_interrupt="restart")
            async for _ in stream:
                pass
            assert [(one.number, one.backend, one.outcome) for one in stream.receipt.attempts] == [
                (1, "eu", FAILED),
                (2, "us", LOST),
                (3, "us", SERVED),
            ]

    run_in_virtual_time(main)


def test_if_both_fail_it_goes_on_as_without_a_hedge() -> None:
    """A third backend is asked; the hedge was an attempt like another. No second hedge."""

    async def main() -> None:
        text = hedged("eu", "us", "ap")
        eu, us = quick_then(BUSY.after(0.8)), BUSY.after(0.1)
        async with scripted(text, eu=eu, us=us, ap=Reply.chat("ap").after(5.0)) as here:
            await warm(here)
            assert story(await here.chat()) == [
                ("eu", AttemptReason.PRIMARY, FAILED),
                ("us", AttemptReason.HEDGE, FAILED),
                ("ap", AttemptReason.FAILOVER, SERVED),
            ]

    run_in_virtual_time(main)


def test_with_nobody_left_both_failures_are_told() -> None:
    async def main() -> None:
        text = hedged("eu", "us", repeats=0)
        async with scripted(text, eu=quick_then(BUSY.after(0.8)), us=BUSY.after(0.1)) as here:
            await warm(here)
            with pytest.raises(RouteExhausted) as caught:
                await here.chat()
            assert {backend for backend, _ in caught.value.failures} == {"eu", "us"}

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("eu", "us"),
    [
        pytest.param(Reply.status(400).after(0.8), THERE.after(9.0), id="of-the-first"),
        pytest.param(LATE, Reply.status(400).after(0.1), id="of-the-hedge"),
        pytest.param(Reply.status(400).after(0.8), BUSY.after(0.3), id="both-in-one-moment"),
        pytest.param(BUSY.after(0.8), Reply.status(400).after(0.3), id="either-way"),
    ],
)
def test_a_request_that_is_at_fault_stops_both(eu: Reply, us: Reply) -> None:
    """It would fail the same way anywhere; nobody else is asked."""

    async def main() -> None:
        async with scripted(hedged("eu", "us", "ap"), eu=quick_then(eu), us=us, ap=GOOD) as here:
            await warm(here)
            with pytest.raises(openai.BadRequestError):
                await here.chat()
            assert here.sent("ap") == 0
            assert here.idle

    run_in_virtual_time(main)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("limited", ["", "concurrency: 20"])
@pytest.mark.parametrize("leaves_s", [0.0, 0.3, 0.5, 0.7, 0.75])
def test_a_caller_who_leaves_at_any_step_leaves_nothing(
    stream: bool, limited: str, leaves_s: float
) -> None:
    """As it begins, as the hedge does, as both answer in one moment, and at each step from there on."""

    async def main() -> None:
        eu = (STREAM_EU if stream else GOOD).after(0.7)
        us = (STREAM_US if stream else Reply.chat("us")).after(0.2)
        text = hedged("eu", "us", each=limited)
        async with scripted(text, eu=quick_then(eu), us=us) as here:
            await warm(here)
            for steps in range(16):
                for _ in range(CALLS):  # so that this one may be hedged too
                    turns = here.router._engine.turns
                    turns.spending.request(here.router.policy.budget, asyncio_now())
                task = asyncio.get_running_loop().create_task(here.chat(stream=stream))
                await asyncio.sleep(leaves_s)
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled() and stream:
                    await task.result().close()
                assert here.idle
                lanes = here.router._engine.fleet.slots._lanes.values()
                assert all(lane.promised == 0 for lane in lanes)

    run_in_virtual_time(main)


def test_one_request_in_twenty_is_hedged_at_most() -> None:
    """Where every answer takes long; the others wait for the first one."""

    async def main() -> None:
        async with scripted(hedged("eu", "us"), eu=GOOD.after(0.9), us=Reply.chat("us")) as here:
            for _ in range(10):
                async with asyncio.TaskGroup() as group:
                    for _ in range(40):
                        group.create_task(here.chat())
            assert 10 <= here.sent("us") <= 20

    run_in_virtual_time(main)


def test_a_quiet_service_is_not_hedged() -> None:
    """Of nineteen requests in ten seconds none may be."""

    async def main() -> None:
        eu = quick_then(LATE, calls=18)
        async with scripted(hedged("eu", "us"), eu=eu, us=THERE) as here:
            await warm(here, 18)
            assert story(await here.chat()) == [("eu", AttemptReason.PRIMARY, SERVED)]

    run_in_virtual_time(main)


def test_only_the_same_model_on_another_backend_of_the_plan_is_asked() -> None:
    """Not another model, not a backend that the route does not name, not one that is refused."""
    text = hedged("eu", "us", "ap").replace("on: [eu, us, ap]}", "on: [eu]}")

    async def main() -> None:
        async with scripted(text, eu=quick_then(LATE), us=THERE, ap=THERE) as here:
            await warm(here)
            assert story(await here.chat()) == [("eu", AttemptReason.PRIMARY, SERVED)]
            assert here.sent("us") == here.sent("ap") == 0
        async with scripted(
            hedged("eu", "us", "ap", each="concurrency: 64"), eu=quick_then(LATE), us=GOOD, ap=THERE
        ) as here:
            await warm(here)
            here.router._engine.fleet.slots._lanes["us"].promised = 64  # full
            assert [one[0] for one in story(await here.chat())] == ["eu", "ap"]
            here.router._engine.fleet.slots._lanes["us"].promised = 0

    run_in_virtual_time(main)


@pytest.mark.parametrize(("words", "second"), [(10, True), (2_000, False)])
def test_a_long_prompt_is_not_hedged(words: int, second: bool) -> None:
    """It would be paid twice; `prompt_tokens_max` says from where on."""
    task = "hedge: {after: 500ms, prompt_tokens_max: 1K}"

    async def main() -> None:
        async with scripted(hedged("eu", "us", task=task), eu=quick_then(LATE), us=THERE) as here:
            await warm(here)
            prompt = [{"role": "user", "content": "hello world " * words}]
            answer = await here.chat(messages=prompt)
            assert len(receipt(answer).attempts) == 1 + second

    run_in_virtual_time(main)


def test_a_percentile_is_of_what_was_measured() -> None:
    """p95 of answers that took half a second: the hedge goes after that, and not before 300 ms."""

    async def main() -> None:
        for usual_s, expected_s in ((0.5, 0.7), (0.01, 0.5)):
            eu = [GOOD.after(usual_s)] * 20 + [Reply.hang()]
            text = hedged("eu", "us", task="hedge: {after: p95}")
            async with scripted(text, eu=eu, us=THERE) as here:
                async with asyncio.TaskGroup() as group:
                    for _ in range(20):
                        group.create_task(here.chat())
                found = receipt(await here.chat())
                assert [one.backend for one in found.attempts] == ["eu", "us"]
                assert found.duration_s == pytest.approx(expected_s, abs=0.02)

    run_in_virtual_time(main)


def test_a_percentile_that_was_not_measured_hedges_nobody() -> None:
    async def main() -> None:
        text = hedged("eu", "us", task="hedge: {after: p95}")
        async with scripted(text, eu=LATE, us=THERE) as here:
            async with asyncio.TaskGroup() as group:
                for _ in range(25):
                    group.create_task(here.chat())
            assert here.sent("us") == 0

    run_in_virtual_time(main)


def test_hedges_stay_within_a_limit() -> None:
    """Requests that begin in one and the same step of the loop: the slot of a race is held from its start."""

    async def main() -> None:
        text = hedged("eu", each="concurrency: 2", timeouts="attempt: 50s")
        async with scripted(text, eu=GOOD.after(0.8)) as here:
            most = 0

            async def watch() -> None:
                nonlocal most
                for _ in range(100):
                    most = max(most, here.wire.active)
                    await asyncio.sleep(0.02)

            async with asyncio.TaskGroup() as group:
                group.create_task(watch())
                for _ in range(5):
                    group.create_task(here.chat(priority="batch"))
            assert most == 2

    run_in_virtual_time(main)


def test_who_is_covered_up_for_looks_slow_all_the_same() -> None:
    """A loser would have taken at least as long as it ran: the next request goes to the other first."""

    async def main() -> None:
        text = hedged("eu", "us", ordered=False)
        async with scripted(text, eu=quick_then(LATE), us=THERE) as here:
            await warm(here)
            assert story(await here.chat())[0][0] == "eu"
            assert [one[0] for one in story(await here.chat())] == ["us"]

    run_in_virtual_time(main)
