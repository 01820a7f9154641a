"""Tokens a second of backends that are paid by the month: the last minute, and the best minute so far."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from hybridllm._core.money.capacity import Use
from hybridllm._core.money.usage import Usage
from hybridllm._core.policy.compiled import Backend, BackendKind
from hybridllm._core.policy.hybrid import Capacity
from hybridllm._runtime.uses import Meter, Uses


def tokens(count: int) -> Usage:
    return Usage(count - count // 10, count // 10)


def test_nothing_is_known_before_it_was_watched_for_a_while() -> None:
    """One answer is no rate; after ten seconds it is one, and nothing at all is 0 a second."""
    meter = Meter(100.0)
    meter.ended(tokens(1_000), 101.0)
    assert meter.use(109.9) == Use(None, None)
    assert meter.use(110.0) == Use(100.0, None)
    assert Meter(100.0).use(110.0) == Use(0.0, None)


def test_the_rate_is_that_of_the_last_minute() -> None:
    """What is older goes with its five seconds; an attempt of which nothing is known counts nothing."""
    meter = Meter(0.0)
    for second in range(0, 120, 10):
        meter.ended(tokens(1_000), float(second))
    meter.ended(None, 119.0)
    assert meter.use(120.0).tokens_per_s == pytest.approx(
        5_000 / 55
    )  # of 65 s and later: 70 to 110
    assert meter.use(169.9).tokens_per_s == pytest.approx(1_000 / 59.9)
    assert meter.use(175.0).tokens_per_s == 0.0
    assert meter.use(10_000.0).tokens_per_s == 0.0


def test_the_best_is_a_whole_minute_that_was_watched() -> None:
    """A single answer in a first second is no best; a quiet hour takes nothing from it."""
    meter = Meter(0.0)
    for second in range(65):
        meter.ended(tokens(100), float(second))
    assert meter.use(65.0).tokens_per_s_best == 100.0
    for second in range(65, 300):
        meter.ended(tokens(10), float(second))
    meter.ended(tokens(10), 4_000.0)
    assert meter.use(4_000.0).tokens_per_s_best == 100.0
    late = Meter(0.0)
    late.ended(tokens(60_000), 1.0)
    late.ended(tokens(10), 30.0)
    assert late.use(30.0).tokens_per_s_best is None


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_adding_up_all_that_ended(seed: int) -> None:
    """Whatever comes when, as long as time goes forward; it holds twelve numbers, and not more."""
    draw = random.Random(seed)
    now_s, ended, meter = 3.0, [], Meter(3.0)
    for _ in range(400):
        now_s += draw.choice((0.0, 0.1, 1.0, 4.9, 30.0 * draw.random(), 0.0, 90.0 * draw.random()))
        count = draw.randrange(10, 5_000)
        meter.ended(tokens(count), now_s)
        ended.append((now_s, count))
        begin_s = max(3.0, (now_s // 5 - 11) * 5)
        known = meter.use(now_s).tokens_per_s
        if now_s - 3.0 < 10:
            assert known is None
        else:
            total = sum(count for at_s, count in ended if at_s >= begin_s)
            assert known == pytest.approx(total / (now_s - begin_s))
    assert len(meter._counts) == 12


def test_a_price_is_kept_for_a_second_unless_something_ends() -> None:
    """It moves by the minute; a decision over many backends must not work all of them out each time."""
    now_s = [0.0]
    uses = Uses(lambda: now_s[0])
    own = Backend(
        "own", BackendKind.VLLM, "https://own.test/v1", capacity=Capacity(Decimal("2629.80"))
    )
    meter = uses.meter(own)
    assert meter is not None
    now_s[0] = 20.0
    meter.ended(tokens(2_000), 20.0)
    first = uses.price_of(own)
    assert first is not None
    assert first.average_usd_per_mtok == 10
    now_s[0] = 20.9
    assert uses.price_of(own) is first
    meter.ended(tokens(2_000), 20.9)
    second = uses.price_of(own)
    assert second is not None
    assert second is not first
    now_s[0] = 22.0
    assert uses.price_of(own) is not second
    uses.keep({"other"})
    assert uses.meter(own) is not meter


def test_a_backend_that_is_not_paid_by_the_month_has_no_meter() -> None:
    """Nothing is counted, and nothing is kept."""
    uses = Uses(lambda: 0.0)
    api = Backend("api", BackendKind.API, "https://api.test/v1")
    assert (uses.meter(api), uses.price_of(api)) == (None, None)
    assert not uses._meters
