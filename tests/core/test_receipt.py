"""A receipt as a value, for people and for JSON."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from hybridllm._core.money.capacity import FixedCost
from hybridllm._core.money.price import Price
from hybridllm._core.money.usage import Usage, UsageSource
from hybridllm._core.receipt import (
    Attempt,
    AttemptOutcome,
    AttemptReason,
    Receipt,
    RequestOutcome,
)
from hybridllm._core.receipt_text import usd

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PRICE = Price(Decimal("0.01"), Decimal("0.02"), price_id="qwen3-8b@2026-06")
FAILED = Attempt(
    number=1, backend="eu", region="eu", model="qwen3-8b", model_asked="qwen3-8b", model_served=None,
    reason=AttemptReason.PRIMARY, outcome=AttemptOutcome.FAILED, error="503", status_code=503,
    started_at=AT, duration_s=0.012, first_token_s=None, usage=None, price=PRICE, cost_usd=None,
    maybe_billed=False,
)  # fmt: skip
SERVED = replace(
    FAILED, number=2, backend="us", region="us", model_served="qwen3-8b-0926",
    reason=AttemptReason.FAILOVER, outcome=AttemptOutcome.SERVED, error=None, status_code=200,
    duration_s=0.5, first_token_s=0.1, usage=Usage(1_000, 50, 600, 10),
    cost_usd=Decimal("0.000011"), maybe_billed=True,
)  # fmt: skip
RECEIPT = Receipt(
    request_id="ab" * 16, policy="api-first", policy_version="sha256:0123456789ab", route="cheap",
    operation="chat", task="classify", residency="eu", tenant="acme", feature=None, session=None,
    stream=True, candidates=("eu/qwen3-8b", "us/qwen3-8b"), reasons=("first", "second"),
    dropped=(("own/qwen3-8b", "environment"),), attempts=(FAILED, SERVED), outcome=RequestOutcome.OK,
    error=None, started_at=AT, duration_s=0.512, first_token_s=0.112, cost_usd=Decimal("0.000011"),
    cost_wasted_usd=Decimal(0), cost_complete=True,
)  # fmt: skip


def test_a_receipt_reads_like_this() -> None:
    """A line for the request, one for each attempt."""
    assert str(RECEIPT).splitlines() == [
        "ok  route cheap of api-first  512 ms  $0.000011  (task classify, residency eu, tenant acme)",
        "  1. eu/qwen3-8b  primary  503  12 ms",
        "  2. us/qwen3-8b  failover  served  500 ms  first token 100 ms  "
        "1000 (600 cached) + 50 tokens  $0.000011 (qwen3-8b@2026-06)",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cost_usd": None}, "cost unknown"),
        ({"cost_complete": False}, "$0.000011 (not all of it known)"),
        ({"cost_wasted_usd": Decimal("0.5")}, "  wasted on failed attempts: $0.5"),
        ({"outcome": RequestOutcome.DENIED, "route": None, "attempts": ()}, "denied  route None"),
        (
            {"attempts": (replace(SERVED, usage=Usage(10, 5, source=UsageSource.ESTIMATED)),)},
            "about 10 + 5 tokens",
        ),
        ({"attempts": (replace(SERVED, price=None, cost_usd=None),)}, "tokens  cost unknown"),
    ],
)
def test_what_is_not_known_is_said_so(change: dict[str, Any], said: str) -> None:
    """An estimate is about; an unknown cost is unknown."""
    assert said in str(replace(RECEIPT, **change))


@pytest.mark.parametrize(
    ("fixed", "list_price", "line"),
    [
        (FixedCost(), None, "not measured yet"),
        (
            FixedCost(250.0, 0.25, Decimal("4.00004"), Decimal(1), Decimal(0)),
            PRICE,
            "25 % used, $4 per 1M tokens on average, 1M more would add $0, "
            "at an API $0.000011 (qwen3-8b@2026-06)",
        ),
        (
            FixedCost(999.9, 1.0, Decimal("0.00012345678"), Decimal(1), None, has_room=False),
            None,
            "100 % used, $0.0001235 per 1M tokens on average, no room for more",
        ),
    ],
)
def test_machines_that_are_paid_by_the_month_have_a_line_of_their_own(
    fixed: FixedCost, list_price: Price | None, line: str
) -> None:
    """What was measured is shown with four digits; the value holds all of them."""
    cost = None if list_price is None else Decimal("0.000011")
    own = replace(SERVED, fixed=fixed, list_price=list_price, list_cost_usd=cost)
    lines = str(replace(RECEIPT, attempts=(own,))).splitlines()
    assert lines[2:] == [f"     paid by the month: {line}"]


def test_a_receipt_for_json_holds_everything() -> None:
    """Money as texts without an exponent, times in ISO 8601, words as words."""
    told = json.loads(json.dumps(RECEIPT.to_dict()))
    assert told["cost_usd"] == "0.000011"
    assert told["cost_wasted_usd"] == "0"
    assert told["started_at"] == "2026-11-20T12:00:00+00:00"
    assert told["outcome"] == "ok"
    assert told["candidates"] == [
        {"candidate": "eu/qwen3-8b", "reason": "first"},
        {"candidate": "us/qwen3-8b", "reason": "second"},
    ]
    assert told["dropped"] == [{"candidate": "own/qwen3-8b", "reason": "environment"}]
    first, second = told["attempts"]
    assert (first["outcome"], first["usage"], first["cost_usd"]) == ("failed", None, None)
    assert second["usage"] == {
        "input_tokens": 1_000, "output_tokens": 50, "cached_input_tokens": 600,
        "reasoning_tokens": 10, "cache_write_tokens": None, "source": "provider",
    }  # fmt: skip
    assert second["price"] == {
        "usd_per_mtok_in": "0.01", "usd_per_mtok_out": "0.02", "usd_per_mtok_cached_in": None,
        "price_id": "qwen3-8b@2026-06", "usd_per_mtok_cache_write": None, "usd_per_request": None,
        "currency": "USD", "usd_per_unit": "1",
    }  # fmt: skip
    assert set(told) == set(RECEIPT.__dataclass_fields__) - {"reasons"}  # beside the candidates
    assert set(second) == set(SERVED.__dataclass_fields__)


def test_a_receipt_is_a_value() -> None:
    """It never changes; copies are equal, and cross a process."""
    with pytest.raises(FrozenInstanceError):
        RECEIPT.cost_usd = Decimal(0)
    for again in (copy.deepcopy(RECEIPT), pickle.loads(pickle.dumps(RECEIPT))):
        assert again == RECEIPT
        assert hash(again) == hash(RECEIPT)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "cost unknown"),
        (Decimal(0), "$0"),
        (Decimal("0.000"), "$0"),
        (Decimal("1E-9"), "$0.000000001"),
        (Decimal("12.340"), "$12.34"),
        (Decimal("1E+3"), "$1000"),
        (Decimal(100), "$100"),
    ],
)
def test_money_is_written_in_full(amount: Decimal | None, text: str) -> None:
    """Every digit that is there, and no exponent."""
    assert usd(amount) == text
