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

ALIKE_S = 0.1
"""Paces up to here are alike; above, those within a factor of 1.4. Noise is no reason to prefer anybody."""


def by_load(kept: tuple[Kept, ...], snapshot: Snapshot) -> tuple[Kept, ...]:
    """Return candidates in the order to ask them."""
    in_flight, returning = snapshot.in_flight, snapshot.returning
    if len(kept) < 2 or not (in_flight or snapshot.paces or returning):
        return kept
    waits, busy = [], False
    for one, pace_s in zip(kept, _paces_s(kept, snapshot), strict=True):
        under_way = in_flight.get(one.candidate.backend.name, 0)
        busy = busy or under_way > 0
        waits.append(pace_s * (under_way + 1))
    if returning:
        for place, one in enumerate(kept):
            waits[place] /= returning.get(one.candidate.name, 1.0)
    if len(kept) == 2:
        return kept if waits[0] <= waits[1] else (kept[1], kept[0])
    order = sorted(range(len(kept)), key=waits.__getitem__)
    if busy and snapshot.two_of is not None:
        drawn = _two(len(kept), snapshot.two_of)
        first = min(drawn, key=lambda place: (waits[place], place))
        order.remove(first)
        order.insert(0, first)
    return tuple([kept[place] for place in order])


def _paces_s(kept: tuple[Kept, ...], snapshot: Snapshot) -> list[float]:
    """How long each lets one wait; who was not measured counts as the fastest of the others."""
    paces, now_s, best = snapshot.paces, snapshot.now_s, 0.0
    found: list[float] = []
    for one in kept:
        pace = paces.get(one.candidate.name)
        if pace is None:
            found.append(0.0)
            continue
        # A pace does nothing but fade: what was no more than alike is so still.
        seconds = ALIKE_S if pace.value_s <= ALIKE_S else _step_s(faded_s(pace, now_s))
        found.append(seconds)
        if not best or seconds < best:
            best = seconds
    best = best or ALIKE_S
    return [seconds or best for seconds in found]


def _step_s(seconds: float) -> float:
    """The pace, rounded down to a step of a factor of 1.4."""
    if seconds <= ALIKE_S:
        return ALIKE_S
    steps = floor(2.0 * log2(seconds / ALIKE_S))
    return ALIKE_S * float(2.0 ** (steps / 2.0))


def _two(count: int, drawn: float) -> tuple[int, int]:
    """Two different places, each pair as likely as any other."""
    pick = int(drawn * count * (count - 1))
    one, other = divmod(min(pick, count * (count - 1) - 1), count - 1)
    return one, other if other < one else other + 1
