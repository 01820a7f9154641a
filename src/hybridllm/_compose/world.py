"""A state of the world as callers write it down, for `Router.explain`; checked against a policy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from hybridllm._compose.world_load import given_break_even, given_loads, given_volumes
from hybridllm._core.decide import world
from hybridllm._core.decide.snapshot import Latency
from hybridllm._core.latency import PERCENTILES
from hybridllm._core.money.pico import pico_of
from hybridllm._core.policy.problems import nearest
from hybridllm.errors import InvalidRequest

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A state of the world: `router.explain(..., world=World(down=["global-us"]))`.

    What is not said is fine, idle and not measured; the router's own state is not looked at.

    Attributes:
        down: Backends that refuse every connection.
        ttft_ms: Measured time to a stream's first token, per backend, or per `backend/model`, which goes
            before its backend: `{"vllm-fra": {90: 1200}}` is a p90 of 1,200 ms. Percentiles are 50, 90, 95
            and 99.
        total_ms: Measured time to a whole answer, in the same way.
        in_flight: Requests under way, per backend.
        load: How busy backends are: `{"vllm-fra": {"waiting": 9, "kv_cache_pct": 93}}`; `"*"` is every one of
            your own. Figures are `waiting`, `kv_cache_pct`, `predicted_wait_ms` and `cold_s` (it sleeps, and
            is awake in so many seconds); True are `saturated`, `rate_limited`, `out` (its breaker is open)
            and `budget` (what an overflow allows it to cost is used up). What is not said is not known.
        volume: What has come in: `{"tokens_per_day": 600_000_000, "sustained_days": 120}`, with tokens,
            requests or usd per minute, hour, day or month; `of` says whose, as in a policy. Several: a list.
        break_even: `above`: the APIs would cost more than own machines do. `below`: less.
        spent: What was spent of budgets in their running period, in USD: `{"team": 190}`.
        now: The time, with its zone. Default: the router's clock.
        chance: In [0, 1): what a split draws for a request with nothing to stick to.
        carried: Residency tags that the request's session has carried before.
        environment: Where it runs. Default: the policy's environment.
    """

    down: Iterable[str] = ()
    ttft_ms: Mapping[str, Mapping[int, float]] = field(default_factory=lambda: _NOTHING)
    total_ms: Mapping[str, Mapping[int, float]] = field(default_factory=lambda: _NOTHING)
    in_flight: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    load: Mapping[str, Mapping[str, object]] = field(default_factory=lambda: _NOTHING)
    volume: Mapping[str, object] | Sequence[Mapping[str, object]] = ()
    break_even: Literal["above", "below"] | None = None
    spent: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    now: datetime | None = None
    chance: float = 0.0
    carried: Iterable[str] = ()
    environment: str | None = None


def resolved(given: World, policy: Policy, *, now_utc: datetime) -> world.World:
    """Return a state of the world as decisions look at it.

    Args:
        given: As the caller wrote it.
        policy: Whose names it uses.
        now_utc: The time where none is given.

    Raises:
        InvalidRequest: If it names what the policy does not have, or a value is out of range.
    """
    down = _texts("down", given.down)
    for name in (*down, *given.in_flight):
        _known("backend", name, policy.backends)
    for name, count in given.in_flight.items():
        if count.__class__ is not int or count < 0:
            raise InvalidRequest(
                f"world: in_flight of {name!r}: {count!r} is no number of requests"
            )
    if not 0 <= given.chance < 1:
        raise InvalidRequest(f"world: chance: {given.chance!r} is not in [0, 1)")
    return world.World(
        frozenset(down),
        dict(given.in_flight),
        {
            name: Latency(
                _percentiles("ttft_ms", name, given.ttft_ms, policy),
                _percentiles("total_ms", name, given.total_ms, policy),
            )
            for name in dict.fromkeys((*given.ttft_ms, *given.total_ms))
        },
        now_utc if given.now is None else _in_utc(given.now),
        float(given.chance),
        given_loads(given.load, policy),
        given_volumes(given.volume, policy),
        given_break_even(given.break_even),
        _spent(given.spent, policy),
    )


def tags_kept(given: World, policy: Policy) -> tuple[str, ...]:
    """Return the tags that a session keeps which has carried those that are given.

    Raises:
        InvalidRequest: If one is no tag of the policy.
    """
    carried = _texts("carried", given.carried)
    for tag in carried:
        _known("residency tag", tag, policy.residency)
    return tuple(tag for tag in policy.taints if tag in carried)


def _percentiles(
    what: str, name: str, given: Mapping[str, Mapping[int, float]], policy: Policy
) -> dict[int, float]:
    candidates = [one.name for served in policy.candidates.values() for one in served]
    _known("backend or backend/model", name, (*policy.backends, *candidates))
    values = given.get(name, _NOTHING)
    for percentile, ms in values.items():
        if percentile not in PERCENTILES:
            allowed = ", ".join(map(str, PERCENTILES))
            raise InvalidRequest(
                f"world: {what} of {name!r}: percentile {percentile!r} is not one of {allowed}"
            )
        number = isinstance(ms, int | float) and not isinstance(ms, bool)
        if not number or not 0 <= ms < math.inf:
            raise InvalidRequest(f"world: {what} of {name!r}: {ms!r} is no number of milliseconds")
    return {percentile: float(ms) for percentile, ms in values.items()}


def _spent(given: Mapping[str, object], policy: Policy) -> dict[str, int]:
    found = {}
    for name, value in given.items():
        _known("budget", name, [budget.name for budget in policy.budgets])
        try:
            usd = Decimal(str(value))
        except InvalidOperation:
            usd = Decimal(-1)
        if not 0 <= usd < math.inf:
            raise InvalidRequest(f"world: spent of {name!r}: {value!r} is no amount of USD")
        found[name] = pico_of(usd)
    return found


def _in_utc(now: datetime) -> datetime:
    if now.tzinfo is None:
        raise InvalidRequest(
            f"world: now: {now.isoformat()} has no zone, so it is not one time; write {now.isoformat()}Z "
            "for UTC (`datetime(..., tzinfo=UTC)`)"
        )
    try:
        return now.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest(f"world: now: {now.isoformat()} is out of range in UTC") from None


def _texts(what: str, given: Iterable[str]) -> tuple[str, ...]:
    texts = (given,) if isinstance(given, str) else tuple(given)
    for text in texts:
        if not isinstance(text, str):
            raise InvalidRequest(f"world: {what}: must be a list of names, got {text!r}")
    return texts


def _known(kind: str, name: str, known: Iterable[str]) -> None:
    names = list(known)
    if name not in names:
        raise InvalidRequest(
            f"world: {name!r} is no {kind} of the policy{nearest(str(name), names)}; "
            f"known: {', '.join(names) or 'none'}"
        )
