"""When a candidate leaves rotation and when it may come back.

Owns every transition of a breaker: a transition happens in this file or nowhere. Knows nothing of
clocks, tasks or HTTP. Time comes in as `now_s` (monotonic); the new state goes out, and the caller puts
it in place of the old one before it awaits anything.

A permit is the generation it was given in. Every transition, and every new probe, begins a generation,
so a result that comes late is known by its number and changes nothing: neither can a slow call from
before the trip close the breaker, nor a late failure keep it open. A permit always comes back as
success, failure or abandoned; a probe's permit that does not come back expires.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NewType

from hybridllm._core.resilience.outcome import BreakerEffect


class Phase(StrEnum):
    """Closed: all pass. Open: none. Half-open: one at a time, to see."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


Permit = NewType("Permit", int)
"""The right to make one attempt: the generation in which it was given."""


@dataclass(frozen=True, slots=True)
class BreakerConfig:
    """When a breaker opens, and for how long.

    Attributes:
        failures_max: Failures in a row that open it.
        open_s: How long it stays open the first time; each failed probe doubles it.
        open_s_max: The longest it stays open.
        probe_limit_s: How long a probe may take before another may be sent.
    """

    failures_max: int = 5
    open_s: float = 5.0
    open_s_max: float = 30.0
    probe_limit_s: float = 30.0


@dataclass(frozen=True, slots=True)
class BreakerState:
    """A breaker, at one moment.

    Attributes:
        failures: In a row, while closed.
        reopens: Failed probes in a row since it was last closed.
        until_s: Open: when a probe may pass. Half-open: when the probe under way expires.
        probing: Half-open: whether a probe is under way.
        generation: Of the permits that count now.
    """

    phase: Phase = Phase.CLOSED
    failures: int = 0
    reopens: int = 0
    until_s: float = 0.0
    probing: bool = False
    generation: Permit = Permit(0)


_CLOSED, _OPEN, _HALF_OPEN = Phase.CLOSED, Phase.OPEN, Phase.HALF_OPEN
_SUCCESS, _FAILURE = BreakerEffect.SUCCESS, BreakerEffect.FAILURE
_REOPENS_MAX = 32  # keeps 2**n finite


def refuses(state: BreakerState, now_s: float) -> bool:
    """Return whether `admit` would refuse now; takes no permit."""
    if state.phase is _CLOSED:
        return False
    return now_s < state.until_s and (state.phase is _OPEN or state.probing)


def admit(
    state: BreakerState, config: BreakerConfig, now_s: float
) -> tuple[BreakerState, Permit | None]:
    """Return the state after asking for one attempt, and the permit; None: refused."""
    if state.phase is _CLOSED:
        return state, state.generation
    if refuses(state, now_s):
        return state, None
    probe = replace(
        state,
        phase=_HALF_OPEN,
        until_s=now_s + config.probe_limit_s,
        probing=True,
        generation=Permit(state.generation + 1),
    )
    return probe, probe.generation


def settle(
    state: BreakerState,
    config: BreakerConfig,
    permit: Permit | None,
    effect: BreakerEffect,
    now_s: float,
) -> BreakerState:
    """Return the state after an attempt came back.

    Args:
        state: As it is now, not as it was when the permit was given.
        config: Limits.
        permit: What `admit` gave; None: it was refused, and the attempt was made all the same because
            every candidate was. Then only a success counts: it lets a probe through at once.
        effect: What the attempt tells; ABANDONED tells nothing and hands the permit back.
        now_s: Monotonic.
    """
    if effect is _SUCCESS and state.phase is _CLOSED and not state.failures:
        return state  # nearly every attempt ends here: nothing to change, whoever says it
    if permit != state.generation:
        return _after_panic(state, effect, now_s) if permit is None else state
    if effect is _SUCCESS:
        if state.phase is _CLOSED:
            return replace(state, failures=0)
        return BreakerState(generation=Permit(state.generation + 1))
    if effect is _FAILURE:
        return _after_failure(state, config, now_s)
    return replace(state, probing=False) if state.probing else state


def _after_failure(state: BreakerState, config: BreakerConfig, now_s: float) -> BreakerState:
    if state.phase is _HALF_OPEN:
        return _opened(state, config, now_s, reopens=state.reopens + 1)
    if state.failures + 1 >= config.failures_max:
        return _opened(state, config, now_s, reopens=0)
    return replace(state, failures=state.failures + 1)


def _opened(
    state: BreakerState, config: BreakerConfig, now_s: float, *, reopens: int
) -> BreakerState:
    open_s = min(config.open_s * 2.0 ** min(reopens, _REOPENS_MAX), config.open_s_max)
    return BreakerState(
        _OPEN, reopens=reopens, until_s=now_s + open_s, generation=Permit(state.generation + 1)
    )


def _after_panic(state: BreakerState, effect: BreakerEffect, now_s: float) -> BreakerState:
    if effect is _SUCCESS and state.phase is _OPEN and now_s < state.until_s:
        return replace(state, until_s=now_s)
    return state
