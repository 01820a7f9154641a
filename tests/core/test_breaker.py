"""When a breaker opens, for how long, and what it remembers."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from core.breakers import (
    ABANDONED,
    CONFIG,
    FAILURE,
    NOW_S,
    SUCCESS,
    THROTTLED,
    closed,
    half_open,
    settled,
)
from hybridllm._core.resilience.breaker import (
    BreakerConfig,
    BreakerState,
    Permit,
    Phase,
    admit,
    settle,
)
from hybridllm._core.resilience.outcome import BreakerEffect
from hybridllm._core.resilience.window import Bucket


@pytest.mark.parametrize(
    ("state", "opens"),
    [
        pytest.param(closed(9, 4, row=4), True, id="a: the tenth attempt, half of them failed"),
        pytest.param(closed(10, 4, row=0), False, id="a: the eleventh, not quite half"),
        pytest.param(closed(11, 5, row=0), True, id="a: the twelfth, half"),
        pytest.param(closed(99, 48, row=0), False, id="a: 49 of 100"),
        pytest.param(closed(99, 49, row=0), True, id="a: 50 of 100"),
        pytest.param(closed(8, 4, row=0), False, id="a: more than half, but nine attempts"),
        pytest.param(closed(4, 4, row=4), True, id="b: five in a row"),
        pytest.param(closed(3, 3, row=3), False, id="b: four in a row"),
        pytest.param(closed(8, 4, row=4), True, id="b: five in a row, nine attempts"),
        pytest.param(closed(20, 4, row=4), False, id="b: five in a row among many"),
        pytest.param(closed(0, 0, row=4), True, id="b: the others were long ago"),
        pytest.param(closed(0, 0, row=3), False, id="b: and four of them"),
        pytest.param(closed(50, 9, row=9), True, id="c: ten in a row among many"),
        pytest.param(closed(50, 8, row=8), False, id="c: nine in a row among many"),
    ],
)
def test_failures_open_it(state: BreakerState, opens: bool) -> None:
    """Half of ten and more; five in a row where there are fewer; ten in a row always."""
    after = settled(state, FAILURE)
    assert (after.phase is Phase.OPEN) is opens
    if opens:
        assert after == BreakerState(
            Phase.OPEN, openings=1, changed_at_s=50.0, until_s=55.0, generation=Permit(8)
        )
    else:
        assert (after.row, after.generation) == (state.row + 1, 7)
        sums = after.window[-1]
        assert (sums.second, sums.attempts, sums.failures) == (50, 1, 1)


@pytest.mark.parametrize(
    ("state", "effect", "opens"),
    [
        pytest.param(closed(9, 0, 7), SUCCESS, True, id="eight of ten"),
        pytest.param(closed(9, 0, 6), SUCCESS, False, id="seven of ten"),
        pytest.param(closed(8, 0, 8), SUCCESS, False, id="nine of nine"),
        pytest.param(closed(19, 0, 15), SUCCESS, True, id="sixteen of twenty"),
        pytest.param(closed(19, 0, 14), SUCCESS, False, id="fifteen of twenty"),
        pytest.param(closed(9, 0, 7), FAILURE, True, id="a failure may be slow too"),
        pytest.param(closed(9, 0, 6), FAILURE, False, id="and just below"),
    ],
)
def test_slowness_opens_it(state: BreakerState, effect: BreakerEffect, opens: bool) -> None:
    """Eight of ten and more that took far longer than usual, whatever came of them."""
    assert (settled(state, effect, slow=True).phase is Phase.OPEN) is opens


def test_a_quick_success_opens_nothing_whatever_the_sums_say() -> None:
    """It may be the tenth attempt that makes shares count; good news is no reason to leave."""
    for state in (closed(9, 9, 0), closed(9, 0, 9), closed(9, 9, 9, row=4)):
        after = settled(state, SUCCESS)
        assert (after.phase, after.row, after.generation) == (Phase.CLOSED, 0, 7)


def test_what_is_older_than_ten_seconds_does_not_count() -> None:
    """Both sides: nine failures at second 41 count at 50, those of second 40 do not."""
    for second, opens in ((41, True), (40, False)):
        state = replace(closed(), window=(Bucket(second, 9, 5, 0),))
        assert (settled(state, FAILURE).phase is Phase.OPEN) is opens


def test_a_success_ends_a_row_and_keeps_what_is_remembered() -> None:
    """Written out field by field for speed: so looked at field by field."""
    state = BreakerState(
        row=4,
        openings=3,
        changed_at_s=11.0,
        generation=Permit(7),
        window=(Bucket(45, 4, 4, 0),),
    )
    assert settled(state, SUCCESS) == replace(
        state, row=0, window=(Bucket(45, 4, 4, 0), Bucket(50, 1, 0, 0))
    )
    assert settled(state, SUCCESS, slow=True).window[-1] == Bucket(50, 1, 0, 1)


@pytest.mark.parametrize("effect", [THROTTLED, ABANDONED])
def test_what_says_nothing_of_health_changes_nothing_while_closed(effect: BreakerEffect) -> None:
    """Cancelled callers, and 429: however many, and slow or not."""
    state = closed(9, 4, 9, row=4)
    assert settled(state, effect, slow=True) is state


@pytest.mark.parametrize(("jitter", "open_s"), [(0.0, 4.0), (0.5, 5.0), (1.0, 6.0), (0.75, 5.5)])
def test_how_long_it_stays_open_is_spread_by_a_fifth(jitter: float, open_s: float) -> None:
    """So that a crowd of routers does not come back all at once."""
    after = settled(closed(4, 4, row=4), FAILURE, jitter=jitter)
    assert after.until_s == pytest.approx(NOW_S + open_s)


@pytest.mark.parametrize(
    ("openings", "jitter", "open_s"),
    [
        (0, 0.5, 5.0),
        (1, 0.5, 10.0),
        (2, 0.5, 20.0),
        (3, 0.5, 30.0),
        (3, 1.0, 36.0),
        (3, 0.0, 24.0),
        (10_000, 0.5, 30.0),
    ],
)
def test_each_failed_probe_doubles_the_time_up_to_a_cap(
    openings: int, jitter: float, open_s: float
) -> None:
    """The spread comes after the cap: capped breakers must not all come back together either."""
    after = settled(half_open(openings=openings, row=1), FAILURE, jitter=jitter)
    assert after.until_s == pytest.approx(NOW_S + open_s)
    assert (after.phase, after.row, after.probing) == (Phase.OPEN, 0, False)
    assert after.openings == min(openings, 32) + 1
    assert (after.changed_at_s, after.generation) == (NOW_S, 8)


@pytest.mark.parametrize(
    ("openings", "closed_for_s", "open_s", "left"),
    [
        pytest.param(2, 0.0, 20.0, 3, id="at-once"),
        pytest.param(2, 59.9, 20.0, 3, id="not-a-minute"),
        pytest.param(2, 60.0, 10.0, 2, id="a-minute"),
        pytest.param(2, 119.9, 10.0, 2, id="not-two"),
        pytest.param(2, 120.0, 5.0, 1, id="two-minutes"),
        pytest.param(2, 10_000.0, 5.0, 1, id="never-less-than-none"),
    ],
)
def test_one_opening_is_forgotten_for_each_minute_closed(
    openings: int, closed_for_s: float, open_s: float, left: int
) -> None:
    """What flaps stays away for longer each time; what has been well for minutes starts anew."""
    state = BreakerState(row=9, openings=openings, changed_at_s=NOW_S - closed_for_s)
    after = settled(state, FAILURE)
    assert (after.until_s, after.openings) == (NOW_S + open_s, left)


def test_time_spent_open_or_probing_forgets_nothing() -> None:
    """Only health does."""
    after = settled(half_open(openings=2, changed_at_s=-1_000.0), FAILURE)
    assert after.until_s == NOW_S + 20.0


def test_the_limits_unless_others_are_given() -> None:
    """Those of the design, in its words; each default is held here."""
    assert BreakerConfig() == BreakerConfig(
        attempts_min=10,
        failure_share=0.5,
        slow_share=0.8,
        row_few=5,
        row_many=10,
        open_s=5.0,
        open_s_max=30.0,
        open_spread=0.2,
        forget_s=60.0,
        probe_limit_s=90.0,
        probes=2,
        healthy_answers=2,
    )


def test_a_new_breaker_is_closed_and_knows_nothing() -> None:
    """Each default is held here."""
    assert BreakerState() == BreakerState(
        Phase.CLOSED, 0, 0, 0.0, 0.0, False, 0, 0, False, Permit(0), ()
    )
    assert settle(BreakerState(row=4), CONFIG, Permit(0), FAILURE, 9.0).until_s == 14.0
    quick = settle(BreakerState(), CONFIG, Permit(0), SUCCESS, 9.0)
    assert quick.window == (Bucket(9, 1, 0, 0),)


def test_a_share_of_failures_at_random_does_not_open_it_at_volume() -> None:
    """Every fifth attempt fails, 70 a second, for ten minutes: it stays closed all the time."""
    state = BreakerState()
    for number in range(42_000):
        now_s = number / 70
        state, permit = admit(state, CONFIG, now_s)
        effect = FAILURE if number * 2_654_435_761 % 2**32 < 0.2 * 2**32 else SUCCESS
        state = settle(state, CONFIG, permit, effect, now_s)
        assert state.phase is Phase.CLOSED
        assert len(state.window) <= 10


def test_a_healthy_candidate_costs_next_to_nothing() -> None:
    """Closed and successful: a few objects, none of them kept. `benchmarks/` tells the time."""
    holder = [BreakerState()]

    def attempt() -> None:
        after, permit = admit(holder[0], CONFIG, 1.0)
        holder[0] = settle(after, CONFIG, permit, SUCCESS, 2.0)

    attempt()
    blocks = sys.getallocatedblocks()
    for _ in range(1000):
        attempt()
    assert sys.getallocatedblocks() - blocks < 50
