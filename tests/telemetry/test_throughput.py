"""Tokens a second by load, first tokens by length of prompt, and the wait that follows."""

from __future__ import annotations

import pytest

from hybridllm._core.telemetry.first_tokens import FirstTokens
from hybridllm._core.telemetry.throughput import OwnWork, Throughput, wait_s


def test_throughput_is_kept_by_load() -> None:
    """In powers of two; of a load that was not measured, the nearest that was."""
    found = Throughput()
    assert found.at(1) is None
    for _ in range(50):
        found.measured(320.0, 1.0, 1)
        found.measured(1_300.0, 2.0, 2)
    assert found.at(1) == pytest.approx(320.0)
    assert found.at(3) == pytest.approx(650.0)
    assert found.at(64) == pytest.approx(650.0)
    assert found.at(0) == pytest.approx(320.0)
    assert dict(found.by_load) == pytest.approx({1: 320.0, 2: 650.0})


def test_a_moment_is_no_measure() -> None:
    """Five prompts are counted at once; two seconds at a load say what it does there."""
    found = Throughput()
    found.measured(400.0, 0.25, 8)
    assert found.at(8) is None
    found.measured(500.0, 2.5, 4)
    assert found.at(8) == pytest.approx(200.0)
    found.measured(400.0, 2.0, 8)
    assert found.at(8) == pytest.approx(800.0 / 2.25, rel=0.1)


def test_a_peak_is_not_sustained() -> None:
    """The best is what it kept up for some ten seconds."""
    found = Throughput()
    found.measured(10_000.0, 1.0, 4)
    assert found.best < 1_000.0
    for _ in range(60):
        found.measured(500.0, 1.0, 4)
    peak = found.best
    for _ in range(60):
        found.measured(100.0, 1.0, 4)
    assert found.best == peak


@pytest.mark.parametrize(
    ("tokens", "seconds", "load"), [(-5.0, 1.0, 4), (5.0, 0.0, 4), (0.0, 1.0, 4), (5.0, 1.0, 0.2)]
)
def test_what_is_no_measure_of_what_it_can_do_is_left_out(
    tokens: float, seconds: float, load: float
) -> None:
    """Counters that fell, no time, a standstill, and next to no load."""
    found = Throughput()
    for _ in range(9):
        found.measured(tokens, seconds, load)
    assert found.at(4) is None


def test_our_own_answers_are_counted_in_busy_windows() -> None:
    """Two at once for six seconds, after a minute of nothing: 100 tokens a second."""
    work = OwnWork()
    assert work.tokens_each is None
    work.changes(0, 60.0)
    work.changes(1, 60.0)
    work.changes(2, 66.0)
    work.done(300)
    work.changes(1, 66.0)
    work.done(300)
    assert work.window() == (600.0, 6.0, 2.0)
    assert work.window() is None
    assert work.tokens_each == 300


@pytest.mark.parametrize(
    ("waiting", "full", "each", "rate", "expected"),
    [
        pytest.param(0, False, None, None, 0.0, id="a-slot-is-free"),
        pytest.param(0, True, 300, 600, 0.5, id="one-must-be-done"),
        pytest.param(3, True, 300, 600, 2.0, id="those-before-it-too"),
        pytest.param(3, True, None, 600, None, id="nothing-has-ended-yet"),
        pytest.param(3, True, 300, None, None, id="not-measured"),
        pytest.param(None, True, 300, 600, 0.5, id="ours-take-all-its-slots"),
        pytest.param(None, False, 300, 600, None, id="unknown"),
    ],
)
def test_the_wait_is_the_tokens_ahead_at_the_pace_of_all_slots(
    waiting: float | None,
    full: bool,
    each: float | None,
    rate: float | None,
    expected: float | None,
) -> None:
    """Zero where a slot is free; what is not known is None."""
    assert wait_s(waiting, full=full, tokens_each=each, tokens_per_s=rate) == expected


def test_first_tokens_are_kept_by_length_of_prompt() -> None:
    """Up to 128, 256, 512, ... tokens; a queue hardly moves them, a quick one does."""
    found = FirstTokens()
    assert found.usual_s(100) is None
    assert found.overdue_after_s(100) == float("inf")
    for _ in range(30):
        found.came(100, 0.1)
        found.came(1_000, 0.4)
    assert found.usual_s(128) == pytest.approx(0.1)
    assert found.usual_s(1_024) == pytest.approx(0.4)
    assert found.usual_s(129) == pytest.approx(0.2)  # half as long takes half as long, at least
    assert found.usual_s(4_096) == pytest.approx(1.6)
    for _ in range(5):
        found.came(100, 5.0)  # five in a row had to wait
    assert (found.usual_s(128) or 0) < 1.1
    for _ in range(10):
        found.came(100, 0.1)
    assert found.usual_s(1) == pytest.approx(0.1, rel=0.6)
    assert found.usual_s(10**9) is not None


def test_a_first_token_is_overdue_after_three_times_the_usual() -> None:
    """And half a second at least."""
    found = FirstTokens()
    found.came(100, 0.08)
    found.came(100_000, 8.0)
    assert found.overdue_after_s(100) == 0.5
    assert found.overdue_after_s(100_000) == pytest.approx(24.0)
