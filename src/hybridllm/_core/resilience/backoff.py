"""How long to wait before trying again; chance comes in as `jitter`, drawn once by the caller.

Owns the waits, not the decision whether to wait: that is `next_step.py`.
"""

from __future__ import annotations

FAILOVER_JITTER_S = 0.025  # spreads a crowd that all leave one sick backend in the same instant
_GATE_SPREAD = 0.1
_EXPONENT_MAX = 32  # far beyond any cap; keeps 2**n finite


def backoff_s(failures: int, *, base_s: float = 0.1, cap_s: float = 2.0, jitter: float) -> float:
    """Return the wait after `failures` in a row (from 1): full jitter, `U(0, min(cap, base * 2^n))`.

    Args:
        failures: On the candidate that is to be asked again.
        base_s: Longest wait after the first failure.
        cap_s: Longest wait ever.
        jitter: In [0, 1].
    """
    exponent = min(max(failures, 1) - 1, _EXPONENT_MAX)
    return min(cap_s, base_s * 2.0**exponent) * jitter


def failover_s(jitter: float) -> float:
    """Return the wait before another candidate on the same backend: `U(0, 25 ms)`."""
    return FAILOVER_JITTER_S * jitter


def after_gate_s(left_s: float, *, jitter: float) -> float:
    """Return the wait for a gate that ends in `left_s`, so that not all who wait for it go at once."""
    return left_s + max(FAILOVER_JITTER_S, _GATE_SPREAD * left_s) * jitter
