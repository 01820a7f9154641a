"""In which order those who may be asked are asked. Adds nobody, drops nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from itertools import groupby
from math import log
from operator import itemgetter

from hybridllm._core.decide.balance import by_load
from hybridllm._core.decide.eligible import Group
from hybridllm._core.decide.filters import cost_atto, expected_cost_atto
from hybridllm._core.decide.plan import Kept
from hybridllm._core.decide.prefix import by_prefix
from hybridllm._core.decide.snapshot import IDLE, Snapshot
from hybridllm._core.money.tariff import Atto
from hybridllm._core.policy.compiled import OrderBy
from hybridllm._core.policy.conditions import METADATA
from hybridllm._core.policy.objectives import Slo
from hybridllm._core.request.facts import Facts

EXPLORERS_MAX = 4
"""Requests under way with which a backend nobody has measured still counts as fast: enough to measure it,
too few to bury it."""

_HASHES = 1 << 64
_ATTO_PER_TOKEN = 10**12  # of one USD per million
_PRICED, _NO_ROOM, _UNPRICED = range(3)


def ordered(
    groups: Iterable[Group], facts: Facts, snapshot: Snapshot, *, slos: tuple[Slo, ...], salt: str
) -> tuple[Kept, ...]:
    """Return everybody in the order to ask them.

    Args:
        groups: Entry by entry; the order of entries stays.
        facts: Of the request; its size, and what a split sticks to.
        snapshot: Load, measured latency, and chance for a split with nothing to stick to.
        slos: Objectives; who is measured to miss one goes behind the others, fallbacks apart.
        salt: Makes the splits of two routes independent of each other.
    """
    kept: tuple[Kept, ...] = ()
    fallbacks: tuple[Kept, ...] = ()
    for group in groups:
        found = _in_group(group, facts, snapshot, salt)
        if slos and group.use.fallback:
            fallbacks += found
        else:
            kept += found
    if slos:
        return _by_slo(kept, slos, snapshot) + _by_slo(fallbacks, slos, snapshot)
    return kept


def missed(kept: Kept, slos: Iterable[Slo], snapshot: Snapshot) -> str | None:
    """Return which objective a candidate is measured to miss, in words, or None."""
    latency = snapshot.latency.get(kept.candidate.name)
    if latency is None:
        return None
    for slo in slos:
        for what, objectives, measured in (
            ("ttft_ms", slo.ttft_ms, latency.ttft_ms),
            ("total_ms", slo.total_ms, latency.total_ms),
        ):
            for percentile, ms in objectives:
                seen = measured.get(percentile)
                if seen is not None and seen > ms:
                    return f"{what} p{percentile} is {seen:g}, above {ms:g}"
    return None


def _in_group(group: Group, facts: Facts, snapshot: Snapshot, salt: str) -> tuple[Kept, ...]:
    kept, order_by = group.kept, group.use.order_by
    if len(kept) == 1 or order_by is OrderBy.FILE:
        return kept
    if order_by is OrderBy.LOAD:
        return by_load(kept, snapshot)
    if order_by is OrderBy.PREFIX:
        return by_prefix(group, facts, snapshot)
    if order_by is OrderBy.SPLIT:
        return _by_weight(group, facts, snapshot, salt)
    if order_by is OrderBy.MARGINAL_PRICE:
        return _by_marginal_price(group, facts, snapshot)
    if order_by is OrderBy.PRICE:
        in_flight = IDLE.in_flight if group.use.on_order else snapshot.in_flight
        at = snapshot.now_utc
        return tuple(sorted(kept, key=lambda one: _cost(one, facts, in_flight, at)))
    return tuple(sorted(kept, key=lambda one: _latency_ms(one, facts, snapshot)))


def _cost(
    kept: Kept, facts: Facts, in_flight: Mapping[str, int], at: datetime
) -> tuple[float, int]:
    """What the request is expected to cost, and of equals the load; who does not say goes last."""
    cost = expected_cost_atto(kept.candidate, facts, at)
    load = in_flight.get(kept.candidate.backend.name, 0)
    return (float("inf") if cost is None else cost, load)


def _by_marginal_price(group: Group, facts: Facts, snapshot: Snapshot) -> tuple[Kept, ...]:
    """What adds least to the bill; equals by load, unless `on` gave their order."""
    ranked = [(_adds(one, facts, snapshot), place) for place, one in enumerate(group.kept)]
    found: tuple[Kept, ...] = ()
    for _, alike in groupby(sorted(ranked), key=itemgetter(0)):
        equals = tuple(group.kept[place] for _, place in alike)
        found += equals if group.use.on_order else by_load(equals, snapshot)
    return found


def _adds(kept: Kept, facts: Facts, snapshot: Snapshot) -> tuple[int, int]:
    """What the request adds to the bill; behind that those with no room, and last a price nobody knows.

    Machines that are paid by the month add nothing, as long as nothing says that they have no room; elastic
    ones add their share of an hour, as soon as that is known.
    """
    backend = kept.candidate.backend
    if backend.capacity is None:
        cost = expected_cost_atto(kept.candidate, facts, snapshot.now_utc)
        return (_UNPRICED, 0) if cost is None else (_PRICED, cost)
    load = snapshot.loads.get(backend.name)
    if load is None:
        return _PRICED, 0
    if load.full or load.saturated or load.stale:
        return _NO_ROOM, 0
    per_token = int((load.marginal_usd_per_mtok or 0.0) * _ATTO_PER_TOKEN)
    return _PRICED, cost_atto(Atto(per_token, per_token, 0), facts) if per_token else 0


def _latency_ms(kept: Kept, facts: Facts, snapshot: Snapshot) -> float:
    """Half of the requests were faster; who was not measured is tried first, by a few.

    Streams are judged by their first tokens, answers by their ends: one says nothing of the other.
    """
    latency = snapshot.latency.get(kept.candidate.name)
    if latency is not None:
        measured = (latency.ttft_ms if facts.stream else latency.total_ms).get(50)
        if measured is not None:
            return measured
    return -1.0 if _may_explore(kept, snapshot) else float("inf")


def _may_explore(kept: Kept, snapshot: Snapshot) -> bool:
    return snapshot.in_flight.get(kept.candidate.backend.name, 0) < EXPLORERS_MAX


def _by_slo(kept: tuple[Kept, ...], slos: tuple[Slo, ...], snapshot: Snapshot) -> tuple[Kept, ...]:
    """Those who meet the objective, or may be tried; then the unmeasured with enough to do; then the rest."""

    def place(one: Kept) -> int:
        if missed(one, slos, snapshot):
            return 2
        return 0 if _measured(one, slos, snapshot) or _may_explore(one, snapshot) else 1

    return tuple(sorted(kept, key=place))


def _measured(kept: Kept, slos: Iterable[Slo], snapshot: Snapshot) -> bool:
    """Whether something is known of what the objectives are about."""
    latency = snapshot.latency.get(kept.candidate.name)
    return latency is not None and any(
        (slo.ttft_ms and latency.ttft_ms) or (slo.total_ms and latency.total_ms) for slo in slos
    )


def _by_weight(group: Group, facts: Facts, snapshot: Snapshot, salt: str) -> tuple[Kept, ...]:
    """The model that is drawn, then the others; with a value to stick to, it draws the same every time."""
    standing = {one.candidate.model.name for one in group.kept}
    weights = [(model, weight) for model, weight in group.use.weights if model in standing]
    key = _sticky_key(group.use.sticky_by, facts)
    places = _places(weights, f"{salt}\0k{key}") if key is not None else {}
    drawn = min(places, key=places.__getitem__) if places else _drawn(weights, snapshot.chance)
    first = [one for one in group.kept if one.candidate.model.name == drawn]
    rest = [one for one in group.behind if one.candidate.model.name != drawn]
    rest.sort(key=lambda one: places.get(one.candidate.model.name, 0.0))
    if not group.use.on_order:
        first = list(by_load(tuple(first), snapshot))
    return (*first, *rest)


def _places(weights: Iterable[tuple[str, float]], key: str) -> dict[str, float]:
    """Weighted rendezvous hashing: each model is first for its share of the keys.

    If a model is dropped, only its own keys move. Source: Schindelhauer and Schomaker, "Weighted
    Distributed Hash Tables", 2005.
    """
    return {model: -log(_uniform(f"{key}\0{model}")) / weight for model, weight in weights}


def _drawn(weights: list[tuple[str, float]], chance: float) -> str:
    """The model into whose share `chance` falls, in the order of the policy file."""
    left = chance * sum(weight for _, weight in weights)
    for model, weight in weights:
        left -= weight
        if left < 0:
            return model
    return weights[-1][0]


def _sticky_key(fact: str, facts: Facts) -> str | None:
    if fact.startswith(METADATA):
        return facts.metadata.get(fact[len(METADATA) :])
    value: str | None = getattr(facts, fact)
    return value


def _uniform(text: str) -> float:
    """A number in (0, 1) that depends on nothing but the text."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / _HASHES
