"""When a live condition begins to hold and when it ends to: hysteresis, dwell, days in a row."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.money.pico import PICO
from hybridllm._core.policy.hybrid import BreakEven, Measure, Volume, Window
from hybridllm._core.volume.days import Amounts, Days
from hybridllm._core.volume.gate import (
    NEVER,
    GateState,
    bounds_of,
    by_days,
    by_ratio,
    by_total,
    moved,
    row_of,
    share_of_ratio,
    share_of_row,
    share_of_total,
)


def volume(
    *, enter: int = 100, exit_: int = 90, below: bool = False, days: int = 0, dwell_s: float = 0
) -> Volume:
    return Volume(
        Measure.TOKENS,
        Window.DAY,
        Decimal(enter),
        Decimal(exit_),
        below=below,
        sustained_days=days,
        min_dwell_s=dwell_s,
    )


ABOVE, BELOW = bounds_of(volume()), bounds_of(volume(exit_=110, below=True))


@pytest.mark.parametrize(
    ("below", "holds", "total", "whole", "says"),
    [
        (False, False, 100, True, True),
        (False, False, 99, True, False),
        (False, False, 100, False, True),  # so much came at least
        (False, False, 99, False, None),
        (False, True, 90, True, True),
        (False, True, 89, True, False),
        (False, True, 89, False, None),  # perhaps more came than was counted
        (True, False, 99, True, True),
        (True, False, 100, True, False),
        (True, False, 0, False, None),  # missing history is no yes
        (True, True, 109, True, True),
        (True, True, 110, True, False),
        (True, True, 110, False, False),
    ],
)
def test_a_window_says_what_it_knows(
    below: bool, holds: bool, total: int, whole: bool, says: bool | None
) -> None:
    """Of a part of a window is known that at least so much came, and no more."""
    bounds = BELOW if below else ABOVE
    assert by_total(bounds, total, whole=whole, holds=holds) is says


@pytest.mark.parametrize(
    ("state", "wanted", "now_s", "after"),
    [
        (NEVER, True, 5.0, GateState(True, 5.0)),
        (NEVER, False, 5.0, NEVER),
        (NEVER, None, 5.0, NEVER),
        (GateState(True, 5.0), False, 64.9, GateState(True, 5.0)),
        (GateState(True, 5.0), False, 65.0, GateState(False, 65.0)),
        (GateState(True, 5.0), None, 99.0, GateState(True, 5.0)),
        (GateState(False, 5.0), True, 64.0, GateState(False, 5.0)),
    ],
)
def test_a_state_stays_for_its_dwell_once_it_has_changed(
    state: GateState, wanted: bool | None, now_s: float, after: GateState
) -> None:
    """The first change need not wait; what is not known changes nothing."""
    assert moved(state, wanted, dwell_s=60.0, now_s=now_s) == after


def days_of(*totals: int | None) -> Days:
    """Days 1, 2, 3 and so on; None: nobody counted."""
    days = Days()
    for day, total in enumerate(totals, start=1):
        if total is not None:
            days.add(day, Amounts(1, total), today=0)
    return days


@pytest.mark.parametrize(
    ("totals", "row", "over"),
    [
        ((100,) * 7, 7, False),
        ((100,) * 6 + (99,), 0, False),
        ((100,) * 3 + (None,) + (100,) * 4, 4, False),  # a day nobody counted ends the row
        ((100,) * 6 + (0,), 0, False),  # one day, however weak
        ((100,) * 4 + (0,) * 3, 0, False),
        ((100,) * 3 + (89,) * 4, 0, True),
        ((100,) * 3 + (90,) * 4, 0, False),
        ((0, 0, 0, 0, None, None, 100, 100, 100), 3, True),  # the last seven that were counted
        ((0,) * 7 + (None,) * 8, 0, None),  # nobody has counted lately
        ((100,) * 6, 6, None),  # too few to end anything
        ((), 0, None),
    ],
)
def test_days_in_a_row_begin_it_and_more_than_half_of_seven_end_it(
    totals: tuple[int | None, ...], row: int, over: bool | None
) -> None:
    """Today is not among them."""
    asked = volume(days=90)
    days = days_of(*totals, 1_000)
    found = row_of(asked, bounds_of(asked), days, today=len(totals) + 1)
    assert (found.days, found.over) == (row, over)


def test_a_short_row_ends_with_as_many_days_as_it_has() -> None:
    """Else the weak days before it would end it at once."""
    asked = volume(days=2)
    row = row_of(asked, bounds_of(asked), days_of(0, 0, 0, 0, 0, 100, 100), today=8)
    assert by_days(asked, row, holds=False) is True
    assert by_days(asked, row, holds=True) is True
    row = row_of(asked, bounds_of(asked), days_of(100, 0), today=3)
    assert by_days(asked, row, holds=True) is True  # half of them is not more than half
    row = row_of(asked, bounds_of(asked), days_of(0, 0), today=3)
    assert by_days(asked, row, holds=True) is False


HISTORY = st.lists(st.one_of(st.none(), st.sampled_from([0, 89, 90, 99, 100, 300])), max_size=60)


@given(
    history=HISTORY,
    sustained=st.integers(1, 12),
    dwell_days=st.integers(0, 4),
    below=st.booleans(),
)
def test_a_sustained_condition_follows_its_rule_day_by_day(
    history: list[int | None], sustained: int, dwell_days: int, below: bool
) -> None:
    """The model keeps the whole history, and asks it anew every day, in plain words."""
    exit_ = 110 if below else 90
    asked = volume(exit_=exit_, below=below, days=sustained, dwell_s=dwell_days * 86_400.0)
    bounds, state, days = bounds_of(asked), NEVER, Days()
    model_holds, changed_on = False, -1_000

    def strong(total: int) -> bool:
        return total < 100 if below else total >= 100

    def weak(total: int) -> bool:
        return total >= exit_ if below else total < exit_

    for today, total in enumerate(history):
        row = row_of(asked, bounds, days, today=today)
        says = by_days(asked, row, holds=state.holds)
        state = moved(state, says, dwell_s=asked.min_dwell_s, now_s=today * 86_400.0)

        before = history[:today]
        if today - changed_on >= dwell_days:
            last = before[-sustained:]
            lately = before[-2 * min(7, sustained) :]
            counted = [one for one in lately if one is not None][-min(7, sustained) :]
            if not model_holds:
                if len(last) == sustained and all(one is not None and strong(one) for one in last):
                    model_holds, changed_on = True, today
            elif len(counted) == min(7, sustained) and 2 * sum(map(weak, counted)) > len(counted):
                model_holds, changed_on = False, today
        assert state.holds is model_holds

        if total is not None:
            days.add(today, Amounts(1, total), today=today)


@pytest.mark.parametrize(
    ("above", "holds", "ratio", "says"),
    [
        (True, False, 1.1, True),
        (True, False, 1.09, False),
        (True, True, 0.9, True),
        (True, True, 0.89, False),
        (True, True, None, None),
        (False, False, 0.89, True),
        (False, False, 0.9, False),
        (False, True, 1.09, True),
        (False, True, 1.1, False),
    ],
)
def test_break_even_has_its_margin_on_both_sides(
    above: bool, holds: bool, ratio: float | None, says: bool | None
) -> None:
    """Of costs that are not known nothing follows."""
    assert by_ratio(BreakEven(above), ratio, holds=holds) is says


def test_usd_are_compared_exactly() -> None:
    """A cent of a thousand is a cent."""
    asked = Volume(Measure.USD, Window.DAY, Decimal("12.50"), Decimal("12.50"))
    bounds = bounds_of(asked)
    assert bounds.reached(12 * PICO + PICO // 2)
    assert not bounds.reached(12 * PICO + PICO // 2 - 1)


def test_the_share_of_the_way_is_one_where_it_begins_to_hold() -> None:
    """Who wakes machines ahead asks for it."""
    assert share_of_total(ABOVE, 80, whole=False) == pytest.approx(0.8)
    assert share_of_total(BELOW, 125, whole=True) == pytest.approx(0.8)
    assert share_of_total(BELOW, 125, whole=False) == 0.0
    assert share_of_total(BELOW, 0, whole=True) == 1.0
    asked = volume(days=4)
    row = row_of(asked, bounds_of(asked), days_of(100, 100), today=3)
    assert share_of_row(asked, bounds_of(asked), row, 50) == pytest.approx(2.5 / 4)
    assert share_of_row(asked, bounds_of(asked), row, 500) == pytest.approx(3 / 4)
    assert share_of_ratio(BreakEven(above=True), 1.1) == pytest.approx(1.0)
    assert share_of_ratio(BreakEven(above=False), 0.9) == pytest.approx(1.0)
    assert share_of_ratio(BreakEven(above=True), None) == 0.0
