"""The sums of a job's progress."""

from __future__ import annotations

from decimal import Decimal

import pytest

from hybridllm import BulkProgress, BulkResult, Paid
from hybridllm._core.bulk.tally import RATE_OVER_S, Tally

ANSWERED = BulkResult(0, None, object(), paid=Paid(cost_usd=Decimal("0.1"), tokens_in=3), tries=1)
FAILED = BulkResult(0, None, error=ValueError(), paid=Paid(cost_complete=False), tries=1)
RESUMED = BulkResult(0, None, object(), paid=Paid(cost_usd=Decimal("0.2")), resumed=True)
UNKNOWN = BulkResult(0, None, object(), unknown_paid=True, tries=1)


def test_what_ended_is_counted_once() -> None:
    """Money is exact, and marked where more may have been paid."""
    tally = Tally(total=10, now_s=100.0)
    assert tally.progress(now_s=101.0) == BulkProgress(total=10, elapsed_s=1.0)
    for result in (ANSWERED, ANSWERED, RESUMED):
        tally.ended(result, now_s=101.0)
    progress = tally.progress(now_s=102.0)
    assert (progress.done, progress.failed, progress.ended, progress.resumed) == (3, 0, 3, 1)
    assert progress.cost_usd == Decimal("0.4")
    assert progress.cost_complete
    assert progress.tokens_in == 6
    tally.ended(FAILED, now_s=102.0)
    assert tally.progress(now_s=102.0).failed == 1
    assert not tally.progress(now_s=102.0).cost_complete


def test_what_may_have_been_paid_twice_makes_the_cost_a_lower_bound() -> None:
    """As does a failure of an earlier run whose cost nobody knew."""
    tally = Tally(total=None, now_s=0.0)
    tally.ended(UNKNOWN, now_s=1.0)
    assert tally.progress(now_s=1.0).unknown_paid == 1
    assert not tally.progress(now_s=1.0).cost_complete
    tally = Tally(total=None, now_s=0.0)
    tally.paid_before(Decimal("0.5"), complete=False)
    assert tally.progress(now_s=1.0).cost_usd == Decimal("0.5")
    assert not tally.progress(now_s=1.0).cost_complete


@pytest.mark.parametrize("per_s", [0.2, 1.0, 40.0])
def test_the_rate_is_that_of_lately(per_s: float) -> None:
    """Also after it has changed; the time left follows from it."""
    tally, now_s, total = Tally(total=20_000, now_s=0.0), 0.0, 0
    for speed in (7.0, per_s):
        until_s = now_s + 3 * RATE_OVER_S
        while now_s < until_s:
            now_s += 1 / speed
            tally.ended(ANSWERED, now_s=now_s)
            total += 1
    progress = tally.progress(now_s=now_s)
    assert progress.rate_per_s == pytest.approx(per_s, rel=0.15)
    assert progress.left_s == pytest.approx((20_000 - total) / per_s, rel=0.15)


def test_what_nobody_worked_on_makes_no_rate() -> None:
    """Ten thousand answers out of a journal in a second tell nothing about the rest."""
    tally = Tally(total=20_000, now_s=0.0)
    for _ in range(10_000):
        tally.ended(RESUMED, now_s=1.0)
    assert tally.progress(now_s=2.0).rate_per_s is None
    assert tally.progress(now_s=2.0).left_s is None
    for now_s in (10.0, 11.0, 12.0):
        tally.ended(ANSWERED, now_s=now_s)
    assert tally.progress(now_s=12.0).rate_per_s == pytest.approx(1.0)


def test_a_job_that_stands_still_slows_down() -> None:
    """The rate falls while nothing ends, so that the time left does not lie."""
    tally = Tally(total=100, now_s=0.0)
    for now_s in range(1, 11):
        tally.ended(ANSWERED, now_s=float(now_s))
    fast, slow = (tally.progress(now_s=at_s).rate_per_s for at_s in (10.0, 100.0))
    assert fast is not None
    assert slow is not None
    assert slow < fast / 5


def test_nothing_is_left_when_all_have_ended() -> None:
    """Also of nothing, and where more came than was said."""
    assert Tally(total=0, now_s=0.0).progress(now_s=0.0).left_s == 0.0
    tally = Tally(total=1, now_s=0.0)
    for _ in range(3):
        tally.ended(ANSWERED, now_s=1.0)
    assert tally.progress(now_s=1.0).left_s == 0.0
    assert Tally(total=None, now_s=0.0).progress(now_s=5.0).left_s is None
