"""A row of failures is counted as attempts end, and as they began."""

from __future__ import annotations

from random import Random

from hybridllm._core.resilience.breaker import (
    BreakerConfig,
    BreakerState,
    Phase,
    settle,
)
from hybridllm._core.resilience.outcome import BreakerEffect

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
