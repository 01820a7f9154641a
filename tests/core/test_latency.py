"""Percentiles of fresh samples; too few or too old are none."""

from __future__ import annotations

import pytest

from hybridllm._core.latency import (
    AGE_S_MAX,
    SAMPLES_MAX,
    SAMPLES_MIN,
    forget_old,
    new_samples,
    percentiles,
)
from hybridllm._runtime.latencies import Latencies


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([1.0] * (SAMPLES_MIN - 1), {}, id="too-few"),
        pytest.param([1, 2, 3, 4, 5], {50: 3, 90: 5, 95: 5, 99: 5}, id="five"),
        pytest.param(range(100, 0, -1), {50: 50, 90: 90, 95: 95, 99: 99}, id="a-hundred"),
    ],
)
def test_percentiles_are_by_nearest_rank(values: list[float], expected: dict[int, float]) -> None:
    """Each is a value that was measured."""
    assert percentiles((0.0, ms) for ms in values) == expected


def test_only_the_latest_are_kept_and_only_while_they_are_fresh() -> None:
    """So that a bad hour is over when it is over."""
    samples = new_samples()
    for number in range(SAMPLES_MAX + 10):
        samples.append((float(number), float(number)))
    assert len(samples) == SAMPLES_MAX
    assert not forget_old(samples, now_s=AGE_S_MAX)
    assert forget_old(samples, now_s=AGE_S_MAX + 100)
    assert samples[0][0] == 100


def test_a_candidate_counts_as_unmeasured_again_when_its_samples_are_old() -> None:
    """Streams and whole answers apart; what a decision was given does not change under it."""
    now_s = 0.0
    latencies = Latencies(lambda: now_s)
    for _ in range(SAMPLES_MIN):
        latencies.first_token("a/m", 0.3, now_s)
        latencies.answer("b/m", 2.0, now_s)
    first = latencies.snapshot()
    assert first["a/m"].ttft_ms == {50: 300, 90: 300, 95: 300, 99: 300}
    assert (first["a/m"].total_ms, first["b/m"].total_ms[50]) == ({}, 2_000)
    assert latencies.snapshot() is first
    now_s = AGE_S_MAX + 1
    latencies.answer("b/m", 9.0, now_s)
    assert latencies.snapshot() == {}
    assert set(first) == {"a/m", "b/m"}
    assert latencies._samples.keys() == {"b/m"}  # what is empty is not kept
