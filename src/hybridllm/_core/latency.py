"""What measured latencies come to: percentiles of the latest samples, while they are fresh.

A handful of samples says nothing, and an old one no more: with too few fresh ones a candidate is not
measured. So one that was slow once is tried again some minutes later, and not shunned for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

PERCENTILES = (50, 90, 95, 99)
SAMPLES_MAX = 128  # the latest; sorting them costs 5 us, and p99 of more would be history
SAMPLES_MIN = 5  # fewer say nothing
AGE_S_MAX = 300.0

Samples = deque[tuple[float, float]]
"""(when, milliseconds), the oldest first."""


def new_samples() -> Samples:
    """Return an empty window."""
    return deque(maxlen=SAMPLES_MAX)


def forget_old(samples: Samples, *, now_s: float) -> bool:
    """Drop what is too old; return whether anything was."""
    before = len(samples)
    while samples and now_s - samples[0][0] > AGE_S_MAX:
        samples.popleft()
    return len(samples) < before


def percentiles(samples: Iterable[tuple[float, float]]) -> dict[int, float]:
    """Return percentile -> milliseconds, by nearest rank; nothing if the samples are too few."""
    values = sorted(ms for _, ms in samples)
    if len(values) < SAMPLES_MIN:
        return {}
    return {rank: nearest_rank(values, rank) for rank in PERCENTILES}


def nearest_rank(ordered: Sequence[float], rank: int) -> float:
    """Return a percentile of values in order, of which there is at least one: one of them."""
    last = len(ordered)
    return ordered[min(last, -(-rank * last // 100)) - 1]
