"""What a day of a machine costs, and whose share is whose: to the last 10^-12 USD."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.ledger.apportion import day_pico, declared, in_force, shares, time_pico
from hybridllm._core.ledger.cents import places_for, rounded
from hybridllm._core.money.pico import PICO
from hybridllm._core.policy.hybrid import Capacity
from reports.months import us

WEIGHTS = st.lists(st.integers(0, 10**9), max_size=60)


@given(st.integers(0, 10**16), WEIGHTS)
def test_shares_sum_to_the_whole_and_are_fair(amount: int, weights: list[int]) -> None:
    """Each is its due rounded down or up; who weighs nothing gets nothing."""
    found = shares(amount, weights)
    whole = sum(weights)
    assert sum(found) == (amount if whole else 0)
    for part, weight in zip(found, weights, strict=True):
        assert weight or not part
        assert not whole or amount * weight // whole <= part <= -(-amount * weight // whole)


def test_the_largest_remainders_get_what_is_left() -> None:
    """Of equal ones the first."""
    assert shares(10, [1, 1, 1]) == [4, 3, 3]
    assert shares(10, [5, 1, 0]) == [8, 2, 0]
    assert shares(7, []) == []


@given(
    st.decimals(0, 10**6, places=4),
    st.integers(2024, 2028),
    st.integers(1, 12),
)
def test_the_days_of_a_month_sum_to_its_bill(usd: Decimal, year: int, month: int) -> None:
    """Of 28 days as of 31, to the last digit, hidden costs included."""
    days = monthrange(year, month)[1]
    capacity = Capacity(usd, Decimal("0.01"))
    found = [day_pico(capacity, date(year, month, n + 1), 0) for n in range(days)]
    assert sum(found) == int((usd + Decimal("0.01")) * PICO)
    assert max(found) - min(found) <= 1


def test_an_elastic_machine_costs_what_its_tokens_take_and_its_hidden_costs() -> None:
    """A busy month of 30.4375 days costs the month's price."""
    capacity = Capacity(Decimal(2_629_800), Decimal(30), 1.0, elastic=True)
    assert day_pico(capacity, date(2026, 11, 3), 0) == PICO
    assert day_pico(capacity, date(2026, 11, 3), 1_000) == 1_001 * PICO


def test_a_part_of_a_day_costs_a_part_of_it() -> None:
    """Three days and a half of a month of thirty."""
    capacity = Capacity(Decimal(3_000))
    assert time_pico(capacity, us("2026-11-01"), us("2026-11-04", 12)) == 350 * PICO


def test_a_day_of_silence_is_as_the_one_before_it() -> None:
    """From the first word on, until one says that it costs nothing."""
    day = date(2026, 11, 1)
    said = [
        declared(day, "own", "p", Capacity(Decimal(30))),
        declared(day + timedelta(days=3), "own", "p", Capacity(Decimal(60))),
        declared(day + timedelta(days=5), "own", "p", Capacity(Decimal(0))),
    ]
    found = in_force(said, date(2026, 10, 20), date(2026, 11, 9))
    assert [(one.day[-2:], one.usd_per_month) for one in found] == [
        ("01", "30"),
        ("02", "30"),
        ("03", "30"),
        ("04", "60"),
        ("05", "60"),
    ]
    assert [one.day[-2:] for one in in_force(said, date(2026, 11, 3), date(2026, 11, 4))] == [
        "03",
        "04",
    ]


@given(st.lists(st.integers(0, 10**15), max_size=40), st.integers(2, 8))
def test_a_rounded_column_sums_to_its_rounded_total(amounts: list[int], places: int) -> None:
    """And no cell is off by a whole unit."""
    unit = PICO // 10**places
    found = rounded(amounts, places)
    assert abs(sum(found) * unit - sum(amounts)) * 2 <= unit
    for cell, amount in zip(found, amounts, strict=True):
        assert abs(cell * unit - amount) < unit


@pytest.mark.parametrize(
    ("largest", "places"),
    [
        pytest.param(0, 2, id="nothing"),
        pytest.param(100 * PICO, 2, id="a-hundred-dollars"),
        pytest.param(99 * PICO, 3, id="less"),
        pytest.param(PICO // 1_000, 7, id="a-tenth-of-a-cent"),
        pytest.param(1, 8, id="next-to-nothing"),
    ],
)
def test_a_column_has_as_many_places_as_its_largest_cell_needs(largest: int, places: int) -> None:
    """Four digits of it."""
    assert places_for([largest]) == places
