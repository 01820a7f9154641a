"""Leaving backends that have too much to do for others, and coming back: an order, and nothing more.

Whom an overflow leaves (`from`) goes before whom it goes to (`to`) as long as one of them can take more. When
all of them that the request may use are hot, those that take the surplus go first. Others keep their places,
and nobody is added: who may not be asked stands in neither.

A number that made a backend hot must fall to nine tenths of its bound before it is not hot any more, or a
backend at its bound would be left and returned to with each look at it. Our own requests under way are exact
and need no such margin: what has just become free is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import pairwise

from hybridllm._core.decide.plan import Kept
from hybridllm._core.decide.snapshot import Load, Snapshot
from hybridllm._core.policy.compiled import Route
from hybridllm._core.policy.hybrid import Cause, Overflow, Trigger

COOL_SHARE = 0.9
"""Of its bound, that a number must fall to."""

_IDLE = Load()

Source = tuple[str, int, str]
"""(route, place of the overflow in it, backend that it leaves)."""


@dataclass(frozen=True, slots=True)
class Left:
    """What the overflows of a route say of one request.

    Attributes:
        judged: Every source that the request may use, and whether it is hot.
        to: Names of the backends that take the request because all of the sources are; empty: it stays.
        why: In words: `vllm-fra is saturated (9 waiting, 8 may)`.
        waits: Sources that are saturated and that it may not leave.
        queue_s: How long it waits for a slot there; None: as its priority says.
    """

    judged: tuple[tuple[Source, bool], ...]
    to: frozenset[str] = frozenset()
    why: str = ""
    waits: frozenset[str] = frozenset()
    queue_s: float | None = None


def overflowed(
    kept: tuple[Kept, ...], route: Route, snapshot: Snapshot
) -> tuple[tuple[Kept, ...], Left]:
    """Return who is asked, in order, and what the overflows made of it.

    Args:
        kept: Who may be asked, as ordered otherwise.
        route: One with overflows.
        snapshot: The loads of the backends, and who was hot before.
    """
    judged: list[tuple[Source, bool]] = []
    to: set[str] = set()
    why: list[str] = []
    waits: set[str] = set()
    queue_s: float | None = None
    names = {one.candidate.backend.name for one in kept}
    for place, overflow in enumerate(route.overflows):
        sources = [name for name in overflow.sources if name in names]
        if not sources:
            continue
        hot: dict[str, str] = {}
        for name in sources:
            source = (route.name, place, name)
            models = {
                one.candidate.model.name for one in kept if one.candidate.backend.name == name
            }
            words = _hot(overflow, name, models, snapshot, was_hot=source in snapshot.hot)
            judged.append((source, bool(words)))
            if words:
                hot[name] = words
        if names.isdisjoint(overflow.to):
            queue_s = overflow.queue_s if queue_s is None else queue_s
            waits.update(name for name in sources if _is_saturated(snapshot.loads.get(name, _IDLE)))
            continue
        kept = _placed(kept, overflow, hot)
        if len(hot) == len(sources):
            to.update(names.intersection(overflow.to))
            why += [f"{name} {words}" for name, words in hot.items()]
    return kept, Left(tuple(judged), frozenset(to), ", ".join(why), frozenset(waits), queue_s)


def _is_saturated(load: Load) -> bool:
    """Who has told nothing lately is left by those who may leave, and waited for by nobody."""
    return bool(load.saturated) and not load.stale


def _placed(kept: tuple[Kept, ...], overflow: Overflow, hot: dict[str, str]) -> tuple[Kept, ...]:
    """Put sources before those they overflow to, and the hot ones behind; others keep their places."""
    ranks: list[int] = []
    for one in kept:
        name = one.candidate.backend.name
        if name in overflow.sources:
            ranks.append(2 if name in hot else 0)
        elif name in overflow.to:
            ranks.append(1)
    if all(first <= second for first, second in pairwise(ranks)):
        return kept
    named = {*overflow.sources, *overflow.to}
    mine = [one for one in kept if one.candidate.backend.name in named]
    sorted_mine = iter(sorted(mine, key=lambda one: _rank(one, overflow, hot)))
    return tuple(
        [next(sorted_mine) if one.candidate.backend.name in named else one for one in kept]
    )


def _rank(kept: Kept, overflow: Overflow, hot: dict[str, str]) -> int:
    name = kept.candidate.backend.name
    if name in overflow.to:
        return 1
    return 2 if name in hot else 0


def _hot(
    overflow: Overflow, name: str, models: Set[str], snapshot: Snapshot, *, was_hot: bool
) -> str:
    """Why a backend is to be left, in words; empty: it is not."""
    load = snapshot.loads.get(name, _IDLE)
    for cause in overflow.causes:
        for words in _because(cause, load, models, was_hot=was_hot):
            return words
    return ""


def _because(cause: Cause, load: Load, models: Set[str], *, was_hot: bool) -> Iterator[str]:
    bound = cause.above
    match cause.trigger:
        case Trigger.SATURATED:
            if load.saturated:
                yield f"is saturated ({load.saturated})"
        case Trigger.RATE_LIMITED:
            if models <= load.rate_limited:
                yield "is rate limited"
        case Trigger.OUTAGE:
            if models <= load.out:
                yield "is out"
        case Trigger.BUDGET:
            yield from _spent(cause, load, models)
        case Trigger.IN_FLIGHT:
            if bound is not None and load.in_flight > bound:
                yield f"has {load.in_flight} requests under way, above {bound:g}"
        case Trigger.PREDICTED_WAIT:
            wait_ms = None if load.wait_s is None else load.wait_s * 1_000
            yield from _above("a predicted wait of {:.0f} ms", wait_ms, cause, load, was_hot)
        case Trigger.KV_CACHE:
            used = None if load.kv_used is None else load.kv_used * 100
            yield from _above("{:.0f} % of its KV cache in use", used, cause, load, was_hot)


def _above(
    what: str, value: float | None, cause: Cause, load: Load, was_hot: bool
) -> Iterator[str]:
    bound = cause.above
    if bound is None:
        return
    if value is not None and value > (bound * COOL_SHARE if was_hot else bound):
        yield f"has {what.format(value)}, {'not yet well below' if value <= bound else 'above'} {bound:g}"
    elif load.stale:
        yield f"has told nothing lately ({load.saturated or 'stale'})"


def _spent(cause: Cause, load: Load, models: Set[str]) -> Iterator[str]:
    if cause.above is None or cause.per is None:
        if models <= load.broke:
            yield "says that our credit is used up"
        return
    spent_usd = load.spent_usd[0 if cause.per == "day" else 1]
    if spent_usd >= cause.above:
        yield f"has cost {spent_usd:.2f} USD this {cause.per}, of {cause.above:g}"
