"""The pace jumps up with a slow answer, falls slowly with fast ones, and fades without any."""

from __future__ import annotations

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.resilience.pace import Pace, after_answer, faded_s


@pytest.mark.parametrize(
    ("pace", "seconds", "expected_s"),
    [
        pytest.param(None, 0.5, 0.5, id="the-first"),
        pytest.param(Pace(1.0, 90.0), 3.0, 3.0, id="slower-counts-at-once"),
        pytest.param(Pace(1.0, 90.0), 1.0, 1.0, id="the-same"),
        pytest.param(Pace(1.0, 100.0), 0.2, 1.0, id="faster-in-the-same-moment"),
        pytest.param(Pace(1.0, 90.0), 0.2, exp(-1) + 0.2 * (1 - exp(-1)), id="faster-ten-s-later"),
        pytest.param(Pace(1.0, 1e-9), 0.2, exp(-10) + 0.2 * (1 - exp(-10)), id="long-after"),
        pytest.param(Pace(1.0, 110.0), 0.2, 1.0, id="a-clock-that-is-behind"),
    ],
)
def test_an_answer_moves_it(pace: Pace | None, seconds: float, expected_s: float) -> None:
    """Now is 100 s."""
    after = after_answer(pace, seconds, 100.0)
    assert after.value_s == pytest.approx(expected_s)
    assert after.at_s == 100.0


@pytest.mark.parametrize(
    ("now_s", "expected_s"), [(100.0, 2.0), (110.0, 2 * exp(-1)), (130.0, 2 * exp(-3)), (90.0, 2.0)]
)
def test_without_answers_it_fades(now_s: float, expected_s: float) -> None:
    """So that who was slow is tried again."""
    assert faded_s(Pace(2.0, 100.0), now_s) == pytest.approx(expected_s)


@given(st.lists(st.tuples(st.floats(0.001, 100), st.floats(0, 60)), min_size=1))
def test_it_stays_between_the_fastest_and_the_slowest(answers: list[tuple[float, float]]) -> None:
    pace, now_s = None, 0.0
    for seconds, waited_s in answers:
        now_s += waited_s
        pace = after_answer(pace, seconds, now_s)
        assert pace.value_s >= seconds * (1 - 1e-9)
    assert pace is not None
    least, most = min(one for one, _ in answers), max(one for one, _ in answers)
    assert least * (1 - 1e-9) <= pace.value_s <= most * (1 + 1e-9)
