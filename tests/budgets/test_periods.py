"""A budget begins anew at the full hour, at midnight and on the first of the month, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hybridllm import BudgetExceeded
from hybridllm._core.budget.periods import span_of
from hybridllm._core.policy.budgets import Period
from hybridllm.testing import FakeClock, Reply, run_in_virtual_time
from runtime.world import policy, scripted

MS = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("per", "at", "key", "ends"),
    [
        (Period.HOUR, "2026-12-31T23:59:59.999", "2026-12-31T23", "2027-01-01T00:00"),
        (Period.HOUR, "2027-01-01T00:00", "2027-01-01T00", "2027-01-01T01:00"),
        (Period.DAY, "2028-02-29T23:59:59.999", "2028-02-29", "2028-03-01T00:00"),
        (Period.MONTH, "2026-01-31T23:59:59.999", "2026-01", "2026-02-01T00:00"),
        (Period.MONTH, "2026-02-01T00:00", "2026-02", "2026-03-01T00:00"),
        (Period.MONTH, "2026-12-31T12:00", "2026-12", "2027-01-01T00:00"),
    ],
)
def test_a_moment_lies_in_one_period(per: Period, at: str, key: str, ends: str) -> None:
    """Both sides of every edge: the end of one is the beginning of the next."""
    span = span_of(per, datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert (span.key, span.ends_at) == (key, datetime.fromisoformat(ends).replace(tzinfo=UTC))
    assert span_of(per, span.ends_at - MS) == span
    assert span_of(per, span.ends_at).key > span.key


def test_a_new_day_has_the_whole_budget_and_a_clock_set_back_finds_what_was_spent() -> None:
    """A request counts in the period in which it was admitted."""
    whole = Reply.chat("yes", usage=(0, 1_000_000))

    async def main() -> None:
        clock = Wall(datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC))
        text = policy("eu", more="budgets: [{scope: all, usd: 3, per: day}]")
        async with scripted(text, eu=whole, clock=clock) as here:
            await here.chat(max_tokens=1_000_000)
            with pytest.raises(BudgetExceeded) as caught:
                await here.chat(max_tokens=1_000_000)
            assert caught.value.retry_after_s == 1.0
            clock.now += timedelta(seconds=1)
            await here.chat(max_tokens=1_000_000)
            clock.now -= timedelta(hours=1)
            with pytest.raises(BudgetExceeded):
                await here.chat(max_tokens=1_000_000)
            clock.now += timedelta(days=3)
            await here.chat(max_tokens=1_000_000)
            assert len(here.router._budgets().known()) == 1  # the others are forgotten

    run_in_virtual_time(main)


class Wall(FakeClock):
    """A wall clock that is set; durations are those of the fake one."""

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self.now = now

    def utc_now(self) -> datetime:
        """The time that it was set to."""
        return self.now
