"""Who of several replicas is asked first by a request whose beginning one of them has cached.

Every prefix has an order of its own over the replicas (`affinity/ring.py`). The first in it that can take
one more is asked: one that is neither saturated nor out, has about its share of the requests under way, and
lets the request wait no longer than a cached prefix saves. Behind it the others that can, in the same
order, so that what belongs to a replica keeps together while that is out; then the rest, by load.

Adds nobody, drops nobody. A request that has no prefix goes by load.
"""

from __future__ import annotations

from collections.abc import Mapping

from hybridllm._core.affinity.ring import place, requests_max
from hybridllm._core.decide.balance import ALIKE_S, by_load
from hybridllm._core.decide.eligible import Group, Why
from hybridllm._core.decide.plan import Kept
from hybridllm._core.decide.snapshot import Load, Snapshot
from hybridllm._core.request.facts import Facts
from hybridllm._core.resilience.pace import faded_s

PREFILL_TOKENS_PER_S = 5_000.0
"""How fast a prompt is read that is not cached: about a 32B model on one large GPU. A smaller model reads
faster, and a cached prefix saves less than is thought here; then it is kept to a little too long."""

GUESSED_TIMES = 4.0
"""A wait that is guessed from paces, not told by the replica, is too long from so many times the shortest
on: paces jump with one long prompt that was not cached."""

_NOBODY: frozenset[int] = frozenset()


def by_prefix(group: Group, facts: Facts, snapshot: Snapshot) -> tuple[Kept, ...]:
    """Return the candidates of a group in the order to ask them."""
    kept, prefix = group.kept, facts.prefix
    if prefix is None:
        return by_load(kept, snapshot)
    under_way = _under_way(kept, snapshot)
    most = _requests_max(kept, under_way, snapshot)
    slow = _too_slow(kept, under_way, facts, snapshot)
    places = [place(prefix, one.candidate.backend.name) for one in kept]
    home = min(places)
    found: list[Kept] = []
    behind: list[Kept] = []
    away: list[Kept] = []
    for at in sorted(range(len(kept)), key=places.__getitem__):
        if at not in under_way:
            away.append(group.placed[Why.AWAY][at])
        elif under_way[at] >= most[at]:
            behind.append(group.placed[Why.BUSY][at])
        elif at in slow:
            behind.append(group.placed[Why.SLOW][at])
        else:
            own = Why.HOME if facts.session is None else Why.SESSION
            found.append(group.placed[own if places[at] == home else Why.NEXT][at])
    return (*found, *by_load(tuple(behind), snapshot), *by_load(tuple(away), snapshot))


def _under_way(kept: tuple[Kept, ...], snapshot: Snapshot) -> dict[int, float]:
    """By place, of those that can take more: the requests there, whoever sent them where it tells that."""
    in_flight, loads = snapshot.in_flight, snapshot.loads
    found: dict[int, float] = {}
    for at, one in enumerate(kept):
        name = one.candidate.backend.name
        own = in_flight.get(name, 0)
        load = loads.get(name)
        if load is None:
            found[at] = own
        elif not _away(load, one.candidate.model.name):
            found[at] = max(own, (load.running or 0.0) + (load.waiting or 0.0))
    return found


def _away(load: Load, model: str) -> bool:
    """Whether a candidate can take nothing now."""
    if load.saturated or load.stale or load.cold is not None:
        return True
    return model in load.out or model in load.rate_limited or model in load.broke


def _requests_max(
    kept: tuple[Kept, ...], under_way: Mapping[int, float], snapshot: Snapshot
) -> dict[int, int]:
    """From how many requests each is passed over; one that has just come back is for a smaller part."""
    if not under_way:
        return {}
    everything, returning = sum(under_way.values()), snapshot.returning
    if not returning:
        return dict.fromkeys(under_way, requests_max(everything, 1.0 / len(under_way)))
    weights = {at: returning.get(kept[at].candidate.name, 1.0) for at in under_way}
    whole = sum(weights.values())
    return {at: requests_max(everything, weight / whole) for at, weight in weights.items()}


def _too_slow(
    kept: tuple[Kept, ...], under_way: Mapping[int, float], facts: Facts, snapshot: Snapshot
) -> frozenset[int]:
    """Who lets the request wait longer than the best does, by more than a cached prompt saves.

    Without a replica's own word only streams can tell: what a whole answer takes says how long it is.
    """
    waits, times = _told_waits_s(kept, under_way, snapshot.loads), 1.0
    if not waits and snapshot.paces and facts.stream:
        waits, times = _guessed_waits_s(kept, under_way, snapshot), GUESSED_TIMES
    if not waits:
        return _NOBODY
    saved_s = facts.input_tokens_estimate / PREFILL_TOKENS_PER_S
    wait_max_s = min(waits.values()) * times + saved_s
    if max(waits.values()) <= wait_max_s:
        return _NOBODY
    return frozenset([at for at, wait_s in waits.items() if wait_s > wait_max_s])


def _told_waits_s(
    kept: tuple[Kept, ...], under_way: Mapping[int, float], loads: Mapping[str, Load]
) -> dict[int, float]:
    """By place, as the replicas tell; nothing if one of them does not."""
    waits: dict[int, float] = {}
    for at in under_way if loads else ():
        load = loads.get(kept[at].candidate.backend.name)
        if load is None or load.wait_s is None:
            return {}
        waits[at] = load.wait_s
    return waits


def _guessed_waits_s(
    kept: tuple[Kept, ...], under_way: Mapping[int, float], snapshot: Snapshot
) -> dict[int, float]:
    """By place, of those measured: the pace times the requests there, the new one counted in."""
    paces, now_s = snapshot.paces, snapshot.now_s
    waits: dict[int, float] = {}
    for at, busy in under_way.items():
        pace = paces.get(kept[at].candidate.name)
        if pace is not None:
            waits[at] = max(ALIKE_S, faded_s(pace, now_s)) * (busy + 1.0)
    return waits
