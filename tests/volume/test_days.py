"""Totals by UTC day: nothing is doubled, and a day that nobody counted is no day."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.policy.hybrid import Measure
from hybridllm._core.volume.days import NOTHING, Amounts, Days
from hybridllm._core.volume.gates import month_total


def tokens(count: int) -> Amounts:
    return Amounts(1, count)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9)), max_size=60))
def test_every_amount_is_in_the_day_it_was_counted_in(steps: list[tuple[int, int]]) -> None:
    """Whatever the wall clock does: the days are those that it said."""
    days, model = Days(), dict[int, int]()
    for day, count in steps:
        days.add(day, tokens(count), today=day)
        model[day] = model.get(day, 0) + count
    assert {day: one.tokens_in for day, one in days.within(0, 50).items()} == model


def test_the_latest_days_are_kept_however_far_a_clock_was_ahead() -> None:
    """A clock that once said 2126 takes the place of one day, and not of all of them."""
    days = Days(kept=10)
    for day in [*range(100, 105), 40_000, *range(105, 112)]:
        days.add(day, tokens(1), today=day)
    assert sorted(days.within(0, 50_000)) == [*range(103, 112), 40_000]


def test_a_day_of_nothing_is_a_day_and_a_missing_one_is_not() -> None:
    """The row of days behind us ends at the first that nobody counted."""
    days = Days()
    for day in (1, 2, 4, 5):
        days.add(day, NOTHING, today=day)
    assert len(list(days.back_from(5))) == 2
    assert list(days.within(0, 4)) == [1, 2, 4]


def test_only_a_change_to_another_day_than_today_is_a_new_version() -> None:
    """What whole days say is worked out once a day, not at every look."""
    days = Days()
    days.add(5, tokens(1), today=5)
    before = days.version
    days.add(5, tokens(1), today=5)
    assert days.version == before
    days.add(4, tokens(1), today=5)
    days.put(4, tokens(1), today=5)
    assert days.version == before + 1


def test_a_month_is_whole_if_the_history_begins_before_it() -> None:
    """A gap inside is no loss: nothing was sent then."""
    days = Days()
    for day in (71, 72, 90, 100):
        days.add(day, tokens(10), today=day)
    assert month_total(days, Measure.TOKENS, today=100) == (40, True)
    assert month_total(days, Measure.TOKENS, today=101) == (30, True)
    fresh = Days()
    fresh.add(90, tokens(10), today=100)
    assert month_total(fresh, Measure.TOKENS, today=100) == (10, False)


def test_a_measure_is_tokens_both_ways_or_requests_or_money() -> None:
    """Money in 10^-12 USD, so that sums are exact."""
    amounts = Amounts(2, 30, 4, 20, 30, 5_000_000_000_000)
    assert [amounts.of(one) for one in Measure] == [34, 2, 5_000_000_000_000]
