"""What real servers do differently: odd chunks, errors inside a 200, dates; and what no server is asked.

Missing keys, embeddings, the list of models, and the bill of what is free.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest
from openai.types import Model

from hybridllm import (
    RouteExhausted,
    StreamInterrupted,
    receipt,
)
from hybridllm._core.receipt import RequestOutcome
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import KEY, MESSAGES, policy, script, scripted, text_of

GOOD = Reply.chat("fine")
TALK = Reply.chat_stream(["fine"])
DONE = b"data: [DONE]\n\n"
HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def piece(index: int = 0, finish: Any = None, **delta: Any) -> dict[str, Any]:
    return HEAD | {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


# --- streams


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([piece(finish="", content="a"), piece(finish="", content="b"),
                      piece(finish="stop"), DONE], id="finish-reason-empty"),
        pytest.param([piece(content="a"), piece(content="b", finish="stop"),
                      b"data: [DONE] \n\n"], id="space-after-done"),
        pytest.param([piece(content="ab"), piece(finish="stop"),
                      b"data:[DONE]\n\n"], id="no-space-before-done"),
        pytest.param([piece(content="ab"), piece(finish="stop"),
                      HEAD | {"choices": None, "usage": USAGE}, DONE], id="usage-choices-null"),
        pytest.param([piece(content="ab"), piece(finish="stop"),
                      HEAD | {"usage": USAGE}, DONE], id="usage-no-choices"),
        pytest.param([piece(content="ab"), piece(finish="stop") | {"usage": USAGE}, DONE],
                     id="usage-with-the-last"),
    ],
)  # fmt: skip
def test_a_whole_stream_is_whole_in_every_servers_dialect(pieces: list[Any]) -> None:
    """No other backend is asked, and nothing that is not text comes out."""

    async def main() -> None:
        async with script("eu", "us", eu=Reply.stream(*pieces)) as here:
            stream = await here.stream()
            chunks = [chunk async for chunk in stream]
            reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
            assert reasons[-1] == "stop"
            assert set(reasons[:-1]) <= {None}
            text = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
            assert "".join(text) == "ab"
            assert stream.receipt.outcome is RequestOutcome.OK
            (attempt,) = stream.receipt.attempts
            assert attempt.usage is not None
            told = any(isinstance(piece, dict) and piece.get("usage") for piece in pieces)
            assert (attempt.usage.source.value == "provider") is told
            if told:
                assert (attempt.usage.input_tokens, attempt.usage.output_tokens) == (9, 2)

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param([piece(0, "stop"), DONE], id="never-began"),
        pytest.param([piece(1, content="x"), piece(0, "stop"), DONE], id="never-finished"),
        pytest.param([piece(1, content="x"), piece(0, "stop")], id="never-finished-nor-done"),
        pytest.param([piece(1, "", content="x"), piece(0, "stop"), DONE], id="finished-with-nothing"),
    ],
)  # fmt: skip
def test_two_choices_of_which_one_never_ends_are_an_interrupted_stream(ends: list[Any]) -> None:
    """Whoever asked for two answers has one and a half; as one answer it would be whole."""

    async def main() -> None:
        async with script("eu", "us", eu=Reply.stream(piece(content="a"), *ends)) as here:
            stream = await here.stream(n=2)
            with pytest.raises(StreamInterrupted) as caught:
                await text_of(stream)
            assert caught.value.cause == "stream_interrupted"
            assert stream.receipt.outcome is RequestOutcome.ERROR
            assert here.sent("us") == 0

    run_in_virtual_time(main)


def test_two_choices_that_both_end_are_whole() -> None:
    """The witness for the test above."""
    pieces = [piece(0, content="a"), piece(1, content="b"), piece(1, "stop"), piece(0, "length")]

    async def main() -> None:
        async with script("eu", eu=Reply.stream(*pieces, DONE)) as here:
            stream = await here.stream(n=2)
            assert await text_of(stream)
            assert stream.receipt.outcome is RequestOutcome.OK

    run_in_virtual_time(main)


def test_a_json_body_that_stalls_in_place_of_a_stream_is_waited_for_no_longer_than_a_token() -> (
    None
):
    """The head says JSON, the body does not come: the limit of a first token holds for it too."""
    stalled = Reply.json({"error": {"message": "busy"}}).paced(1_000)

    async def main() -> None:
        async with script("eu", "us", eu=stalled, us=TALK) as here:
            stream = await here.stream()
            assert stream.backend == "us"
            assert asyncio.get_running_loop().time() < 60
            assert await text_of(stream) == "fine"

    run_in_virtual_time(main)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("error", "away_s"),
    [
        pytest.param({"code": "insufficient_quota", "message": "pay"}, 300, id="quota"),
        pytest.param({"code": "invalid_api_key", "message": "key", "type": "x"}, 60, id="key"),
    ],
)
def test_an_error_with_a_200_is_known_by_its_code(
    error: dict[str, Any], away_s: float, stream: bool
) -> None:
    """In answer to a stream too: the whole backend is left alone as long as with a status of its own."""
    reply = Reply.json({"error": error})

    async def main() -> None:
        good = TALK if stream else GOOD
        async with script("eu", "us", eu=reply, us=good) as here:

            async def ask() -> None:
                answer = await here.chat(stream=stream)
                if stream:
                    assert await text_of(answer) == "fine"

            await ask()
            await asyncio.sleep(away_s - 1)
            await ask()
            assert here.sent("eu") == 1
            await asyncio.sleep(2)
            await ask()
            assert here.sent("eu") == 2

    run_in_virtual_time(main)


def test_a_whole_answer_in_place_of_a_stream_is_no_stream() -> None:
    """It is a wrong answer, whoever sends it; the next backend is asked."""

    async def main() -> None:
        async with script("eu", "us", eu=GOOD, us=TALK) as here:
            stream = await here.stream()
            assert await text_of(stream) == "fine"
            assert [a.error for a in stream.receipt.attempts] == ["invalid_response", None]

    run_in_virtual_time(main)


# --- times and keys


def test_a_retry_after_date_is_measured_from_when_the_answer_came() -> None:
    """Ten seconds on the way, two of the twelve are left; from the start it would be twelve."""
    start = datetime(2026, 1, 1, tzinfo=UTC)  # a LoopClock's
    date = format_datetime(start + timedelta(seconds=12), usegmt=True)
    limited = Reply.status(429, retry_after=date).after(6).paced(4)

    async def main() -> None:
        async with script("eu", "us", eu=[limited, GOOD], us=GOOD) as here:
            await here.chat(deadline_s=60)
            assert asyncio.get_running_loop().time() == 10.0
            await asyncio.sleep(1.9)
            assert receipt(await here.chat()).attempts[0].backend == "us"
            await asyncio.sleep(0.4)
            assert receipt(await here.chat()).attempts[0].backend == "eu"

    run_in_virtual_time(main)


def keyless(*names: str) -> str:
    """A policy whose first backend reads its key from a variable that is not set."""
    return policy(*names).replace("api_key_env: KEY", "api_key_env: KEY_OF_EU", 1)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_backend_without_its_key_is_put_aside_for_a_minute(
    caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    """One attempt that sends nothing; then none, and one line in the log that names the variable."""

    async def main() -> None:
        good = TALK if stream else GOOD
        async with scripted(keyless("eu", "us"), us=good) as here:

            async def asked() -> list[tuple[str, str | None]]:
                answer = await here.chat(stream=stream)
                if stream:
                    await text_of(answer)
                return [(a.backend, a.error) for a in receipt(answer).attempts]

            assert await asked() == [("eu", "no_key"), ("us", None)]
            for _ in range(5):
                assert await asked() == [("us", None)]
            await asyncio.sleep(59)
            assert await asked() == [("us", None)]
            assert len(caplog.records) == 1
            await asyncio.sleep(2)
            assert await asked() == [("eu", "no_key"), ("us", None)]
            assert not here.router._engine.fleet.breakers

    with caplog.at_level(logging.WARNING, logger="hybridllm"):
        run_in_virtual_time(main)
    assert len(caplog.records) == 2
    assert "KEY_OF_EU" in caplog.text
    assert KEY not in caplog.text


def test_an_only_backend_without_its_key_is_one_error_and_no_loop() -> None:
    """Each request says so at once, before and during the minute; nothing is waited for or sent."""

    async def main() -> None:
        async with scripted(keyless("eu")) as here:
            for _ in range(3):
                with pytest.raises(RouteExhausted, match="KEY_OF_EU") as caught:
                    await here.chat()
                told = receipt(caught.value)
                assert {a.error for a in told.attempts} <= {"no_key"}
                assert (told.cost_usd, told.cost_complete) == (Decimal(0), True)
            assert asyncio.get_running_loop().time() == 0
            assert here.wire.requests == []

    run_in_virtual_time(main)


# --- embeddings and models

TWO_MODELS = """
version: 1
retries: {same_backend_max: 0}
backends:
  eu: {kind: api, base_url: "https://eu.test/v1"}
  us: {kind: api, base_url: "https://us.test/v1"}
models:
  first: {capabilities: [embeddings], on: {eu: first}}
  second: {capabilities: [embeddings], on: {us: second}}
routes:
  - {name: all, use: [first], fallbacks: [second]}
"""


def test_embeddings_never_fall_back_to_another_model() -> None:
    """Vectors of two models do not compare: an index would be spoilt in silence."""

    async def main() -> None:
        good = Reply.embeddings([[0.5]])
        async with scripted(TWO_MODELS, eu=Reply.status(503), us=[good, GOOD, good]) as here:
            router: Any = here.router
            await router.embeddings.create(input="x", model="second")
            told = receipt(await router.chat.completions.create(messages=MESSAGES))
            assert told.attempts[-1].backend == "us"  # the witness: a chat falls back
            sent = here.sent("us")
            for _ in range(8):
                with pytest.raises(RouteExhausted):
                    await router.embeddings.create(input="x")
            assert here.sent("us") == sent
            told = router.explain(operation="embeddings")
            assert told.candidates == ("eu/first",)

    run_in_virtual_time(main)


def test_the_models_are_awaited_or_iterated() -> None:
    """As with openai's client; nothing is asked for either."""

    async def main() -> None:
        async with scripted(TWO_MODELS) as here:
            models = here.router.models
            found = [model async for model in models.list()]
            assert [model.id for model in found] == ["first", "second"]
            assert all(isinstance(model, Model) for model in found)
            assert [model.id for model in (await models.list()).data] == ["first", "second"]
            assert here.wire.requests == []

    run_in_virtual_time(main)


# --- the bill


@pytest.mark.parametrize("failed", [Reply.fail("reset"), Reply.hang(), Reply.raw(b"<html>")])
def test_free_is_free_also_for_an_attempt_that_failed(failed: Reply) -> None:
    """Whatever it may have computed: nobody sends a bill."""
    text = policy("eu", "us", repeats=0, timeouts="attempt: 1s")
    text = text.replace("price: {input_per_1m: 1, output_per_1m: 2}", "price: free")

    async def main() -> None:
        async with scripted(text, eu=failed, us=GOOD) as here:
            told = receipt(await here.chat())
            assert [a.cost_usd for a in told.attempts] == [Decimal(0), Decimal(0)]
            assert told.cost_usd == told.cost_wasted_usd == 0
            assert told.cost_complete

    run_in_virtual_time(main)


def test_what_is_not_free_is_not_known_when_it_failed() -> None:
    """The witness for the test above."""

    async def main() -> None:
        text = policy("eu", "us", repeats=0)
        async with scripted(text, eu=Reply.fail("reset"), us=GOOD) as here:
            told = receipt(await here.chat())
            assert told.attempts[0].cost_usd is None
            assert not told.cost_complete

    run_in_virtual_time(main)
