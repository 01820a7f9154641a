"""When a candidate leaves rotation and when it may come back.

Owns every transition of a breaker: a transition happens in this file or nowhere. Knows nothing of
clocks, tasks or HTTP. Time comes in as `now_s` (monotonic), chance as `jitter`; the new state goes out, and
the caller puts it in place of the old one before it awaits anything.

A permit is the generation it was given in. Every transition, and every new probe, begins a generation,
so a result that comes late is known by its number and changes nothing: neither can a slow call from
before the trip close the breaker, nor a late failure keep it open. A permit always comes back as
success, failure, throttled or abandoned; a probe's permit that does not come back expires.

When it trips depends on how much there is to see. Five failures in a row mean something where ten attempts in
ten seconds are not reached; at 70 attempts a second and 20 % random errors they happen every 47 seconds. So
with ten attempts or more it takes half of them, or ten in a row. A row is counted twice: as attempts end,
and as they began. A backend that dies at a hundred requests a second goes on answering what it had taken, and
those answers say nothing of the requests that are refused meanwhile; an attempt that is still under way is
no failure, so quick errors among slow answers are not taken for a row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NewType

from hybridllm._core.resilience.outcome import BreakerEffect
from hybridllm._core.resilience.window import EMPTY, Window, counted, totals


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
        attempts_min: Attempts in ten seconds from which their share of failures counts.
        failure_share: Of them, that opens it.
        slow_share: Of them that were slow, that opens it.
        row_few: Failures in a row that open it where there are fewer attempts.
        row_many: Failures in a row that always open it.
        open_s: How long it stays open the first time; each time it opens again doubles that.
        open_s_max: The longest it stays open.
        open_spread: Both are multiplied by a number drawn from 1 -+ this.
        forget_s: Closed for so long, one opening is forgotten.
        probe_limit_s: How long a probe may take before another may be sent.
        probes: Successes in a row that close it.
        healthy_answers: Of its health page, in a row, that let a probe through before the time.
    """

    attempts_min: int = 10
    failure_share: float = 0.5
    slow_share: float = 0.8
    row_few: int = 5
    row_many: int = 10
    open_s: float = 5.0
    open_s_max: float = 30.0
    open_spread: float = 0.2
    forget_s: float = 60.0
    probe_limit_s: float = 90.0
    probes: int = 2
    healthy_answers: int = 2


@dataclass(frozen=True, slots=True)
class BreakerState:
    """A breaker, at one moment.

    Attributes:
        row: Closed: failures in a row. Half-open: successes in a row.
        openings: That are not forgotten yet; the next one lasts twice as long for each.
        changed_at_s: When it last went from one phase to another.
        until_s: Open: when a probe may pass. Half-open: when the probe under way expires.
        probing: Half-open: whether a probe is under way.
        healthy: Open: good answers of its health page in a row.
        misled: Probes in a row that failed although the health page was good; it is believed the less.
        by_health: Whether the health page let the probe through.
        generation: Of the permits that count now.
        window: Of attempts that ended while it was closed.
        failed: Closed: numbers of those that failed, of the last ones that began.
    """

    phase: Phase = Phase.CLOSED
    row: int = 0
    openings: int = 0
    changed_at_s: float = 0.0
    until_s: float = 0.0
    probing: bool = False
    healthy: int = 0
    misled: int = 0
    by_health: bool = False
    generation: Permit = Permit(0)
    window: Window = EMPTY
    failed: tuple[int, ...] = ()


_CLOSED, _OPEN, _HALF_OPEN = Phase.CLOSED, Phase.OPEN, Phase.HALF_OPEN
_SUCCESS, _FAILURE = BreakerEffect.SUCCESS, BreakerEffect.FAILURE
_THROTTLED = BreakerEffect.THROTTLED
_OPENINGS_MAX = 32  # keeps 2**n finite


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
    opening = state.phase is _OPEN
    probe = replace(
        state,
        phase=_HALF_OPEN,
        row=0 if opening else state.row,
        changed_at_s=now_s if opening else state.changed_at_s,
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
    *,
    jitter: float = 0.5,
    slow: bool = False,
    number: int | None = None,
    begun: int = 0,
) -> BreakerState:
    """Return the state after an attempt came back.

    Args:
        state: As it is now, not as it was when the permit was given.
        config: Limits.
        permit: What `admit` gave; None: it was refused, and the attempt was made all the same because
            every candidate was. Then only a success counts: it lets a probe through at once.
        effect: What the attempt tells; ABANDONED tells nothing and hands the permit back.
        now_s: Monotonic.
        jitter: In [0, 1]; spreads how long it stays open.
        slow: Whether it took far longer than is usual there, whatever came of it.
        number: Of the attempt, in the order in which they began; None: not counted.
        begun: The number of the one that began last.
    """
    if permit != state.generation:
        return _after_panic(state, effect, now_s) if permit is None else state
    if state.phase is _CLOSED:
        if effect is _SUCCESS:
            return _after_success(state, config, now_s, jitter=jitter, slow=slow)
        if effect is _FAILURE:
            failed = _failed(state, config, number, begun)
            return _after_failure(
                replace(state, failed=failed), config, now_s, jitter=jitter, slow=slow
            )
        return state
    if effect is _SUCCESS:
        return _after_probe(state, config, now_s)
    if effect is _FAILURE:
        misled = state.misled + state.by_health
        return _opened(replace(state, misled=misled), config, now_s, jitter=jitter)
    if effect is _THROTTLED:  # not well yet, and no worse than before
        before = replace(state, openings=max(0, state.openings - 1))
        return _opened(before, config, now_s, jitter=jitter)
    return replace(state, probing=False) if state.probing else state


def after_successes(state: BreakerState, count: int, now_s: float) -> BreakerState:
    """Return a closed breaker's state after good attempts of one second, where none failed in between.

    Nothing but their number matters then, so they may be put into the window together.
    """
    return replace(
        state, window=counted(state.window, now_s=now_s, failed=False, slow=False, times=count)
    )


def after_health(
    state: BreakerState, config: BreakerConfig, *, healthy: bool, now_s: float
) -> BreakerState:
    """Return the state after its health page was looked at; only an open breaker looks.

    A good page lets one probe through before the time, and never closes: it says 200 while the engine
    behind it hangs. Each probe that then fails doubles the good answers that it takes.
    """
    if state.phase is not _OPEN or now_s >= state.until_s:
        return state
    if not healthy:
        return replace(state, healthy=0) if state.healthy else state
    count = state.healthy + 1
    if count < config.healthy_answers * 2.0 ** min(state.misled, _OPENINGS_MAX):
        return replace(state, healthy=count)
    return replace(state, healthy=0, until_s=now_s, by_health=True)


def _after_success(
    state: BreakerState, config: BreakerConfig, now_s: float, *, jitter: float, slow: bool
) -> BreakerState:
    window = counted(state.window, now_s=now_s, failed=False, slow=slow)
    if slow:
        sums = totals(window, now_s)
        if _enough(sums.slow, sums.attempts, config.slow_share, config):
            return _opened(state, config, now_s, jitter=jitter)
    # Written out: `replace` costs more than all the rest, and nearly every attempt ends here.
    return BreakerState(
        _CLOSED,
        0,
        state.openings,
        state.changed_at_s,
        0.0,
        False,
        0,
        0,
        False,
        state.generation,
        window,
        state.failed,
    )


def _after_failure(
    state: BreakerState, config: BreakerConfig, now_s: float, *, jitter: float, slow: bool
) -> BreakerState:
    window = counted(state.window, now_s=now_s, failed=True, slow=slow)
    row = state.row + 1
    sums = totals(window, now_s)
    few = sums.attempts < config.attempts_min
    if (
        row >= (config.row_few if few else config.row_many)
        or len(state.failed) >= config.row_many
        or _enough(sums.failures, sums.attempts, config.failure_share, config)
        or _enough(sums.slow, sums.attempts, config.slow_share, config)
    ):
        return _opened(state, config, now_s, jitter=jitter)
    return replace(state, row=row, window=window)


def _failed(
    state: BreakerState, config: BreakerConfig, number: int | None, begun: int
) -> tuple[int, ...]:
    """Return which of the last attempts that began have failed, this one among them."""
    if number is None:
        return state.failed
    oldest = begun - config.row_many
    return tuple([one for one in (*state.failed, number) if one > oldest])


def _enough(count: int, attempts: int, share: float, config: BreakerConfig) -> bool:
    return attempts >= config.attempts_min and count >= share * attempts


def _after_probe(state: BreakerState, config: BreakerConfig, now_s: float) -> BreakerState:
    if state.row + 1 < config.probes:
        return replace(state, row=state.row + 1, probing=False)
    return BreakerState(
        openings=state.openings, changed_at_s=now_s, generation=Permit(state.generation + 1)
    )


def _opened(
    state: BreakerState, config: BreakerConfig, now_s: float, *, jitter: float
) -> BreakerState:
    openings = state.openings
    if state.phase is _CLOSED:
        openings = max(0, openings - int((now_s - state.changed_at_s) / config.forget_s))
    openings = min(openings, _OPENINGS_MAX)
    spread = 1.0 + config.open_spread * (2.0 * jitter - 1.0)
    open_s = min(config.open_s * 2.0**openings, config.open_s_max) * spread
    return BreakerState(
        _OPEN,
        openings=openings + 1,
        changed_at_s=now_s,
        until_s=now_s + open_s,
        misled=state.misled,
        generation=Permit(state.generation + 1),
    )


def _after_panic(state: BreakerState, effect: BreakerEffect, now_s: float) -> BreakerState:
    if effect is _SUCCESS and state.phase is _OPEN and now_s < state.until_s:
        return replace(state, until_s=now_s)
    return state
