"""What to do next with one request: call a candidate, now or after a wait, wait for a slot, or give up.

Owns every rule about retrying, failing over and falling back; nothing else decides about them. Chooses
from the plan's candidates, by their place in it, or not at all: it cannot add one.

What was learned from failures never empties the set: if breakers and gates refuse every candidate, the
request is sent all the same (panic), once to each, as far as the throttle admits it. Only the policy's
filters deny. Panic prefers a candidate whose breaker is open, which may have come back, to one that told us
to stay away; the latter is asked only if nobody was asked yet, so that the caller hears the reason from the
backend itself.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum

from hybridllm._core.decide.plan import Kept
from hybridllm._core.receipt import AttemptReason
from hybridllm._core.resilience.backoff import after_gate_s, backoff_s, failover_s
from hybridllm._core.resilience.outcome import Failure, Next
from hybridllm._core.resilience.standing import ALL_FREE, Standing

ATTEMPT_S_MIN = 0.05
"""With less time left than this, nothing is started: nobody would see the answer."""

_WAIT_S_MAX = 2.0  # the longest a caller is kept waiting because a backend asks for it
_WAIT_SHARE = 0.25  # of the time left

_NONE: frozenset[int] = frozenset()
_NOBODY: frozenset[str] = frozenset()


class GiveUpReason(StrEnum):
    """Why no further attempt is made."""

    REJECTED = "rejected"  # the request itself is at fault
    EXHAUSTED = "exhausted"  # every candidate failed, and none may be asked again
    ATTEMPTS = "attempts"  # the policy's limit for one request
    BUDGET = "budget"  # the router's limit for all requests together
    UNAVAILABLE = "unavailable"  # everybody is refused, and the throttle admits nobody
    DEADLINE = "deadline"  # too little time left to start another


@dataclass(frozen=True, slots=True)
class Call:
    """Make one attempt.

    Attributes:
        index: Of the candidate, in the plan's `kept`.
        after_s: Wait this long first; then its breaker is asked, as always.
        panic: True if its breaker or a gate refuses it, and it is to be asked all the same.
        extra: True if it draws on the retry budget.
    """

    index: int
    after_s: float
    reason: AttemptReason
    panic: bool = False
    extra: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Queue:
    """Wait for a slot on one of these candidates, then ask again what to do.

    Attributes:
        places: In the plan's `kept`, in order; at least one.
    """

    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wake:
    """Nobody else is left: only candidates that sleep could answer. Wait for one, or tell the caller.

    Attributes:
        places: In the plan's `kept`, in order; at least one.
        back_in_s: When the first of them is expected to be awake.
    """

    places: tuple[int, ...]
    back_in_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Make no further attempt."""

    reason: GiveUpReason


_NOBODY_LEFT = frozenset({GiveUpReason.EXHAUSTED, GiveUpReason.UNAVAILABLE})
_FIRST = Call(0, 0.0, AttemptReason.PRIMARY)


def next_step(
    *,
    kept: Sequence[Kept],
    failures: Sequence[tuple[int, Failure]],
    retries_max: int,
    attempts_max: int,
    remaining_s: float,
    jitter: float,
    standing: Standing = ALL_FREE,
    affordable: bool = True,
    barred: Set[int] = _NONE,
    spilled: Set[str] = _NOBODY,
) -> Call | Queue | Wake | GiveUp:
    """Return what to do next.

    Args:
        kept: The plan's candidates, in order.
        failures: (index into `kept`, failure) of every attempt so far, in order.
        retries_max: Repeats on one candidate.
        attempts_max: Attempts in all. A connection that turned out to be stale is none, once per candidate.
        remaining_s: Until the request's deadline.
        jitter: In [0, 1].
        standing: Who can be asked now. Ask `breaker.refuses`, not `admit`.
        affordable: Whether the retry budget has one more attempt. Going round somebody who is refused costs
            nothing; a stale connection neither.
        barred: Who cannot do what is left of this request, whatever happens: not even in panic.
        spilled: Backends that take the request because others have too much to do.
    """
    first_is_free = standing is ALL_FREE and not failures and not spilled
    if first_is_free and kept and not kept[0].fallback and remaining_s >= ATTEMPT_S_MIN:
        return _FIRST
    step = _next_step(
        kept=kept,
        failures=failures,
        retries_max=retries_max,
        attempts_max=attempts_max,
        remaining_s=remaining_s,
        jitter=jitter,
        standing=standing,
        affordable=affordable,
        barred=barred,
        spilled=spilled,
    )
    if standing.cold and isinstance(step, GiveUp) and step.reason in _NOBODY_LEFT:
        cold = tuple(sorted(standing.cold.keys() - barred))
        if cold:
            return Wake(cold, min(standing.cold[place] for place in cold))
    return step


def _next_step(
    *,
    kept: Sequence[Kept],
    failures: Sequence[tuple[int, Failure]],
    retries_max: int,
    attempts_max: int,
    remaining_s: float,
    jitter: float,
    standing: Standing,
    affordable: bool,
    barred: Set[int],
    spilled: Set[str],
) -> Call | Queue | GiveUp:
    if remaining_s < ATTEMPT_S_MIN and not _stopped(failures):
        return GiveUp(GiveUpReason.DEADLINE)
    if not failures:
        return _first(kept, standing, remaining_s, jitter, spilled)
    index, failure = failures[-1]
    tally = _tally(failures)
    stale = failure.next is Next.SAME_ONCE and _is_first_stale(failures)
    free = stale and index not in standing.refused
    end = _end(failures, attempts_max - sum(tally.values()), affordable=affordable or free)
    if end is not None:
        return GiveUp(end)
    if free:
        return Queue((index,)) if index in standing.full else Call(index, 0.0, AttemptReason.RETRY)
    off = _backends_off(kept, failures) | barred
    call = _elsewhere(kept, failures, standing, off, jitter)
    if isinstance(call, Queue):
        return call
    if call is not None:
        return _in_time(call, remaining_s) or GiveUp(GiveUpReason.DEADLINE)
    again = _again(failures, tally, standing, off, retries_max, remaining_s, jitter)
    if again is not None and not again.after_s and again.index in standing.full:
        return Queue((again.index,))
    call = again and _in_time(again, remaining_s)
    call = call or _last_resort(kept, failures, standing, off)
    late = again is not None or _only_slow_are_left(kept, failures, standing, off)
    return call or GiveUp(GiveUpReason.DEADLINE if late else GiveUpReason.EXHAUSTED)


def _stopped(failures: Sequence[tuple[int, Failure]]) -> bool:
    # Not just the last: of two attempts side by side, the other may have failed a moment later.
    return any(failure.next is Next.STOP for _, failure in failures)


def _end(
    failures: Sequence[tuple[int, Failure]], attempts_left: int, *, affordable: bool
) -> GiveUpReason | None:
    """Why it ends here, whoever is left."""
    if _stopped(failures):
        return GiveUpReason.REJECTED
    if attempts_left <= 0:
        return GiveUpReason.ATTEMPTS
    return None if affordable else GiveUpReason.BUDGET


def candidates_left(
    *,
    kept: Sequence[Kept],
    failures: Sequence[tuple[int, Failure]],
    gated: Set[int],
    attempts_max: int,
) -> int:
    """Return how many candidates the time left must do for, the one about to be asked included.

    Those who are refused count only when nobody else is left: then they are asked in panic.
    """
    if not failures and not gated:
        return min(len(kept), attempts_max)
    tried = {index for index, _ in failures}
    untried = [index for index in range(len(kept)) if index not in tried]
    free = [index for index in untried if index not in gated]
    return max(1, min(len(free) or len(untried), attempts_max - len(failures)))


def attempt_limit_s(
    *, remaining_s: float, candidates_left: int, own_limit_s: float | None
) -> float:
    """Return how long one attempt may take to answer, or a stream to bring its first token.

    Args:
        remaining_s: Until the request's deadline.
        candidates_left: See the function of that name; from 1.
        own_limit_s: What the policy allows the attempt; None: an equal share of the time left.
    """
    if own_limit_s is not None:
        return min(own_limit_s, remaining_s)
    return remaining_s / max(1, candidates_left)


def _first(
    kept: Sequence[Kept],
    standing: Standing,
    remaining_s: float,
    jitter: float,
    spilled: Set[str],
) -> Call | Queue | GiveUp:
    """The first attempt: the first who can be asked; if everybody is refused, the least hopeless."""
    free = [i for i in range(len(kept)) if i not in standing.refused]
    for index in free:
        if index not in standing.full and index not in standing.slow:
            return Call(index, 0.0, _spilt_reason(kept, index, standing, spilled))
    waiting = tuple(index for index in free if index not in standing.slow)
    if waiting:
        return Queue(waiting)
    if free:
        return GiveUp(GiveUpReason.DEADLINE)
    soon = min(standing.gates.items(), key=lambda gate: gate[1], default=(0, float("inf")))
    if soon[1] <= min(_WAIT_S_MAX, remaining_s * _WAIT_SHARE):
        return Call(soon[0], after_gate_s(soon[1], jitter=jitter), _first_reason(kept, soon[0]))
    panic = standing.in_panic()
    for index in panic:
        if index not in standing.full:
            return Call(index, 0.0, _first_reason(kept, index), panic=True)
    if panic:
        return Queue(panic)
    return GiveUp(GiveUpReason.UNAVAILABLE if kept else GiveUpReason.EXHAUSTED)


def _spilt_reason(
    kept: Sequence[Kept], index: int, standing: Standing, spilled: Set[str]
) -> AttemptReason:
    """Why the first attempt is made there: others are left by the policy, have no free slot, or sleep."""
    reason = _first_reason(kept, index)
    round_full = any(place in standing.full or place in standing.cold for place in range(index))
    if kept[index].candidate.backend.name in spilled or (
        round_full and reason is AttemptReason.PRIMARY
    ):
        return AttemptReason.OVERFLOW
    return reason


def _first_reason(kept: Sequence[Kept], index: int) -> AttemptReason:
    meant = kept[index].candidate.model.name == kept[0].candidate.model.name
    return AttemptReason.PRIMARY if meant and not kept[index].fallback else AttemptReason.FALLBACK


def _elsewhere(
    kept: Sequence[Kept],
    failures: Sequence[tuple[int, Failure]],
    standing: Standing,
    off: Set[int],
    jitter: float,
) -> Call | Queue | None:
    """The next in order who was not asked yet; if those have no free slot, wait for one."""
    last = kept[failures[-1][0]].candidate
    full = []
    for index in _untried(kept, failures):
        if index in standing.refused or index in off or index in standing.slow:
            continue
        if index in standing.full:
            full.append(index)
            continue
        same_backend = kept[index].candidate.backend.name == last.backend.name
        after_s = failover_s(jitter) if same_backend else 0.0
        return Call(index, after_s, _reason(kept, index), extra=True)
    return Queue(tuple(full)) if full else None


def _again(
    failures: Sequence[tuple[int, Failure]],
    tally: dict[int, int],
    standing: Standing,
    off: Set[int],
    retries_max: int,
    remaining_s: float,
    jitter: float,
) -> Call | None:
    """One of those who failed in passing, and may be asked again: who needs the shortest wait."""
    best: tuple[float, int, int] | None = None
    for index, failure in dict(failures).items():  # the last failure of each
        count = tally[index]
        if failure.next not in {Next.RETRY, Next.SAME_ONCE} or index in off or count > retries_max:
            continue
        cool_off_s = failure.cool_off_s or 0.0
        asked_s = failure.retry_after_s or cool_off_s
        if asked_s > min(_WAIT_S_MAX, remaining_s * _WAIT_SHARE):
            continue
        # Its own gate is over when the wait is; an open breaker is not.
        if index in standing.refused and failure.cool_off_s is None:
            continue
        wait_s = max(asked_s, cool_off_s) or backoff_s(count, jitter=jitter)
        best = min(best or (wait_s, count, index), (wait_s, count, index))
    return None if best is None else Call(best[2], best[0], AttemptReason.RETRY, extra=True)


def _last_resort(
    kept: Sequence[Kept],
    failures: Sequence[tuple[int, Failure]],
    standing: Standing,
    off: Set[int],
) -> Call | None:
    """The next who was not asked yet, because its breaker is open."""
    untried = _untried(kept, failures)
    for index in standing.in_panic():
        spared = index in standing.gates or index in off or index in standing.full
        if index in untried and not spared:
            return Call(index, 0.0, _reason(kept, index), panic=True, extra=True)
    return None


def _only_slow_are_left(
    kept: Sequence[Kept],
    failures: Sequence[tuple[int, Failure]],
    standing: Standing,
    off: Set[int],
) -> bool:
    """Whether somebody could be asked, if there were more time."""
    untried = _untried(kept, failures)
    return any(i in standing.slow and i not in standing.refused and i not in off for i in untried)


def _untried(kept: Sequence[Kept], failures: Sequence[tuple[int, Failure]]) -> list[int]:
    tried = {index for index, _ in failures}
    return [index for index in range(len(kept)) if index not in tried]


def _in_time(call: Call, remaining_s: float) -> Call | None:
    return call if remaining_s - call.after_s >= ATTEMPT_S_MIN else None


def _reason(kept: Sequence[Kept], index: int) -> AttemptReason:
    """Another backend for the model that was meant, or another model: whatever failed in between."""
    same_model = kept[index].candidate.model.name == kept[0].candidate.model.name
    return AttemptReason.FAILOVER if same_model else AttemptReason.FALLBACK


def _tally(failures: Sequence[tuple[int, Failure]]) -> dict[int, int]:
    """Return, for each candidate tried, how many attempts count: its first stale connection does not."""
    tally: dict[int, int] = {}
    stale: set[int] = set()
    for index, failure in failures:
        free = failure.next is Next.SAME_ONCE and index not in stale
        if free:
            stale.add(index)
        tally[index] = tally.get(index, 0) + (not free)
    return tally


def _is_first_stale(failures: Sequence[tuple[int, Failure]]) -> bool:
    last = failures[-1][0]
    return sum(1 for i, f in failures if i == last and f.next is Next.SAME_ONCE) == 1


def _backends_off(kept: Sequence[Kept], failures: Sequence[tuple[int, Failure]]) -> frozenset[int]:
    """Return everybody on a backend that said, to this request, that it will serve us nothing."""
    names = {kept[index].candidate.backend.name for index, f in failures if f.cool_off_backend}
    if not names:
        return _NONE
    return frozenset(i for i, entry in enumerate(kept) if entry.candidate.backend.name in names)
