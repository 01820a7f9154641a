"""Whoever asks to be left alone for a while is left alone, exactly that long; nobody waits in vain.

In virtual time: the waits are real, and exact.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import openai
import pytest

from hybridllm import RouteExhausted, receipt
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import MESSAGES, Script, policy, script, scripted

SERVED = Reply.chat("hello")


def limited(retry_after: Any = None, **headers: str) -> Reply:
    return Reply.status(429, retry_after=retry_after, headers=headers)


async def asked_again_s(here: Script, name: str, *, every_s: float) -> float:
    """Go on asking, and return when a backend was asked again."""
    loop = asyncio.get_running_loop()
    asked = here.sent(name)
    while here.sent(name) == asked:
        await asyncio.sleep(every_s)
        await here.chat()
    return loop.time()


def in_(seconds: float) -> str:
    """An HTTP date so long after the start of the scripts' wall clock."""
    return format_datetime(
        datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds), usegmt=True
    )


@pytest.mark.parametrize(
    ("reply", "away_s"),
    [
        pytest.param(limited(3), 3.0, id="seconds"),
        pytest.param(limited(None, **{"retry-after-ms": "2500"}), 2.5, id="milliseconds"),
        pytest.param(limited(in_(8)), 8.0, id="date"),
        pytest.param(limited(), 1.0, id="no-time-named"),
        pytest.param(limited("soon"), 1.0, id="words"),
        pytest.param(limited(-5), 1.0, id="negative"),
        pytest.param(limited("NaN"), 1.0, id="nan"),
        pytest.param(limited(in_(-60)), 1.0, id="a-date-that-is-past"),
        pytest.param(Reply.status(503, retry_after=4), 4.0, id="503"),
        pytest.param(limited(277_403), 60.0, id="three-days-are-capped"),
        pytest.param(limited("9" * 5_000), 1.0, id="beyond-any-number"),
    ],
)
def test_a_backend_that_names_a_time_is_left_alone_that_long(reply: Reply, away_s: float) -> None:
    """The request goes elsewhere at once; for the time named, within a tenth, nobody asks there."""

    async def main() -> None:
        async with script("eu", "us", eu=[reply, SERVED], us=SERVED) as here:
            told = receipt(await here.chat())
            assert [a.backend for a in told.attempts] == ["eu", "us"]
            assert told.duration_s == 0.0
            back_s = await asked_again_s(here, "eu", every_s=away_s / 50)
            assert away_s * 0.9 <= back_s <= away_s * 1.13

    run_in_virtual_time(main)


def test_a_short_wait_is_waited_for_when_nobody_else_is_there() -> None:
    """A caller would rather wait a second than be told to come back in one."""

    async def main() -> None:
        async with script("eu", eu=[limited(1), SERVED]) as here:
            told = receipt(await here.chat())
            assert [a.error for a in told.attempts] == ["429", None]
            assert 0.9 <= told.duration_s <= 1.1

    run_in_virtual_time(main)


@pytest.mark.parametrize("retry_after", [3, 60, 277_403, "1e309", "inf", "9" * 5_000])
def test_a_long_wait_is_not_waited_for(retry_after: Any) -> None:
    """A server's header does not hold a caller for days: the error comes at once, and says why."""

    async def main() -> None:
        async with script("eu", eu=limited(retry_after)) as here:
            with pytest.raises(RouteExhausted) as caught:
                await here.chat()
            assert isinstance(caught.value, openai.RateLimitError)
            assert receipt(caught.value).duration_s <= 2.5

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (402, None),
        (429, "insufficient_quota"),
        (429, "credit_balance_exhausted"),
        (429, "organization_spend_limit_exceeded"),
        (400, "Arrearage"),
    ],
)
def test_a_backend_without_money_is_left_alone_with_all_its_models(
    status: int, code: str | None
) -> None:
    """Its other models are paid from the same account; for five minutes nobody asks."""
    route = "{name: others, when: {tenant: o}, use: [{model: other, on: [eu, us]}]}"
    text = policy("eu", "us")
    text = text.replace("models:\n", "models:\n  other: {on: {eu: other, us: other}}\n")
    text = text.replace("routes:\n", f"routes:\n  - {route}\n")

    async def main() -> None:
        replies = [Reply.status(status, error_code=code), SERVED]
        async with scripted(text, eu=replies, us=SERVED) as here:
            assert receipt(await here.chat()).attempts[-1].backend == "us"
            other = await here.chat(tenant="o")
            assert [a.backend for a in receipt(other).attempts] == ["us"]
            await asyncio.sleep(299)
            await here.chat()
            assert here.sent("eu") == 1
            await asyncio.sleep(2)
            await here.chat()
            assert here.sent("eu") == 2

    run_in_virtual_time(main)


def test_a_wrong_key_is_tried_once_a_minute() -> None:
    """401 says nothing about the backend's health, yet asking again at once would not help."""

    async def main() -> None:
        async with script("eu", "us", eu=Reply.status(401), us=SERVED) as here:
            for _ in range(25):
                assert receipt(await here.chat()).attempts[-1].backend == "us"
                await asyncio.sleep(4.0)
            assert here.sent("eu") == 2

    run_in_virtual_time(main)


def test_a_model_that_is_missing_in_one_place_is_asked_for_in_another() -> None:
    """404 for a model: the pair is left alone for a minute, the backend's other models are not."""

    async def main() -> None:
        async with script(
            "eu", "us", eu=Reply.status(404, error_code="model_not_found"), us=SERVED
        ) as here:
            for _ in range(5):
                assert receipt(await here.chat()).attempts[-1].backend == "us"
            assert here.sent("eu") == 1

    run_in_virtual_time(main)


def test_when_all_ask_to_be_left_alone_the_caller_hears_it_from_one_of_them() -> None:
    """Gates never empty a plan: now and then one is asked all the same; the error is theirs either way."""

    async def main() -> None:
        async with script("eu", "us", eu=limited(30), us=limited(30)) as here:
            for _ in range(3):
                with pytest.raises(openai.RateLimitError):
                    await here.chat()
            assert here.sent("eu") + here.sent("us") <= 2 + 2
            here.wire.script("eu.test", SERVED)
            await asyncio.sleep(1.01)
            assert (await here.chat()).choices[0].message.content == "hello"

    run_in_virtual_time(main)


def test_a_stream_obeys_the_same_limits() -> None:
    """The gate is the backend's, not the call's shape."""

    async def main() -> None:
        stream = Reply.chat_stream(["hel", "lo"])
        async with script("eu", "us", eu=[limited(2), stream], us=stream) as here:
            async with await here.stream(messages=MESSAGES) as first:
                assert first.backend == "us"
            async with await here.stream() as second:
                assert second.backend == "us"
            await asyncio.sleep(2.3)
            async with await here.stream() as third:
                assert third.backend == "eu"

    run_in_virtual_time(main)
