"""What is known of the world when a request is decided: one immutable value, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from hybridllm._core.decide.match import Held
from hybridllm._core.resilience.pace import Pace

_NOTHING: Mapping[str, int] = MappingProxyType({})
_UNMEASURED: Mapping[str, Latency] = MappingProxyType({})
_NO_PACES: Mapping[str, Pace] = MappingProxyType({})
_NO_LOADS: Mapping[str, Load] = MappingProxyType({})
_NO_WEIGHTS: Mapping[str, float] = MappingProxyType({})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Latency:
    """Measured latency of a candidate: percentile (50, 90, 95, 99) -> milliseconds; empty: not measured.

    Attributes:
        ttft_ms: To a stream's first token.
        total_ms: To a whole answer.
    """

    ttft_ms: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    total_ms: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a backend is, as far as is known. What is not known is None, never 0.

    Attributes:
        in_flight: Our own requests under way there.
        running: Requests that it works on, whoever sent them; own ones since it told so counted in.
        waiting: Requests in its queue; own ones since it told so counted in.
        kv_used: Share of its KV cache in use, 0 to 1.
        wait_s: How long a new request would wait in its queue; 0: it has a free slot.
        saturated: Why it has as much to do as it can take, in words; empty: it has not.
        stale: True if it told something once, and not lately: it counts as saturated.
        rate_limited: Its models that are left alone because it said 429.
        out: Its models whose breaker is open.
        broke: Its models for which it said that our credit is used up.
        spent_usd: What its attempts of this UTC day and this UTC month cost, as far as is known.
        cold: Seconds until it is expected to be awake; None: it is, or never sleeps.
        average_usd_per_mtok: What a token on it costs at present use, per million; None: not known.
        marginal_usd_per_mtok: What one more token on it costs, per million; None: not known, or no room.
        full: True if it processes as many tokens as its `capacity` declares: it has no room for more.
    """

    in_flight: int = 0
    running: float | None = None
    waiting: float | None = None
    kv_used: float | None = None
    wait_s: float | None = None
    saturated: str = ""
    stale: bool = False
    rate_limited: frozenset[str] = frozenset()
    out: frozenset[str] = frozenset()
    broke: frozenset[str] = frozenset()
    spent_usd: tuple[float, float] = (0.0, 0.0)
    cold: float | None = None
    average_usd_per_mtok: float | None = None
    marginal_usd_per_mtok: float | None = None
    full: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the backends, the time, and chance.

    Attributes:
        in_flight: Requests under way per backend name; a backend that is not named has none.
        latency: Per candidate name (`backend/model`); one that is not there was not measured lately.
        now_utc: The time; only policies with hours look at it.
        chance: In [0, 1), drawn anew for each request; only splits look at it.
        paces: Per candidate name, how long it lets one wait lately; for the kind of answer that is wanted.
        returning: Per candidate name, the share of its weight, for those that have just come back.
        now_s: Monotonic; paces fade with it.
        two_of: In [0, 1), drawn anew; which two of those under load are compared. None: all are.
        loads: Per backend name, of those whose load decides somewhere; one that is not there is idle.
        held: The live conditions (volume, break-even) that hold now, each with whom it holds for.
        shifted: Names of routes that ask the model of their `shadow` first, because parity holds.
        hot: The sources of overflows that were hot when they were last judged, see `overflow.py`.
    """

    in_flight: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    latency: Mapping[str, Latency] = field(default_factory=lambda: _UNMEASURED)
    now_utc: datetime = EPOCH
    chance: float = 0.0
    paces: Mapping[str, Pace] = field(default_factory=lambda: _NO_PACES)
    returning: Mapping[str, float] = field(default_factory=lambda: _NO_WEIGHTS)
    now_s: float = 0.0
    two_of: float | None = None
    loads: Mapping[str, Load] = field(default_factory=lambda: _NO_LOADS)
    held: frozenset[Held] = frozenset()
    hot: frozenset[tuple[str, int, str]] = frozenset()
    shifted: frozenset[str] = frozenset()


IDLE = Snapshot()
