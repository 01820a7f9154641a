"""The states of the world in which a recorded request may have been decided.

A ledger keeps no loads, no latencies and no draws. It keeps the order that came of them, and that tells: who
stood before another of its group was the less busy, or the faster. So each row brings a world that explains
its order, as far as its policy's rules do; what explains it under the policy at hand has not changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, combinations, pairwise

from hybridllm._core.decide.match import Held
from hybridllm._core.decide.snapshot import Latency, Load, Snapshot
from hybridllm._core.latency import PERCENTILES
from hybridllm._core.policy.compiled import OrderBy, Policy

_HOT_TOGETHER_MAX = 4
"""Up to so many backends every set of them is tried; of more, each alone and all."""

_STANDING_MAX = 4
"""Up to so many models of a split it is looked at what is drawn if some of them are dropped."""

_NOBODY: frozenset[str] = frozenset()
_RANK_MS = 1e-6  # below every objective: a rank, not a latency
_LAST_MS = 1e9
_MISSES_ALL = dict.fromkeys(PERCENTILES, _LAST_MS)
# Asleep, too: whatever an overflow waits for, that makes its source hot.
_FULL = Load(saturated="as its recorded order says", cold=0.0)


@dataclass(frozen=True, slots=True)
class Draw:
    """A part of [0, 1) in which every draw comes to the same, for every split of a policy."""

    chance: float
    share: float


def draws_of(policy: Policy) -> tuple[Draw, ...]:
    """Return the draws that a policy tells apart; one if it splits nothing."""
    bounds = {0.0, 1.0}
    for route in policy.routes:
        for use in route.use:
            if use.order_by is not OrderBy.SPLIT:
                continue
            for standing in _subsets([weight for _, weight in use.weights]):
                whole, sum_ = sum(standing), 0.0
                for weight in standing:
                    sum_ += weight
                    bounds.add(min(1.0, sum_ / whole))
    places = sorted(bounds)
    return tuple(Draw((low + high) / 2, high - low) for low, high in pairwise(places))


def _subsets(weights: list[float]) -> Iterator[tuple[float, ...]]:
    """Yield all weights, and those of fewer models: a filter may have taken some out."""
    sizes = range(1, len(weights) + 1) if len(weights) <= _STANDING_MAX else (len(weights),)
    yield from chain.from_iterable(combinations(weights, size) for size in sizes)


def hot_sets(policy: Policy, recorded: Sequence[str]) -> Iterator[frozenset[str]]:
    """Yield the sets of backends that may have had too much to do, nobody first."""
    names = [name for name in policy.loaded if name in {one.partition("/")[0] for one in recorded}]
    names.sort()
    sizes = range(len(names) + 1) if len(names) <= _HOT_TOGETHER_MAX else (0, 1, len(names))
    yield from map(frozenset, chain.from_iterable(combinations(names, size) for size in sizes))


@dataclass(frozen=True, slots=True)
class Guess:
    """What a ledger does not say of the moment of a decision.

    Attributes:
        chance: That a split drew.
        hot: Backends that had too much to do.
        slow: Candidates that were measured to miss every objective.
        shifted: Routes that asked their shadow's model first.
    """

    chance: float = 0.0
    hot: frozenset[str] = _NOBODY
    slow: frozenset[str] = _NOBODY
    shifted: frozenset[str] = _NOBODY


def guesses(policy: Policy, recorded: Sequence[str], draws: Sequence[Draw]) -> Iterator[Guess]:
    """Yield what may have been, the usual first."""
    shifting = frozenset(name for name, shadow in policy.shadows.items() if shadow.shifts)
    for shifted in (_NOBODY, shifting) if shifting else (_NOBODY,):
        for hot in hot_sets(policy, recorded):
            for draw in draws:
                yield Guess(draw.chance, hot, shifted=shifted)


def world_of(
    recorded: Sequence[str],
    guess: Guess,
    *,
    now_utc: datetime,
    policy: Policy,
    held: frozenset[Held],
) -> Snapshot:
    """Return the world of a recorded order.

    Args:
        recorded: `backend/model`, in the order in which they stood. Whoever stood first is the least busy and
            the fastest; who is not there is measured to be the slowest.
        guess: What the order does not say.
        now_utc: When it was decided.
        policy: Whose candidates are measured.
        held: The live conditions that held.
    """
    in_flight: dict[str, int] = {}
    for name in recorded:
        in_flight.setdefault(name.partition("/")[0], len(in_flight))
    return Snapshot(
        in_flight,
        _latencies(recorded, guess.slow, policy) if policy.measures else {},
        now_utc,
        guess.chance,
        loads=dict.fromkeys(guess.hot, _FULL),
        held=held,
        shifted=guess.shifted,
    )


def demoted(recorded: Sequence[str], expected: Sequence[str]) -> frozenset[str]:
    """Return who stands behind others that were expected behind him: as if he had missed an objective."""
    places = {name: place for place, name in enumerate(recorded)}
    return frozenset(
        one
        for at, one in enumerate(expected)
        if any(places.get(one, 0) > places.get(other, len(places)) for other in expected[at + 1 :])
    )


def _latencies(recorded: Sequence[str], slow: frozenset[str], policy: Policy) -> dict[str, Latency]:
    ranks = {name: place * _RANK_MS for place, name in enumerate(recorded)}
    found = {}
    for candidate in chain.from_iterable(policy.candidates.values()):
        name = candidate.name
        rank = {50: ranks.get(name, _LAST_MS)}
        ms = _MISSES_ALL if name in slow else rank
        found[name] = Latency(ms, ms)
    return found
