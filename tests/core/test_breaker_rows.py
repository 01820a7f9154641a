"""A row of failures is counted as attempts end, and as they began."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from hybridllm._core.resilience.breaker import (
    BreakerConfig,
    BreakerState,
    Permit,
    Phase,
    after_successes,
    settle,
)
from hybridllm._core.resilience.outcome import BreakerEffect
from hybridllm._core.resilience.window import Bucket

CONFIG = BreakerConfig()
OK, FAILED = BreakerEffect.SUCCESS, BreakerEffect.FAILURE


def after(endings: list[tuple[float, int, BreakerEffect, int]]) -> tuple[BreakerState, int]:
    """Settle (when, number, effect, begun) in order; how many it took until it opened, or all."""
    state = BreakerState()
    for count, (now_s, number, effect, begun) in enumerate(sorted(endings, key=lambda e: e[0]), 1):
        state = settle(state, CONFIG, state.generation, effect, now_s, number=number, begun=begun)
        if state.phase is Phase.OPEN:
            return state, count
    return state, len(endings)


def test_a_death_is_seen_through_the_answers_still_under_way() -> None:
    """40 requests under way end well, one between any two that are refused: ten of those are enough."""
    before = [(0.01 * n, n, OK, n) for n in range(1, 101)]
    owed = [(1.0 + 0.02 * n, 100 + n, OK, 140 + n // 2) for n in range(40)]
    refused = [(1.011 + 0.02 * n, 141 + n, FAILED, 141 + n) for n in range(40)]
    state, count = after([*before, *owed, *refused])
    assert state.phase is Phase.OPEN
    assert count <= 100 + 21  # ten refused, and the answers between them


def test_quick_errors_among_slow_answers_are_no_row() -> None:
    """At 500 a second errors come back in 10 ms and answers in 400: those under way did not fail."""
    chance = Random(1)
    endings = []
    for number in range(1, 5_001):
        began_s = number / 500
        failed = chance.random() < 0.2
        ended_s = began_s + (0.01 if failed else 0.4)
        begun = min(5_000, int(ended_s * 500))
        endings.append((ended_s, number, FAILED if failed else OK, begun))
    state, count = after([e for e in endings if e[0] > 0.5])  # the first answers are there by then
    assert state.phase is Phase.CLOSED
    assert count > 4_000


@pytest.mark.parametrize(("first", "opens"), [(90, False), (91, True)])
def test_ten_in_the_order_in_which_they_began_open_it(first: int, opens: bool) -> None:
    """Both sides: of the last ten that began all have failed, or the first of them began before those."""
    failed = (first, *range(92, 100))
    state = BreakerState(failed=failed, window=(Bucket(1, 100, 9, 0),))
    found = settle(state, CONFIG, Permit(0), FAILED, 1.0, number=100, begun=100)
    assert (found.phase is Phase.OPEN) is opens
    if not opens:
        assert found.failed == (*range(92, 100), 100)
        assert found.row == 1


def test_an_attempt_without_a_number_is_in_no_row_of_beginnings() -> None:
    """What was known of it stays."""
    state = BreakerState(failed=(1, 2), window=(Bucket(1, 100, 9, 0),))
    assert settle(state, CONFIG, Permit(0), FAILED, 1.0).failed == (1, 2)
    assert settle(state, CONFIG, Permit(0), OK, 1.0, number=100, begun=100).failed == (1, 2)


def test_good_answers_of_one_second_are_put_in_together() -> None:
    """As if they had come one by one: none of them failed, none was slow."""
    state = BreakerState(
        openings=2, changed_at_s=3.0, generation=Permit(7), window=(Bucket(8, 1, 1, 1),)
    )
    found = after_successes(state, 3, 12.5)
    assert found == replace(state, window=(Bucket(8, 1, 1, 1), Bucket(12, 3, 0, 0)))
    one_by_one = state
    for _ in range(3):
        one_by_one = settle(one_by_one, CONFIG, Permit(7), OK, 12.5)
    assert found == one_by_one
