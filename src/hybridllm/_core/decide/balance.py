"""Who of several equal backends is asked first: the one that a new request has least to wait for.

What it has to expect is the pace of a candidate (see `pace.py`) times the requests under way there. While
requests are under way, two are drawn and the better one goes first (power of two choices): many routers that
all looked for the best one would all find the same. With nobody under way all are compared, and of equals the
first in the policy file is asked.

Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 1996; Finagle's P2C with peak
EWMA.
"""

from __future__ import annotations

from math import floor, log2

from hybridllm._core.decide.plan import Kept
from hybridllm._core.decide.snapshot import Snapshot
from hybridllm._core.resilience.pace import faded_s

_ALIKE_S = 0.1
"""Paces up to here are alike; above, those within a factor of 1.4. Noise is no reason to prefer anybody."""


def by_load(kept: tuple[Kept, ...], snapshot: Snapshot) -> tuple[Kept, ...]:
    """Return candidates in the order to ask them."""
    in_flight, paces = snapshot.in_flight, snapshot.paces
    if len(kept) < 2 or not (in_flight or paces or snapshot.returning):
        return kept
    pace_s: list[float | None] = []
    for one in kept:
        pace = paces.get(one.candidate.name)
        if pace is None:
            pace_s.append(None)
        elif pace.value_s <= _ALIKE_S:  # it does nothing but fade
            pace_s.append(_ALIKE_S)
        else:
            pace_s.append(_step_s(faded_s(pace, snapshot.now_s)))
    waits = _waits(kept, pace_s, snapshot)
    order = sorted(range(len(kept)), key=waits.__getitem__)
    drawn = snapshot.two_of if in_flight and len(kept) > 2 else None
    if drawn is not None and any(one.candidate.backend.name in in_flight for one in kept):
        first = min(_two(len(kept), drawn), key=lambda place: (waits[place], place))
        order.remove(first)
        order.insert(0, first)
    return tuple([kept[place] for place in order])


def _waits(kept: tuple[Kept, ...], pace_s: list[float | None], snapshot: Snapshot) -> list[float]:
    """What a request has to expect of each; who was not measured counts as the fastest of the others."""
    in_flight, returning = snapshot.in_flight, snapshot.returning
    best = min([seconds for seconds in pace_s if seconds is not None], default=_ALIKE_S)
    waits = [
        (best if seconds is None else seconds) * (in_flight.get(one.candidate.backend.name, 0) + 1)
        for one, seconds in zip(kept, pace_s, strict=True)
    ]
    if returning:
        for place, one in enumerate(kept):
            waits[place] /= returning.get(one.candidate.name, 1.0)
    return waits


def _step_s(seconds: float) -> float:
    """The pace, rounded down to a step of a factor of 1.4."""
    if seconds <= _ALIKE_S:
        return _ALIKE_S
    steps = floor(2.0 * log2(seconds / _ALIKE_S))
    return _ALIKE_S * float(2.0 ** (steps / 2.0))


def _two(count: int, drawn: float) -> tuple[int, int]:
    """Two different places, each pair as likely as any other."""
    pick = int(drawn * count * (count - 1))
    one, other = divmod(min(pick, count * (count - 1) - 1), count - 1)
    return one, other if other < one else other + 1
