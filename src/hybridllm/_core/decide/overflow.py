"""Leaving backends that have too much to do for others, and coming back: an order, and nothing more.

Whom an overflow leaves (`from`) goes before whom it goes to (`to`) as long as one of them can take more. When
all of them that the request may use are hot, those that take the surplus go first. Others keep their places,
and nobody is added: who may not be asked stands in neither.

A number that made a backend hot must fall to nine tenths of its bound before it is not hot any more, or a
backend at its bound would be left and returned to with each look at it. Our own requests under way are exact
and need no such margin: what has just become free is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybridllm._core.decide.plan import Kept
from hybridllm._core.decide.snapshot import Load, Snapshot
from hybridllm._core.policy.compiled import Route
from hybridllm._core.policy.hybrid import Cause, Overflow, Trigger

COOL_SHARE = 0.9
"""Of its bound, that a number must fall to."""

_NOBODY: frozenset[str] = frozenset()
_OF_MODELS = frozenset({Trigger.RATE_LIMITED, Trigger.OUTAGE})
Source = tuple[str, int, str]
"""(route, place of the overflow in it, backend that it leaves)."""

_NO_SOURCES: frozenset[Source] = frozenset()


@dataclass(frozen=True, slots=True)
class Left:
    """What the overflows of a route say of one request.

    Attributes:
        hot: The sources, of those that the request may use, that are hot.
        cooled: Those that were hot before and are not any more.
        to: Names of the backends that take the request because all of the sources are; empty: it stays.
        why: In words: `vllm-fra is saturated (9 waiting, 8 may)`.
        waits: Sources that are saturated and that it may not leave.
        queue_s: How long it waits for a slot there; None: as its priority says.
    """

    hot: frozenset[Source] = _NO_SOURCES
    cooled: frozenset[Source] = _NO_SOURCES
    to: frozenset[str] = _NOBODY
    why: str = ""
    waits: frozenset[str] = _NOBODY
    queue_s: float | None = None


STAYS = Left()


def overflowed(
    kept: tuple[Kept, ...], route: Route, snapshot: Snapshot
) -> tuple[tuple[Kept, ...], Left]:
    """Return who is asked, in order, and what the overflows made of it.

    Args:
        kept: Who may be asked, as ordered otherwise.
        route: One with overflows.
        snapshot: The loads of the backends, and who was hot before.
    """
    hot: set[Source] = set()
    cooled: set[Source] = set()
    to: set[str] = set()
    why: list[str] = []
    waits: set[str] = set()
    queue_s: float | None = None
    names = {one.candidate.backend.name for one in kept}
    for place, overflow in enumerate(route.overflows):
        sources = [name for name in overflow.sources if name in names]
        if not sources:
            continue
        reasons = _reasons(overflow, sources, kept, snapshot, (route.name, place))
        hot.update([(route.name, place, name) for name in reasons])
        if snapshot.hot:
            judged = {(route.name, place, name) for name in sources}
            cooled.update((snapshot.hot & judged) - hot)
        if names.isdisjoint(overflow.to):
            queue_s = overflow.queue_s if queue_s is None else queue_s
            waits.update([name for name in reasons if _must_wait(overflow, snapshot.loads[name])])
            continue
        kept = _placed(kept, overflow, reasons)
        if len(reasons) == len(sources):
            to.update(names.intersection(overflow.to))
            why += [f"{name} {words}" for name, words in reasons.items()]
    if not (hot or cooled) and queue_s is None:
        return kept, STAYS
    told = Left(
        frozenset(hot),
        frozenset(cooled),
        frozenset(to),
        ", ".join(why),
        frozenset(waits),
        queue_s,
    )
    return kept, told


def _placed(kept: tuple[Kept, ...], overflow: Overflow, hot: Mapping[str, str]) -> tuple[Kept, ...]:
    """Put sources before those they overflow to, and the hot ones behind; others keep their places."""
    of = overflow.ranks
    if hot:
        of = {**of, **dict.fromkeys(hot, 2)}
    ranks = [of.get(one.candidate.backend.name, -1) for one in kept]
    mine = [rank for rank in ranks if rank >= 0]
    if mine == sorted(mine):
        return kept
    order = iter(
        sorted((place for place in range(len(kept)) if ranks[place] >= 0), key=ranks.__getitem__)
    )
    return tuple(
        [kept[next(order)] if ranks[place] >= 0 else kept[place] for place in range(len(kept))]
    )


def _must_wait(overflow: Overflow, load: Load) -> bool:
    """Whether who may not leave waits with us, and not in the backend's own queue.

    Who has told nothing lately is left by those who may leave, and waited for by nobody. Where saturation is
    no cause, those who leave keep the backend's queue short: who stays joins it, unless that takes too long.
    """
    if not load.saturated or load.stale:
        return False
    if any(cause.trigger is Trigger.SATURATED for cause in overflow.causes):
        return True
    wait_s, queue_s = load.wait_s, overflow.queue_s
    return wait_s is not None and queue_s is not None and wait_s > queue_s


def _reasons(
    overflow: Overflow,
    sources: Sequence[str],
    kept: tuple[Kept, ...],
    snapshot: Snapshot,
    place: tuple[str, int],
) -> Mapping[str, str]:
    """Which of the sources are to be left, and why, in words."""
    found: dict[str, str] = {}
    loads = snapshot.loads
    for name in sources:
        load = loads.get(name)
        if load is None:
            continue
        if load.cold is not None:  # whatever the causes are: it answers nobody
            found[name] = "is waking up"
            continue
        told = load.saturated or load.stale or load.rate_limited or load.out or load.broke
        for cause in overflow.causes if told else overflow.bounds:
            words = _because(cause, load, (*place, name) in snapshot.hot)
            if words and _is_of_models(cause) and not _for_all(cause.trigger, load, name, kept):
                words = ""
            if words:
                found[name] = words
                break
    return found


def _is_of_models(cause: Cause) -> bool:
    return cause.trigger in _OF_MODELS or (cause.trigger is Trigger.BUDGET and cause.above is None)


def _for_all(trigger: Trigger, load: Load, name: str, kept: tuple[Kept, ...]) -> bool:
    """Whether what some models of a backend suffer from holds for all that the request may use there."""
    models = load.out
    if trigger is Trigger.RATE_LIMITED:
        models = load.rate_limited
    elif trigger is Trigger.BUDGET:
        models = load.broke
    return all(
        one.candidate.model.name in models for one in kept if one.candidate.backend.name == name
    )


def _because(cause: Cause, load: Load, was_hot: bool) -> str:
    """Why a load makes hot, in words; empty: it does not."""
    trigger, bound = cause.trigger, cause.above
    if trigger is Trigger.SATURATED:
        return f"is saturated ({load.saturated})" if load.saturated else ""
    if trigger is Trigger.RATE_LIMITED:
        return "is rate limited" if load.rate_limited else ""
    if trigger is Trigger.OUTAGE:
        return "is out" if load.out else ""
    if bound is None:
        return "says that our credit is used up" if load.broke else ""
    if trigger is Trigger.PREDICTED_WAIT:
        wait_ms = None if load.wait_s is None else load.wait_s * 1_000
        return _above("a predicted wait of {:.0f} ms", wait_ms, bound, load, was_hot)
    if trigger is Trigger.KV_CACHE:
        used = None if load.kv_used is None else load.kv_used * 100
        return _above("{:.0f} % of its KV cache in use", used, bound, load, was_hot)
    if trigger is Trigger.IN_FLIGHT:
        above = load.in_flight > bound
        return f"has {load.in_flight} requests under way, above {bound:g}" if above else ""
    return _spent(cause.per, bound, load)


def _above(what: str, value: float | None, bound: float, load: Load, was_hot: bool) -> str:
    if value is not None and value > (bound * COOL_SHARE if was_hot else bound):
        side = "not yet well below" if value <= bound else "above"
        return f"has {what.format(value)}, {side} {bound:g}"
    return f"has told nothing lately ({load.saturated or 'stale'})" if load.stale else ""


def _spent(per: str | None, bound: float, load: Load) -> str:
    spent_usd = load.spent_usd[0 if per == "day" else 1]
    return f"has cost {spent_usd:.2f} USD this {per}, of {bound:g}" if spent_usd >= bound else ""
