"""What to do next with one request: call a candidate, now or after a wait, or give up.

Owns every rule about retrying, failing over and falling back; nothing else decides about them. Chooses
from the plan's candidates, by their place in it, or not at all: it cannot add one.

What was learned from failures never empties the set: if breakers and cool-offs refuse every candidate,
the request is sent all the same (panic), once to each. Only the policy's filters deny. Panic prefers a
candidate whose breaker is open, which may have come back, to one that told us to stay away; the latter
is asked only if nobody was asked yet, so that the caller hears the reason from the backend itself.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

from hybridllm._core.decide.plan import Kept
from hybridllm._core.receipt import AttemptReason
from hybridllm._core.resilience.backoff import backoff_s, failover_s
from hybridllm._core.resilience.outcome import Failure, Next

ATTEMPT_S_MIN = 0.05
"""With less time left than this, nothing is started: nobody would see the answer."""

_WAIT_S_MAX = 2.0  # the longest a caller is kept waiting because a backend asks for it
_WAIT_SHARE = 0.25  # of the time left

_NONE: frozenset[int] = frozenset()


class GiveUpReason(StrEnum):
    """Why no further attempt is made."""

    REJECTED = "rejected"  # the request itself is at fault
    EXHAUSTED = "exhausted"  # every candidate failed, and none may be asked again
    ATTEMPTS = "attempts"  # the policy's limit for one request
    DEADLINE = "deadline"  # too little time left to start another


@dataclass(frozen=True, slots=True)
class Call:
    """Make one attempt.

    Attributes:
        index: Of the candidate, in the plan's `kept`.
        after_s: Wait this long first; then its breaker is asked, as always.
        panic: True if its breaker or a cool-off refuses it, and it is to be asked all the same.
    """

    index: int
    after_s: float
    reason: AttemptReason
    panic: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Make no further attempt."""

    reason: GiveUpReason


_FIRST = Call(0, 0.0, AttemptReason.PRIMARY)


def next_step(
    *,
    kept: Sequence[Kept],
    failures: Sequence[tuple[int, Failure]],
    gated: Set[int],
    retries_max: int,
    attempts_max: int,
    remaining_s: float,
    jitter: float,
    cooling: Set[int] = _NONE,
    barred: Set[int] = _NONE,
) -> Call | GiveUp:
    """Return what to do next.

    Args:
        kept: The plan's candidates, in order.
        failures: (index into `kept`, failure) of every attempt so far, in order.
        gated: Who is refused now, by breaker or cool-off. Ask `breaker.refuses`, not `admit`.
        retries_max: Repeats on one candidate.
        attempts_max: Attempts in all. A connection that turned out to be stale is none, once per candidate.
        remaining_s: Until the request's deadline.
        jitter: In [0, 1].
        cooling: Those of `gated` that a cool-off refuses, not just a breaker.
        barred: Who cannot do what is left of this request, whatever happens: not even in panic.
    """
    if failures and failures[-1][1].next is Next.STOP:
        return GiveUp(GiveUpReason.REJECTED)
    if remaining_s < ATTEMPT_S_MIN:
        return GiveUp(GiveUpReason.DEADLINE)
    if not failures:
        if 0 not in gated and kept and not kept[0].fallback:
            return _FIRST
        return _first(kept, gated, cooling)
    index, failure = failures[-1]
    tally = _tally(failures)
    if sum(tally.values()) >= attempts_max:
        return GiveUp(GiveUpReason.ATTEMPTS)
    if failure.next is Next.SAME_ONCE and _is_first_stale(failures) and index not in gated:
        return Call(index, 0.0, AttemptReason.RETRY)
    off = _backends_off(kept, failures) | barred
    call = _elsewhere(kept, failures, gated | off, jitter)
    if call is not None:
        return _in_time(call, remaining_s) or GiveUp(GiveUpReason.DEADLINE)
    again = _again(failures, tally, gated, off, retries_max, remaining_s, jitter)
    call = again and _in_time(again, remaining_s)
    call = call or _last_resort(kept, failures, gated, cooling | off)
    return call or GiveUp(GiveUpReason.DEADLINE if again else GiveUpReason.EXHAUSTED)


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


def _first(kept: Sequence[Kept], gated: Set[int], cooling: Set[int]) -> Call | GiveUp:
    """The first attempt: the first who is not refused; if all are, the least hopeless."""
    for refused in (gated, cooling, _NONE):
        for index, candidate in enumerate(kept):
            if index not in refused:
                meant = candidate.candidate.model.name == kept[0].candidate.model.name
                primary = meant and not candidate.fallback
                reason = AttemptReason.PRIMARY if primary else AttemptReason.FALLBACK
                return Call(index, 0.0, reason, panic=index in gated)
    return GiveUp(GiveUpReason.EXHAUSTED)


def _elsewhere(
    kept: Sequence[Kept], failures: Sequence[tuple[int, Failure]], refused: Set[int], jitter: float
) -> Call | None:
    """The next in order who was not asked yet."""
    last = kept[failures[-1][0]].candidate
    tried = {index for index, _ in failures}
    for index, entry in enumerate(kept):
        if index in tried or index in refused:
            continue
        same_backend = entry.candidate.backend.name == last.backend.name
        return Call(index, failover_s(jitter) if same_backend else 0.0, _reason(kept, index))
    return None


def _again(
    failures: Sequence[tuple[int, Failure]],
    tally: dict[int, int],
    gated: Set[int],
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
        # Its own cool-off is over when the wait is; an open breaker is not.
        if index in gated and failure.cool_off_s is None:
            continue
        wait_s = max(asked_s, cool_off_s) or backoff_s(count, jitter=jitter)
        best = min(best or (wait_s, count, index), (wait_s, count, index))
    return None if best is None else Call(best[2], best[0], AttemptReason.RETRY)


def _last_resort(
    kept: Sequence[Kept],
    failures: Sequence[tuple[int, Failure]],
    gated: Set[int],
    cooling: Set[int],
) -> Call | None:
    """The next in order who was not asked yet, because its breaker is open."""
    tried = {index for index, _ in failures}
    for index in range(len(kept)):
        if index not in tried and index not in cooling:
            return Call(index, 0.0, _reason(kept, index), panic=index in gated)
    return None


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
