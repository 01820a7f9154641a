"""What an attempt is charged by, through the router: served model, service tier, written cache, the date."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from hybridllm import Attempt, Receipt, Router, receipt
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time
from money.price_policies import text_of

MESSAGES: Any = [{"role": "user", "content": "Hi"}]
USAGE = {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100}
FLAT = "{input_per_1m: 1, output_per_1m: 10}"


def answer(**more: Any) -> dict[str, Any]:
    """Return a chat completion as a backend sends it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "wire-m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
        **more,
    }


def chunks(**more: Any) -> list[dict[str, Any]]:
    """Return the same as a stream's events, the last with the usage."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "wire-m"}
    said = {"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [
        {**head, "choices": [said]},
        {**head, "choices": [end]},
        {**head, "choices": [], "usage": USAGE, **more},
    ]


def run(
    body: Callable[[Router], Awaitable[None]],
    *replies: Reply,
    utc: datetime | None = None,
    **places: str,
) -> None:
    """Run requests against the first backend alone."""

    async def main() -> None:
        wire = ScriptedWire({"cloud.test": list(replies)})
        clock = LoopClock(utc=utc) if utc is not None else LoopClock()
        async with Router.from_text(text_of(**places), wire=wire, clock=clock) as router:
            await body(router)

    run_in_virtual_time(main)


def paid(
    *replies: Reply, stream: bool = False, utc: datetime | None = None, **places: str
) -> Receipt:
    """Return the receipt of one request."""
    found: list[Receipt] = []

    async def body(router: Router) -> None:
        if not stream:
            reply = await router.chat.completions.create(model="m", messages=MESSAGES)
            found.append(receipt(reply))
            return
        made = await router.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        async for _ in made:
            pass
        assert made.receipt is not None
        found.append(made.receipt)

    run(body, *replies, utc=utc, **places)
    return found[0]


def attempt_of(reply: Reply, **more: Any) -> Attempt:
    """Return the one attempt of a request."""
    (attempt,) = paid(reply, **more).attempts
    return attempt


TIERS = "{input_per_1m: 1, output_per_1m: 10, service_tiers: {flex: {factor: 0.5}}}"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("tier", "cost"), [("flex", "0.001"), ("default", "0.002"), ("turbo", None), (None, "0.002")]
)
def test_the_tier_of_the_answer_is_charged(
    stream: bool, tier: str | None, cost: str | None
) -> None:
    """Read from a whole answer and from a stream; a tier that nobody priced is unknown, not free."""
    reply = (
        Reply.stream(*chunks(service_tier=tier), "data: [DONE]\n\n")
        if stream
        else Reply.json(answer(service_tier=tier))
    )
    made = paid(reply, stream=stream, pair=TIERS)
    (attempt,) = made.attempts
    assert attempt.service_tier == tier
    assert attempt.cost_usd == (None if cost is None else Decimal(cost))
    assert attempt.cost_source == (None if cost is None else "local")
    assert made.cost_complete is (cost is not None)


def test_the_model_that_answered_is_looked_up() -> None:
    """Not the one that was asked for."""
    sheet = """\
prices:
  - {model: wire-m, input_per_1m: 1, output_per_1m: 1}
  - {model: wire-mini-2026, input_per_1m: 0.1, output_per_1m: 0.1}
"""
    attempt = attempt_of(Reply.json(answer(model="wire-mini-2026")), more=sheet)
    assert attempt.price is not None
    assert (attempt.price.price_id, attempt.cost_usd) == (
        "sheet:wire-mini-2026",
        Decimal("0.00011"),
    )


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 500}}, "0.001765"),
        (
            {"prompt_tokens_details": {"cached_tokens": 400, "cache_creation_tokens": 500}},
            "0.001765",
        ),
        (
            {"prompt_tokens_details": {"cached_tokens": 400}, "cache_creation_input_tokens": 500},
            "0.001765",
        ),
        ({"cache_creation_input_tokens": 1_000}, "0.00225"),
        ({"cache_creation_input_tokens": 1_001}, "0.002"),  # more than there was: not believed
        ({"prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 500}}, "0.00146"),
        ({"prompt_tokens_details": {"cache_write_tokens": "500"}}, "0.002"),
        ({"prompt_tokens_details": {"cache_write_tokens": 0}}, "0.002"),
    ],
)
def test_written_tokens_have_their_price(usage: dict[str, Any], cost: str) -> None:
    """However a backend spells them; what the cached ones leave no room for is not believed."""
    pair = (
        "{input_per_1m: 1, output_per_1m: 10, cached_input_per_1m: 0.1, cache_write_per_1m: 1.25}"
    )
    attempt = attempt_of(Reply.json(answer(usage={**USAGE, **usage})), pair=pair)
    assert attempt.cost_usd == Decimal(cost)


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        (0.00200001, "0.00200001"),
        (1e-13, "0"),
        (0, "0"),
        (5e-7, "0.0000005"),
        ("0.002", None),
        (True, None),
        (-1, None),
        (1e9, None),
        (None, None),
    ],
)
def test_what_a_backend_says_is_kept_beside_ours(cost: object, said: str | None) -> None:
    """A number of USD; anything else is no word."""
    attempt = attempt_of(Reply.json(answer(usage={**USAGE, "cost": cost})), pair=FLAT)
    assert attempt.cost_usd == Decimal("0.002")
    assert attempt.provider_cost_usd == (None if said is None else Decimal(said))
    assert attempt.cost_source == "local"


def test_without_a_price_the_backends_own_word_is_the_cost() -> None:
    """And the receipt says whose word it is."""
    made = paid(Reply.json(answer(usage={**USAGE, "cost": 0.0123})))
    (attempt,) = made.attempts
    assert (attempt.cost_usd, attempt.cost_source, attempt.price) == (
        Decimal("0.0123"),
        "provider",
        None,
    )
    assert made.cost_complete
    assert "$0.0123 (as its backend says)" in str(made)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (0.002, False),
        (0.00202, False),
        (0.0020203, True),
        (0.001981, False),
        (0.0019, True),
        (0, True),
    ],
)
def test_a_drift_of_more_than_a_hundredth_is_shown(
    said: float, shown: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """On the receipt, in the log once, and as a share in the status."""
    reply = Reply.json(answer(usage={**USAGE, "cost": said}))

    async def body(router: Router) -> None:
        for _ in range(3):
            reply = await router.chat.completions.create(model="m", messages=MESSAGES)
            assert ("its backend says $" in str(receipt(reply))) is shown
        row = next(row for row in router.status().backends if row.backend == "cloud")
        drift = None if said == 0 else round(float(Decimal("0.002") / Decimal(str(said)) - 1), 6)
        assert row.cost_drift == drift

    with caplog.at_level(logging.WARNING, "hybridllm.prices"):
        run(body, reply, reply, reply, pair=FLAT)
    assert len([one for one in caplog.records if one.name == "hybridllm.prices"]) == int(shown)


def test_a_cost_is_rounded_once_to_a_pico_dollar() -> None:
    """Half to even, where it is made; the sum of a receipt's attempts is exact."""
    pair = "{input_per_1m: 0.0000000005, output_per_1m: 0.000000015}"
    made = paid(Reply.json(answer()), pair=pair)  # 5e-13 + 15e-13: 2e-12 exactly
    assert made.cost_usd == Decimal("2E-12")
    pair = "{input_per_1m: 0.0000000005, output_per_1m: 0.00000001}"
    made = paid(Reply.json(answer()), pair=pair)  # 1.5e-12
    assert made.cost_usd == Decimal("2E-12")
    pair = "{input_per_1m: 0.0000000005, output_per_1m: 0.00000002}"
    assert paid(Reply.json(answer()), pair=pair).cost_usd == Decimal("2E-12")  # 2.5e-12


def test_a_new_price_changes_no_old_receipt() -> None:
    """Charged is what was in force when the attempt began, though it ended behind midnight."""
    pair = f"[{FLAT}, {{from: 2026-12-01, input_per_1m: 100, output_per_1m: 100}}]"
    utc = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
    found: list[Receipt] = []

    async def body(router: Router) -> None:
        for _ in range(2):
            reply = await router.chat.completions.create(model="m", messages=MESSAGES)
            found.append(receipt(reply))

    slow = Reply.json(answer()).after(2.0)
    run(body, slow, slow, utc=utc, pair=pair)
    assert [one.cost_usd for one in found] == [Decimal("0.002"), Decimal("0.11")]
    assert [one.attempts[0].price.price_id for one in found if one.attempts[0].price] == [
        "policy:m",
        "policy:m@2026-12-01",
    ]


def test_a_receipt_can_be_done_again_by_hand() -> None:
    """From the rates it keeps and the tokens it counts, whatever applied."""
    pair = """{input_per_1m: 0.37, output_per_1m: 1.13, cached_input_per_1m: 0.07, per_request: 0.0001,
      currency: EUR, context_tiers: [{above: 999, input_per_1m: 0.41}],
      hours: [{factor: 0.25}]}"""
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 333}}
    made = paid(Reply.json(answer(usage=usage)), pair=pair, more="currencies: {EUR: 1.0837}")
    told = json.loads(json.dumps(made.to_dict()))["attempts"][0]
    price, used = told["price"], told["usage"]
    by_hand = (
        (used["input_tokens"] - used["cached_input_tokens"]) * Decimal(price["usd_per_mtok_in"])
        + used["cached_input_tokens"] * Decimal(price["usd_per_mtok_cached_in"])
        + used["output_tokens"] * Decimal(price["usd_per_mtok_out"])
    ) / 1_000_000 + Decimal(price["usd_per_request"])
    assert Decimal(told["cost_usd"]) == round(by_hand, 12)
    assert price["price_id"] == "policy:m#hours-1,above-999"


def test_an_unknown_price_is_counted() -> None:
    """Not 0: the backend's total says how many attempts it knows no cost of."""

    async def body(router: Router) -> None:
        await router.chat.completions.create(model="m", messages=MESSAGES)
        row = next(row for row in router.status().backends if row.backend == "cloud")
        assert (row.cost_usd, row.cost_unknown) == ("0", 1)

    run(body, Reply.json(answer()))


def test_one_day_later_is_one_price_later() -> None:
    """Decisions follow: who is asked first by price changes with the date, without a reload."""
    more = """\
prices:
  - {model: wire-m, backend: cloud, input_per_1m: 1, output_per_1m: 1}
  - {model: wire-m, backend: cloud, from: 2026-12-02, input_per_1m: 3, output_per_1m: 3}
  - {model: wire-m, backend: other, input_per_1m: 2, output_per_1m: 2}
"""
    text = text_of(more=more).replace(
        "use: m", "use: [{model: m, on: [cloud, other], order_by: price}]"
    )
    asked: list[str] = []

    async def main() -> None:
        replies = [Reply.json(answer())] * 4
        wire = ScriptedWire({"cloud.test": replies, "other.test": replies})
        clock = LoopClock(utc=datetime(2026, 12, 1, 23, tzinfo=UTC))
        async with Router.from_text(text, wire=wire, clock=clock) as router:
            for _ in range(3):
                reply = await router.chat.completions.create(messages=MESSAGES)
                served = receipt(reply).served
                assert served is not None
                asked.append(served.backend)
                await clock.sleep(timedelta(minutes=40).total_seconds())

    run_in_virtual_time(main)
    assert asked == ["cloud", "cloud", "other"]
