"""Breakers in each phase, for the tests of their transitions."""

from __future__ import annotations

from dataclasses import replace

from hybridllm._core.resilience.breaker import BreakerConfig, BreakerState, Permit, Phase, settle
from hybridllm._core.resilience.outcome import BreakerEffect
from hybridllm._core.resilience.window import Bucket

SUCCESS, FAILURE = BreakerEffect.SUCCESS, BreakerEffect.FAILURE
THROTTLED, ABANDONED = BreakerEffect.THROTTLED, BreakerEffect.ABANDONED
CONFIG = BreakerConfig()
NOW_S = 50.0


def closed(attempts: int = 0, failures: int = 0, slow: int = 0, *, row: int = 0) -> BreakerState:
    """One that has seen this within the last ten seconds."""
    window = (Bucket(45, attempts, failures, slow),) if attempts else ()
    return BreakerState(row=row, generation=Permit(7), window=window)


def opened(**fields: object) -> BreakerState:
    """Open until 100 s, for the first time."""
    state = BreakerState(Phase.OPEN, openings=1, until_s=100.0, generation=Permit(7))
    return replace(state, **fields)  # type: ignore[arg-type]


def half_open(**fields: object) -> BreakerState:
    """A probe is under way; it expires at 100 s."""
    state = BreakerState(
        Phase.HALF_OPEN, openings=1, until_s=100.0, probing=True, generation=Permit(7)
    )
    return replace(state, **fields)  # type: ignore[arg-type]


OPEN, PROBING, WAITING = opened(), half_open(), half_open(probing=False)


def settled(
    state: BreakerState, effect: BreakerEffect, *, jitter: float = 0.5, slow: bool = False
) -> BreakerState:
    return settle(state, CONFIG, state.generation, effect, NOW_S, jitter=jitter, slow=slow)
