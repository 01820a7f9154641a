"""What a request cost: tokens times price, exactly; what is not known is never called zero."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hybridllm import Receipt, Router, receipt
from hybridllm._core.money.usage import UsageSource
from hybridllm.testing import (
    Fault,
    LoopClock,
    Reply,
    ScriptedWire,
    prompt_tokens,
    run_in_virtual_time,
)
from runtime.world import MESSAGES, policy, script, scripted, world

POLICIES = Path(__file__).parents[2] / "policies"
KEYS = {"GLOBAL_API_KEY": "sk-test-0123456789"}


def shipped(name: str, wire: ScriptedWire) -> Router:
    """A shipped policy over scripted backends."""
    return Router.from_file(POLICIES / name, environ=KEYS, wire=wire, clock=LoopClock())


HOSTED = ("global-apis.com", "eu.global-apis.com")


def test_a_classification_goes_to_the_cheap_model_and_costs_tokens_times_price() -> None:
    """Worked out by hand: 1,234 and 5 tokens at 0.01 USD per million are 0.00001239 USD."""
    answer = Reply.chat("billing", usage=(1_234, 5), model="qwen3-8b")
    wire = ScriptedWire(dict.fromkeys(HOSTED, answer))

    async def main() -> None:
        async with shipped("api-first.yaml", wire) as router:
            reply = await router.chat.completions.create(
                task="classify",
                messages=MESSAGES,
                max_tokens=4,
            )
            told = receipt(reply)
            assert told.route == "classify-cheap"
            (attempt,) = told.attempts
            assert (attempt.model, attempt.model_asked, attempt.model_served) == ("qwen3-8b",) * 3
            assert told.cost_usd == Decimal("0.00001239")
            assert told.cost_usd == (1_234 * Decimal("0.01") + 5 * Decimal("0.01")) / 1_000_000
            assert (told.cost_complete, told.cost_wasted_usd) == (True, 0)
            assert attempt.price is not None
            assert attempt.price.price_id.startswith("qwen3-8b@")
            assert wire.requests[0].json["model"] == "qwen3-8b"

    run_in_virtual_time(main)


def test_swapping_a_model_in_the_policy_moves_the_next_request() -> None:
    """One word of the file, no code."""
    text = (POLICIES / "api-first.yaml").read_text()
    swapped = text.replace("use: [qwen3-8b, glm-4-9b]", "use: [glm-4-9b, qwen3-8b]")
    assert swapped != text
    wire = ScriptedWire(dict.fromkeys(HOSTED, Reply.chat("x")))

    async def main() -> None:
        for content, model in ((text, "qwen3-8b"), (swapped, "glm-4-9b")):
            router = Router.from_text(content, environ=KEYS, wire=wire, clock=LoopClock())
            await router.chat.completions.create(task="classify", messages=MESSAGES)
            assert wire.requests[-1].json["model"] == model

    run_in_virtual_time(main)


async def test_over_real_sockets_the_cost_is_what_the_tokens_make() -> None:
    """Streamed or not, the same tokens cost the same."""
    async with world("eu") as here:
        here["eu"].answer = "one two six ten"
        tokens = prompt_tokens(MESSAGES)
        expected = (tokens * Decimal(1) + 4 * Decimal(2)) / 1_000_000
        assert receipt(await here.chat()).cost_usd == expected
        stream = await here.stream()
        async for _ in stream:
            pass
        assert stream.receipt.cost_usd == expected


def priced(on: str, *, backend: str = "", model: str = "") -> str:
    """A policy whose one candidate has prices at up to three places."""
    text = policy("eu").replace("eu: simulated-model}", f"eu: {on}}}")
    given = f"price: {model}" if model else "context: auto"
    text = text.replace("price: {input_per_1m: 1, output_per_1m: 2}", given)
    return text.replace(
        "region: eu}", f"region: eu, price: {backend}}}" if backend else "region: eu}"
    )


PRICE = "{input_per_1m: 3, output_per_1m: 5}"


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        pytest.param(priced("x"), None, id="unknown"),
        pytest.param(priced("x", model=PRICE), "0.000055", id="of-the-model"),
        pytest.param(priced("x", backend="free", model=PRICE), "0", id="free-on-the-backend"),
        pytest.param(
            priced("{name: x, price: {input_per_1m: 0.1, output_per_1m: 0.3}}", model=PRICE),
            "0.0000025", id="of-the-pair",
        ),
        pytest.param(priced("{name: x, price: free}", backend=PRICE), "0", id="free-for-the-pair"),
    ],
)  # fmt: skip
def test_a_cost_is_known_or_unknown_and_only_free_is_zero(text: str, cost: str | None) -> None:
    """A model of which nobody has said a price has no cost; it is not taken for a gift."""

    async def main() -> None:
        async with scripted(text, eu=Reply.chat("x", usage=(10, 5))) as here:
            told = receipt(await here.chat())
            expected = None if cost is None else Decimal(cost)
            assert told.cost_usd == expected
            assert told.attempts[0].cost_usd == expected
            assert told.cost_complete is (cost is not None)
            assert json.loads(json.dumps(told.to_dict()))["cost_usd"] == (
                None if expected is None else f"{expected:f}"
            )
            assert ("cost unknown" in str(told)) is (cost is None)

    run_in_virtual_time(main)


def test_cached_tokens_are_charged_once_at_their_own_price() -> None:
    """They are a part of the prompt, not something beside it."""
    text = policy("eu").replace("output_per_1m: 2", "output_per_1m: 2, cached_input_per_1m: 0.25")
    answer = json.loads(Reply.chat("x", usage=(1_000, 10)).chunks[0])
    answer["usage"]["prompt_tokens_details"] = {"cached_tokens": 600}

    async def main() -> None:
        async with scripted(text, eu=Reply.json(answer)) as here:
            told = receipt(await here.chat())
            assert told.cost_usd == (400 * 1 + Decimal("0.25") * 600 + 10 * 2) / Decimal(1_000_000)
            usage = told.attempts[0].usage
            assert usage is not None
            assert usage.cached_input_tokens == 600
            assert "1000 (600 cached) + 10 tokens" in str(told)

    run_in_virtual_time(main)


# --- usage that makes no sense

NONSENSE = [
    pytest.param(None, id="null"),
    pytest.param("none", id="text"),
    pytest.param([1, 2], id="list"),
    pytest.param({}, id="empty"),
    pytest.param({"prompt_tokens": 5}, id="half"),
    pytest.param({"prompt_tokens": -5, "completion_tokens": 3, "total_tokens": -2}, id="negative"),
    pytest.param({"prompt_tokens": 5, "completion_tokens": float("nan")}, id="nan"),
    pytest.param({"prompt_tokens": 1e999, "completion_tokens": 3}, id="infinite"),
    pytest.param({"prompt_tokens": 10**15, "completion_tokens": 3}, id="huge"),
    pytest.param({"prompt_tokens": "5", "completion_tokens": "3"}, id="numbers-as-text"),
    pytest.param({"prompt_tokens": 2.5, "completion_tokens": 3}, id="half-a-token"),
    pytest.param({"prompt_tokens": True, "completion_tokens": 3}, id="truth-value"),
    pytest.param(
        {"prompt_tokens": "x", "completion_tokens": 3, "prompt_tokens_details": "x"}, id="details"
    ),
]


async def answered(reply: Reply, *, stream: bool) -> tuple[str, Receipt]:
    """The text of one answer, and its receipt."""
    async with script("eu", "us", eu=reply) as here:
        if not stream:
            answer = await here.chat()
            return answer.choices[0].message.content, receipt(answer)
        text = ""
        chunks = await here.stream()
        async for chunk in chunks:
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        return text, chunks.receipt


def with_usage(usage: Any, *, stream: bool) -> Reply:
    """A whole answer of two tokens that reports this usage."""
    if not stream:
        answer = json.loads(Reply.chat("hello there").chunks[0])
        return Reply.json(answer | {"usage": usage})
    pieces = Reply.chat_stream(["hello", " there"], usage=None, done=False).chunks
    event = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [],
    }
    last = f"data: {json.dumps(event | {'usage': usage})}\n\n"
    return Reply.stream(*pieces, last, "data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("usage", NONSENSE)
def test_a_usage_that_makes_no_sense_is_estimated_and_marked(usage: Any, stream: bool) -> None:
    """The answer is delivered; its cost is about what it was, and is said to be."""
    text, told = run_in_virtual_time(answered(with_usage(usage, stream=stream), stream=stream))
    assert text == "hello there"
    (attempt,) = told.attempts
    assert attempt.usage is not None
    assert attempt.usage.source is UsageSource.ESTIMATED
    assert 1 <= attempt.usage.output_tokens <= 5
    assert attempt.usage.input_tokens > 0
    assert told.cost_usd
    assert not told.cost_complete
    assert "not all of it known" in str(told)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_integral_float_is_a_count(stream: bool) -> None:
    """Proxies that hold every number as a float write `5.0`."""
    usage = {"prompt_tokens": 5.0, "completion_tokens": 2.0, "total_tokens": 7.0}
    _, told = run_in_virtual_time(answered(with_usage(usage, stream=stream), stream=stream))
    (attempt,) = told.attempts
    assert attempt.usage is not None
    assert attempt.usage.source is UsageSource.PROVIDER
    assert told.cost_usd == Decimal("0.000009")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_over_real_sockets_a_missing_usage_is_estimated(stream: bool) -> None:
    """`stream_options` asks for it; a backend may not care."""
    async with world("eu") as here:
        here["eu"].fault = Fault.no_usage()
        if stream:
            chunks = await here.stream()
            async for _ in chunks:
                pass
            told = chunks.receipt
        else:
            told = receipt(await here.chat())
        assert told.attempts[0].usage is not None
        assert told.attempts[0].usage.source is UsageSource.ESTIMATED


def test_failed_attempts_that_may_have_worked_are_said_to_cost_something() -> None:
    """A timeout may be billed: nobody knows how much, so the sum is not complete."""
    cases = {
        Reply.fail("connect"): True,  # nothing was sent, so nothing can be charged
        Reply.status(503): True,
        Reply.fail("reset"): False,
        Reply.hang(): False,
        Reply.status(502): False,
    }

    async def main() -> None:
        for reply, complete in cases.items():
            async with script("eu", "us", eu=reply, us=Reply.chat("x", usage=(10, 5))) as here:
                told = receipt(await here.chat())
                assert [a.backend for a in told.attempts] == ["eu", "us"]
                assert told.cost_usd == Decimal("0.00002")
                assert told.cost_complete is complete

    run_in_virtual_time(main)


def test_a_ceiling_keeps_out_what_would_cost_more_and_what_has_no_price() -> None:
    """`max_cost_usd` is about what is expected; nothing is sent above it."""
    text = """
version: 1
backends:
  dear: {kind: api, base_url: "https://dear.test/v1"}
  cheap: {kind: api, base_url: "https://cheap.test/v1"}
  secret: {kind: api, base_url: "https://secret.test/v1"}
models:
  big: {price: {input_per_1m: 1000, output_per_1m: 1000}, on: {dear: big}}
  small: {price: {input_per_1m: 1, output_per_1m: 1}, on: {cheap: small}}
  unknown: {on: {secret: unknown}}
routes: [{name: all, use: [big, unknown, small]}]
"""

    async def main() -> None:
        async with scripted(text, cheap=Reply.chat("x")) as here:
            told = receipt(
                await here.router.chat.completions.create(
                    messages=MESSAGES,
                    max_cost_usd="0.01",
                    max_tokens=100,
                )
            )
            assert told.candidates == ("cheap/small",)
            assert {name for name, _ in told.dropped} == {"dear/big", "secret/unknown"}

    run_in_virtual_time(main)
