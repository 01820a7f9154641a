"""What stands between us and backends, by what they did to us: gates, open breakers, sleep.

Read anew by each decision while there is any, for they tell nobody when they come and go. What it costs is in
proportion to how many there are, not to how many backends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from hybridllm._core.resilience.breaker import refuses
from hybridllm._core.resilience.outcome import Gate

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Candidate
    from hybridllm._runtime.fleet import Fleet

_NO_MODELS: frozenset[str] = frozenset()


class Hindrance(NamedTuple):
    """Of one backend; see `Load`."""

    rate_limited: frozenset[str] = _NO_MODELS
    out: frozenset[str] = _NO_MODELS
    broke: frozenset[str] = _NO_MODELS
    cold: float | None = None


NO_HINDRANCE = Hindrance()
_NOBODY: Mapping[str, Hindrance] = {}


def hindrances(
    fleet: Fleet, candidates: Mapping[str, Collection[Candidate]], now_s: float
) -> Mapping[str, Hindrance]:
    """Return the hindrances of the backends that have any.

    Args:
        fleet: Whose state is read.
        candidates: Those of each backend that is looked at.
        now_s: Monotonic.
    """
    found: dict[str, Hindrance] = {}
    gated = fleet.gated
    for name in _concerned(fleet, candidates):
        served = candidates[name]
        hindrance = Hindrance(
            _gated(fleet, served, Gate.RATE) if name in gated else _NO_MODELS,
            _out(fleet, served, now_s),
            _gated(fleet, served, Gate.QUOTA) if name in gated else _NO_MODELS,
            fleet.warmths.back_in_s(name),
        )
        if hindrance != NO_HINDRANCE:
            found[name] = hindrance
    return found or _NOBODY


def _concerned(fleet: Fleet, candidates: Mapping[str, Collection[Candidate]]) -> Iterable[str]:
    names = {name for name, _ in fleet.unwell}
    names.update(fleet.gated)
    names.update(fleet.warmths.asleep)
    return names & candidates.keys()


def _gated(fleet: Fleet, served: Collection[Candidate], gate: Gate) -> frozenset[str]:
    closed = ((one, fleet.gate(one)) for one in served)
    return frozenset(
        one.model.name for one, found in closed if found is not None and found.gate is gate
    )


def _out(fleet: Fleet, served: Collection[Candidate], now_s: float) -> frozenset[str]:
    """Models whose breaker refuses; where a probe may pass, the next request is to be one."""
    unwell = fleet.unwell
    return frozenset(
        one.model.name
        for one in served
        if (one.backend.name, one.model.name) in unwell
        and refuses(fleet.record(one).breaker, now_s)
    )
