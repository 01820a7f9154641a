"""What is known of the world when a request is decided: one immutable value, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from hybridllm._core.resilience.pace import Pace

_NOTHING: Mapping[str, int] = MappingProxyType({})
_UNMEASURED: Mapping[str, Latency] = MappingProxyType({})
_NO_PACES: Mapping[str, Pace] = MappingProxyType({})
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
    """

    in_flight: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    latency: Mapping[str, Latency] = field(default_factory=lambda: _UNMEASURED)
    now_utc: datetime = EPOCH
    chance: float = 0.0
    paces: Mapping[str, Pace] = field(default_factory=lambda: _NO_PACES)
    returning: Mapping[str, float] = field(default_factory=lambda: _NO_WEIGHTS)
    now_s: float = 0.0
    two_of: float | None = None


IDLE = Snapshot()
