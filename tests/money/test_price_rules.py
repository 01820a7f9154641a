"""Which price an attempt is charged by: each rule at both sides of its limit, and all of them together."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from hybridllm._core.money.price import Price, cost_usd
from hybridllm._core.money.usage import Usage
from money.price_policies import FLAT, candidate_of, plain, policy_of, utc

SHEET = "prices: [{model: %s, input_per_1m: 7, output_per_1m: 8}]"
NOW = utc("2026-11-15T12:00")


@pytest.mark.parametrize(
    ("places", "backend", "expected"),
    [
        pytest.param({}, "cloud", "unknown", id="nothing"),
        pytest.param({"pair": FLAT, "backend": "free"}, "cloud", "1 2", id="pair-before-backend"),
        pytest.param(
            {"backend": FLAT, "more": SHEET % "wire-m"}, "cloud", "1 2", id="backend-before-sheet"
        ),
        pytest.param(
            {"listed": FLAT, "more": SHEET % "wire-m"}, "cloud", "7 8", id="sheet-before-model"
        ),
        pytest.param({"listed": FLAT, "model": "qwen3-8b"}, "cloud", "1 2", id="model-before-book"),
        pytest.param({"model": "qwen3-8b"}, "cloud", "0.01 0.01", id="book"),
        pytest.param(
            {"more": SHEET % "other-*"}, "cloud", "unknown", id="a-sheet-that-does-not-fit"
        ),
        pytest.param({"listed": FLAT}, "own", "unknown", id="a-model's-price-says-nothing-of-own"),
        pytest.param({"more": SHEET % '"*"'}, "own", "unknown", id="nor-does-a-sheet"),
        pytest.param(
            {"more": SHEET % '"*", backend: own'}, "own", "7 8", id="unless-it-names-the-backend"
        ),
        pytest.param(
            {"more": SHEET % '"*", backend: own'}, "cloud", "unknown", id="and-then-only-that"
        ),
        pytest.param({"own": FLAT}, "own", "1 2", id="own-declared"),
    ],
)
def test_the_first_place_that_has_a_price_wins(
    places: dict[str, str], backend: str, expected: str
) -> None:
    """The pair, the backend, the price sheet, the model, the model book."""
    candidate = candidate_of(policy_of(**places), backend)
    assert plain(candidate.price_at(NOW)) == expected


NAMES = """\
prices:
  - {model: served-*, input_per_1m: 1, output_per_1m: 1}
  - {model: wire-m, input_per_1m: 2, output_per_1m: 2}
  - {model: m, input_per_1m: 3, output_per_1m: 3}
"""
GLOBS = """\
prices:
  - {model: "*", input_per_1m: 1, output_per_1m: 1}
  - {model: "wire-*", input_per_1m: 2, output_per_1m: 2}
  - {model: "wire-[abc]*", input_per_1m: 3, output_per_1m: 3}
  - {model: wire-mini, input_per_1m: 4, output_per_1m: 4}
  - {model: "*", backend: cloud, input_per_1m: 5, output_per_1m: 5}
"""


@pytest.mark.parametrize(
    ("sheet", "wire", "served", "expected"),
    [
        pytest.param(NAMES, "wire-m", "served-9", "1 1", id="served-before-wire"),
        pytest.param(NAMES, "wire-m", None, "2 2", id="wire-if-nobody-served"),
        pytest.param(NAMES, "wire-m", "elsewhere", "2 2", id="wire-if-served-is-not-known"),
        pytest.param(NAMES, "wire-m", "m", "3 3", id="served-by-its-logical-name"),
        pytest.param(NAMES, "another", None, "3 3", id="logical-at-last"),
        pytest.param(GLOBS, "another", "wire-mini", "5 5", id="for-this-backend-before-exact"),
    ],
)
def test_the_served_model_is_looked_up_first(
    sheet: str, wire: str, served: str | None, expected: str
) -> None:
    """Then the name on the wire, then the policy's own; within one, what names the backend."""
    candidate = candidate_of(policy_of(more=sheet, wire=wire))
    assert plain(candidate.price_at(NOW, served=served)) == expected


@pytest.mark.parametrize(
    ("wire", "expected"),
    [("wire-mini", "4 4"), ("wire-a", "3 3"), ("wire-x", "2 2"), ("x", "1 1")],
)
def test_the_most_exact_pattern_wins(wire: str, expected: str) -> None:
    """A name before every pattern; of patterns the one that says more."""
    candidate = candidate_of(policy_of(more=GLOBS, wire=wire), "other")
    assert plain(candidate.price_at(NOW)) == expected


DATED = """[
  {input_per_1m: 1, output_per_1m: 1},
  {from: 2026-11-01, input_per_1m: 2, output_per_1m: 2},
  {from: 2026-12-01T09:30+01:00, input_per_1m: 3, output_per_1m: 3}]"""


@pytest.mark.parametrize(
    ("at", "expected", "price_id"),
    [
        ("1990-01-01T00:00", "1 1", "policy:m"),
        ("2026-10-31T23:59:59.999999", "1 1", "policy:m"),
        ("2026-11-01T00:00", "2 2", "policy:m@2026-11-01"),
        ("2026-12-01T08:29:59", "2 2", "policy:m@2026-11-01"),
        ("2026-12-01T08:30", "3 3", "policy:m@2026-12-01T08:30Z"),
        ("2036-01-01T00:00", "3 3", "policy:m@2026-12-01T08:30Z"),
    ],
)
def test_a_dated_price_holds_from_its_first_moment(at: str, expected: str, price_id: str) -> None:
    """The latest that has begun; the receipt names its date."""
    price = candidate_of(policy_of(pair=DATED)).price_at(utc(at))
    assert plain(price) == expected
    assert price is not None
    assert price.price_id == price_id


def test_before_its_first_date_a_place_has_no_price() -> None:
    """The next place is asked; without one the price is not known."""
    later = "[{from: 2026-11-01, input_per_1m: 1, output_per_1m: 2}]"
    alone = candidate_of(policy_of(pair=later))
    behind = candidate_of(policy_of(pair=later, listed="{input_per_1m: 5, output_per_1m: 6}"))
    assert plain(alone.price_at(utc("2026-10-31T23:59"))) == "unknown"
    assert plain(behind.price_at(utc("2026-10-31T23:59"))) == "5 6"
    assert plain(behind.price_at(utc("2026-11-01T00:00"))) == "1 2"


STEPS = """{input_per_1m: 1, output_per_1m: 10, cached_input_per_1m: 0.1, context_tiers: [
  {above: 200K, input_per_1m: 2, output_per_1m: 15}, {above: 1M, input_per_1m: 4}]}"""


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (0, "1 10"),
        (200_000, "1 10"),
        (200_001, "2 15"),
        (1_000_000, "2 15"),
        (1_000_001, "4 10"),
        (10**9, "4 10"),
        (None, "unknown"),
    ],
)
def test_a_long_prompt_has_its_price_for_every_token(tokens: int | None, expected: str) -> None:
    """A cliff at the total of prompt tokens: 200K is 200,000. What a step leaves out is the plain rate."""
    price = candidate_of(policy_of(pair=STEPS)).price_at(NOW, tokens)
    assert plain(price) == expected
    if price is not None:
        assert price.usd_per_mtok_cached_in == Decimal("0.1")


TIERS = """{input_per_1m: 1, output_per_1m: 10, per_request: 0.5,
  context_tiers: [{above: 100, input_per_1m: 3}],
  service_tiers: {flex: {factor: 0.5},
    priority: {input_per_1m: 2, context_tiers: [{above: 50, output_per_1m: 99}]}}}"""


@pytest.mark.parametrize(
    ("tier", "tokens", "expected"),
    [
        (None, 100, "1 10"),
        ("default", 100, "1 10"),
        ("standard", 101, "3 10"),
        ("auto", 0, "1 10"),
        ("flex", 100, "0.5 5"),
        ("flex", 101, "1.5 5"),
        ("priority", 50, "2 10"),
        ("priority", 51, "2 99"),
        ("scale", 0, "unknown"),
    ],
)
def test_the_service_tier_of_the_answer_picks_the_price(
    tier: str | None, tokens: int, expected: str
) -> None:
    """A tier that the price does not know has no known price: half or double would be a guess."""
    price = candidate_of(policy_of(pair=TIERS)).price_at(NOW, tokens, service_tier=tier)
    assert plain(price) == expected


def test_a_price_without_service_tiers_is_for_all_of_them() -> None:
    """Whoever declares none pays the same for all."""
    assert plain(candidate_of(policy_of(pair=FLAT)).price_at(NOW, service_tier="flex")) == "1 2"


HOURS = """{input_per_1m: 1, output_per_1m: 10, hours: [
  {from: "16:30", to: "00:30", weekdays: mon-fri, factor: 0.5},
  {from: "09:00", to: "10:00", zone: Europe/Berlin, output_per_1m: 4}]}"""


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-16T16:29:59", "1 10"),  # a Monday
        ("2026-11-16T16:30", "0.5 5"),
        ("2026-11-17T00:29:59", "0.5 5"),
        ("2026-11-17T00:30", "1 10"),
        ("2026-11-14T16:30", "1 10"),  # a Saturday
        ("2026-11-14T00:29", "0.5 5"),  # the window began on Friday
        ("2026-11-16T07:59:59", "1 10"),
        ("2026-11-16T08:00", "1 4"),  # 09:00 in Berlin, in winter
        ("2026-07-13T07:00", "1 4"),  # and in summer
        ("2026-07-13T08:00", "1 10"),
    ],
)
def test_the_hour_in_which_an_attempt_begins_has_its_price(at: str, expected: str) -> None:
    """The first window that is open; otherwise the usual price."""
    assert plain(candidate_of(policy_of(pair=HOURS)).price_at(utc(at))) == expected


def test_hours_tiers_and_steps_multiply() -> None:
    """Half the price at night, half of that in flex, for the rate of a long prompt: every rate, exactly."""
    pair = """{input_per_1m: 0.3, output_per_1m: 1, cached_input_per_1m: 0.03, cache_write_per_1m: 0.4,
      per_request: 0.02, context_tiers: [{above: 10, input_per_1m: 0.7}],
      service_tiers: {flex: {factor: 0.3}}, hours: [{to: "06:00", factor: 0.7}]}"""
    price = candidate_of(policy_of(pair=pair)).price_at(
        utc("2026-11-15T03:00"), 11, service_tier="flex"
    )
    assert price == Price(
        Decimal("0.147"),
        Decimal("0.21"),
        Decimal("0.0063"),
        "policy:m#hours-1,flex,above-10",
        Decimal("0.084"),
        Decimal("0.0042"),
    )


def test_a_currency_becomes_usd_exactly() -> None:
    """The receipt's price keeps the currency and its rate beside the rates in USD."""
    pair = "{input_per_1m: 0.123456789012, output_per_1m: 3, per_request: 0.01, currency: EUR}"
    price = candidate_of(policy_of(pair=pair, more="currencies: {EUR: 1.08765432}")).price
    assert price is not None
    assert price.usd_per_mtok_in == Fraction("0.123456789012") * Fraction("1.08765432")
    assert (price.usd_per_mtok_out, price.usd_per_request) == (
        Decimal("3.26296296"),
        Decimal("0.0108765432"),
    )
    assert (price.currency, price.usd_per_unit) == ("EUR", Decimal("1.08765432"))


def test_a_sheet_of_many_dates_and_names_keeps_history() -> None:
    """An exact name that has not begun leaves the pattern in force."""
    sheet = """\
prices:
  - {id: all, model: "wire-*", input_per_1m: 1, output_per_1m: 1}
  - {id: all, model: "wire-*", from: 2026-06-01, input_per_1m: 2, output_per_1m: 2}
  - {id: mine, model: wire-m, from: 2026-09-01, input_per_1m: 3, output_per_1m: 3}
"""
    candidate = candidate_of(policy_of(more=sheet))
    found = [candidate.price_at(utc(at)) for at in ("2026-05-31T00:00", "2026-06-01T00:00",
                                                     "2026-09-01T00:00")]  # fmt: skip
    assert [price and price.price_id for price in found] == [
        "sheet:all", "sheet:all@2026-06-01", "sheet:mine@2026-09-01",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        ({}, "0.0051"),
        ({"cached_input_tokens": 600}, "0.00456"),
        ({"cache_write_tokens": 300}, "0.005175"),
        ({"cached_input_tokens": 600, "cache_write_tokens": 400}, "0.00466"),
        ({"reasoning_tokens": 50}, "0.0051"),
    ],
)
def test_each_part_of_the_tokens_is_charged_once(usage: dict[str, Any], usd: str) -> None:
    """Cached and written tokens are parts of the prompt, reasoning of the answer."""
    price = Price(
        Decimal(1),
        Decimal(2),
        Decimal("0.1"),
        usd_per_mtok_cache_write=Decimal("1.25"),
        usd_per_request=Decimal("0.004"),
    )
    assert cost_usd(Usage(1_000, 50, **usage), price) == Decimal(usd)
