"""Waits grow, stay under their cap and scale with chance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.resilience.backoff import backoff_s, failover_s


@pytest.mark.parametrize(
    ("failures", "longest_s"),
    [
        pytest.param(1, 0.1, id="first"),
        pytest.param(2, 0.2, id="second"),
        pytest.param(5, 1.6, id="below-cap"),
        pytest.param(6, 2.0, id="at-cap"),
        pytest.param(10_000_000, 2.0, id="far-beyond-any-float"),
        pytest.param(0, 0.1, id="zero-counts-as-one"),
        pytest.param(-3, 0.1, id="negative-counts-as-one"),
    ],
)
def test_backoff_doubles_up_to_its_cap(failures: int, longest_s: float) -> None:
    """The longest wait doubles with each failure, from base to cap."""
    assert backoff_s(failures, jitter=1.0) == pytest.approx(longest_s)


@given(st.integers(1, 100), st.floats(0, 1))
def test_backoff_uses_full_jitter(failures: int, jitter: float) -> None:
    """Chance scales the whole wait: from nothing to the longest."""
    wait_s = backoff_s(failures, base_s=0.1, cap_s=2.0, jitter=jitter)
    assert 0 <= wait_s <= 2.0
    assert wait_s == pytest.approx(backoff_s(failures, jitter=1.0) * jitter)


@pytest.mark.parametrize(("jitter", "expected_s"), [(0.0, 0.0), (0.5, 0.0125), (1.0, 0.025)])
def test_failover_waits_at_most_25_ms(jitter: float, expected_s: float) -> None:
    assert failover_s(jitter) == pytest.approx(expected_s)
