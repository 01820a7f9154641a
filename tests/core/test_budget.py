"""One bound over all attempts beyond the first: a share of the requests, and a reserve."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hybridllm._core.resilience.budget import (
    DEFAULT,
    TTL_S,
    Budget,
    BudgetConfig,
    after_request,
    after_spent,
    can_spend,
    left,
    new_budget,
)

NO_RESERVE = BudgetConfig(reserve_per_s=0.0, reserve_max=0.0)


def spent_as_often_as_possible(budget: Budget, config: BudgetConfig, now_s: float) -> int:
    """How many attempts can be made now."""
    count = 0
    while can_spend(budget, config, now_s):
        budget = after_spent(budget, config, now_s)
        count += 1
    return count


def asked(count: int, now_s: float, budget: Budget | None = None) -> Budget:
    """So many requests at one moment."""
    budget = budget or new_budget(NO_RESERVE, now_s)
    for _ in range(count):
        budget = after_request(budget, NO_RESERVE, now_s)
    return budget


def test_the_defaults() -> None:
    """A fifth of the requests, one a second, fifty at first, one in twenty hedged."""
    assert DEFAULT == BudgetConfig() == BudgetConfig(0.2, 1.0, 50.0, 0.05)
    assert TTL_S == 5
    assert Budget() == Budget((), 0.0, 0.0, 0.0)
    assert new_budget(DEFAULT, 7.0) == Budget((), 0.0, 50.0, 7.0)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 1.0])
def test_ten_thousand_requests_in_frozen_time_allow_their_share(share: float) -> None:
    """Each request that fails is tried once more if it may: exactly the share, and the reserve before it.

    Finagle's test of its budget: 10,000 deposits, withdrawals within one of the share.
    """
    for reserve in (0.0, 100.0):
        config = BudgetConfig(share, 0.0, reserve)
        budget, extra = new_budget(config, 5.0), 0
        for _ in range(10_000):
            budget = after_request(budget, config, 5.0)
            if can_spend(budget, config, 5.0):
                budget = after_spent(budget, config, 5.0)
                extra += 1
        assert extra == pytest.approx(10_000 * share + min(reserve, 10_000 * (1 - share)), abs=1)


@pytest.mark.parametrize(
    ("requests", "extra"), [(0, 0), (4, 0), (5, 1), (9, 1), (10, 2), (15, 3), (1_000, 200)]
)
def test_a_share_is_whole_attempts(requests: int, extra: int) -> None:
    """Both sides of every fifth request."""
    assert spent_as_often_as_possible(asked(requests, 3.0), NO_RESERVE, 3.0) == extra
    assert left(asked(requests, 3.0), NO_RESERVE, 3.0) == pytest.approx(0.2 * requests)


@pytest.mark.parametrize(("now_s", "extra"), [(3.0, 20), (7.99, 20), (8.0, 0), (500.0, 0)])
def test_requests_count_for_five_seconds(now_s: float, extra: int) -> None:
    assert spent_as_often_as_possible(asked(100, 3.5), NO_RESERVE, now_s) == extra


def test_what_was_spent_is_earned_again_by_the_next_requests() -> None:
    """Of a hundred requests twenty, spent late; the next hundred earn another twenty, not none."""
    budget = asked(100, 3.0)
    for _ in range(20):
        assert can_spend(budget, NO_RESERVE, 7.0)
        budget = after_spent(budget, NO_RESERVE, 7.0)
    assert not can_spend(budget, NO_RESERVE, 7.0)
    budget = asked(100, 8.0, budget)
    assert spent_as_often_as_possible(budget, NO_RESERVE, 8.0) == 20


def test_no_more_is_kept_than_five_seconds_earn() -> None:
    """An hour without a failure does not allow a storm of repeats."""
    budget = new_budget(NO_RESERVE, 0.0)
    for second in range(3_600):
        for _ in range(3):
            budget = after_request(budget, NO_RESERVE, float(second))
    assert spent_as_often_as_possible(budget, NO_RESERVE, 3_599.0) == 3


def test_the_share_goes_before_the_reserve() -> None:
    """What is saved up is for when there is nothing else."""
    budget = new_budget(DEFAULT, 0.0)
    for _ in range(5):
        budget = after_request(budget, DEFAULT, 0.0)
    budget = after_spent(budget, DEFAULT, 0.0)
    assert budget == Budget(((0, 5, 0),), 0.0, 50.0, 0.0)
    budget = after_spent(budget, DEFAULT, 0.0)
    assert budget == Budget(((0, 5, 0),), 0.0, 49.0, 0.0)
    assert left(budget, DEFAULT, 0.0) == 49.0


@pytest.mark.parametrize(
    ("now_s", "reserve"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (7.25, 7.25), (1e6, 50.0)]
)
def test_the_reserve_is_saved_up_second_by_second(now_s: float, reserve: float) -> None:
    """Up to what it was at first. A clock that is behind takes nothing away."""
    config = BudgetConfig()
    budget = Budget((), 0.0, 0.0, 0.0)
    assert left(budget, config, now_s) == reserve
    assert can_spend(budget, config, now_s) is (reserve >= 1.0)
    after = after_spent(budget, config, now_s)
    assert (after.reserve, after.reserve_at_s) == (reserve - 1.0, now_s)
    assert left(Budget((), 0.0, 5.0, 9.0), config, 8.0) == 5.0


def test_a_faster_reserve() -> None:
    config = BudgetConfig(reserve_per_s=10.0, reserve_max=25.0)
    assert [left(Budget((), 0.0, 0.0, 0.0), config, s) for s in (1.0, 2.0, 3.0)] == [
        10.0,
        20.0,
        25.0,
    ]


def test_a_smaller_reserve_after_a_reload_holds_at_once() -> None:
    assert left(new_budget(DEFAULT, 0.0), BudgetConfig(reserve_max=10.0), 0.0) == 10.0


@pytest.mark.parametrize(("requests", "hedges"), [(19, 0), (20, 1), (39, 1), (40, 2), (400, 20)])
def test_one_request_in_twenty_may_be_hedged(requests: int, hedges: int) -> None:
    """The reserve does not count for hedges: a quiet service has none."""
    budget, count = new_budget(DEFAULT, 0.0), 0
    for _ in range(requests):
        budget = after_request(budget, DEFAULT, 0.0)
    while can_spend(budget, DEFAULT, 0.0, hedge=True):
        budget = after_spent(budget, DEFAULT, 0.0, hedge=True)
        count += 1
    assert count == hedges
    assert can_spend(budget, DEFAULT, 0.0)  # a retry is no hedge
    assert not can_spend(budget, DEFAULT, 4.9, hedge=True)
    later = after_request(budget, DEFAULT, 5.0)
    assert not can_spend(later, DEFAULT, 5.0, hedge=True)


def test_hedges_are_within_the_rest() -> None:
    """Retries may have taken it all."""
    config = BudgetConfig(reserve_per_s=0.0, reserve_max=0.0)
    budget = asked(20, 0.0)
    for _ in range(4):
        assert can_spend(budget, config, 0.0, hedge=True)
        budget = after_spent(budget, config, 0.0)
    assert not can_spend(budget, config, 0.0, hedge=True)


def test_it_remembers_five_seconds_and_no_more() -> None:
    """Both sides of the oldest one; a clock that is behind counts in the last second."""
    budget = new_budget(NO_RESERVE, 0.0)
    for second in range(5):
        budget = after_request(budget, NO_RESERVE, second + 0.5)
    assert [one[0] for one in budget.seconds] == list(range(5))
    assert [one[0] for one in after_request(budget, NO_RESERVE, 5.0).seconds] == list(range(1, 6))
    assert [one[0] for one in after_request(budget, NO_RESERVE, 8.0).seconds] == [4, 8]
    assert after_request(budget, NO_RESERVE, 3.0).seconds[-1] == (4, 2, 0)


WAITS = st.sampled_from((0.0, 0.0, 0.0, 0.1, 0.9, 1.0, 4.0, 4.9, 5.0, 60.0))


@given(st.lists(st.tuples(WAITS, st.integers(0, 30), st.integers(0, 30)), max_size=60))
def test_the_bound_that_is_published(steps: list[tuple[float, int, int]]) -> None:
    """attempts <= 1.2 x requests + seconds + 50, whenever they came and whatever failed."""
    budget, now_s, requests, attempts = new_budget(DEFAULT, 0.0), 0.0, 0, 0
    for waited_s, begun, wanted in steps:
        now_s += waited_s
        for _ in range(begun):
            budget = after_request(budget, DEFAULT, now_s)
            requests += 1
            attempts += 1
        for _ in range(wanted):
            if can_spend(budget, DEFAULT, now_s):
                budget = after_spent(budget, DEFAULT, now_s)
                attempts += 1
        assert attempts <= 1.2 * requests + now_s + 50 + 1e-6


def test_requests_of_one_second_may_be_put_in_together() -> None:
    """Spread over nothing, earned in full: as if they had come one by one."""
    one_by_one = new_budget(NO_RESERVE, 3.0)
    for _ in range(40):
        one_by_one = after_request(one_by_one, NO_RESERVE, 3.0)
    together = after_request(new_budget(NO_RESERVE, 3.0), NO_RESERVE, 3.0, count=40)
    assert together.seconds == one_by_one.seconds
    assert together.earned == pytest.approx(one_by_one.earned)
    assert spent_as_often_as_possible(together, NO_RESERVE, 3.0) == 8


class BudgetMachine(RuleBasedStateMachine):
    """The budget beside a model that keeps the time of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.config = BudgetConfig(share=0.25, reserve_per_s=0.5, reserve_max=4.0, hedge_share=0.1)
        self.budget = new_budget(self.config, 0.0)
        self.now_s = 0.0
        self.requests: list[int] = []
        self.earned = 0.0
        self.hedges: list[int] = []
        self.saved = 4.0
        self.attempts = 0

    def lately(self, seconds: list[int]) -> int:
        return sum(one > int(self.now_s) - 5 for one in seconds)

    @rule(waited_s=st.sampled_from((0.25, 0.5, 1.0, 3.0, 4.5, 5.0, 25.0)))
    def time_passes(self, waited_s: float) -> None:
        self.now_s += waited_s
        self.saved = min(4.0, self.saved + waited_s * 0.5)

    @rule(count=st.integers(1, 12))
    def requests_begin(self, count: int) -> None:
        for _ in range(count):
            self.budget = after_request(self.budget, self.config, self.now_s)
            self.requests.append(int(self.now_s))
            self.earned = min(self.earned + 0.25, self.most)

    @property
    def most(self) -> float:
        return 0.25 * self.lately(self.requests)

    @rule(times=st.integers(1, 4), hedge=st.booleans())
    def somebody_wants_one_more(self, times: int, hedge: bool) -> None:
        for _ in range(times):
            self._wants_one_more(hedge)

    def _wants_one_more(self, hedge: bool) -> None:
        self.earned = min(self.earned, self.most)
        of_share = self.earned >= 1.0
        expected = of_share or self.saved >= 1.0
        if hedge:
            expected &= 10 * (self.lately(self.hedges) + 1) <= self.lately(self.requests)
        assert can_spend(self.budget, self.config, self.now_s, hedge=hedge) is expected
        if not expected:
            return
        self.budget = after_spent(self.budget, self.config, self.now_s, hedge=hedge)
        self.attempts += 1
        if hedge:
            self.hedges.append(int(self.now_s))
        if of_share:
            self.earned -= 1.0
        else:
            self.saved -= 1.0

    @invariant()
    def both_agree(self) -> None:
        of_share = min(self.earned, self.most)
        assert left(self.budget, self.config, self.now_s) == pytest.approx(of_share + self.saved)
        assert len(self.budget.seconds) <= 5
        assert self.attempts <= 0.25 * len(self.requests) + 4 + 0.5 * self.now_s


BudgetMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestBudgetAgainstModel = BudgetMachine.TestCase
