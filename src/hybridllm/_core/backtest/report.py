"""What a backtest found: before, after, and between which bounds where it had to estimate."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from hybridllm._core.backtest.histogram import Spread


@dataclass(frozen=True, slots=True)
class Bounded:
    """A number of requests, or seconds; None: not known.

    Attributes:
        before: As recorded.
        after: Under the other policy; it lies between `low` and `high`.
    """

    before: float | None
    after: float | None
    low: float | None
    high: float | None

    @property
    def difference(self) -> float | None:
        """After less before; None: one of them is not known."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before

    @classmethod
    def of(cls, before: float | None, after: Spread) -> Bounded:
        """Return both together."""
        return cls(before, *after)


@dataclass(frozen=True, slots=True)
class BoundedUsd:
    """An amount of money in USD, as far as it is known; see `Bounded`."""

    before: Decimal
    after: Decimal
    low: Decimal
    high: Decimal

    @property
    def difference(self) -> Decimal:
        """After less before."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class LatencyChange:
    """A percentile of what the caller waited.

    Attributes:
        what: `answer`, from asking to the whole answer; `first_token`, of streams.
        percentile: 50, 95 or 99.
    """

    what: str
    percentile: int
    seconds: Bounded


@dataclass(frozen=True, slots=True)
class CandidateChange:
    """What goes to one candidate.

    Attributes:
        name: `backend/model`.
        requests: That it answers.
        cost_usd: Of the requests that it answers.
    """

    name: str
    requests: Bounded
    cost_usd: BoundedUsd


@dataclass(frozen=True, slots=True)
class Found:
    """Requests that a rule would have treated otherwise.

    Attributes:
        kind: `forbidden`: answered by somebody whom the rule forbids. `denied`: answered, and now denied.
            `allowed`: denied, and now allowed.
        rule: In the policy's words.
        examples: Ids of some of them.
    """

    kind: str
    rule: str
    requests: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BacktestReport:
    """A ledger's requests, decided again by another policy.

    Attributes:
        ledger: Where they are from.
        policy: Name of the policy, and `policy_version`.
        first_at: When the first began; None: there are none.
        requests: How many.
        kept: Those that nothing changes for, but perhaps prices.
        moved: Those that somebody else is asked first for; `denied`: those that are denied now.
        cost_usd: Of all attempts, as far as it is known.
        unpriced: Attempts whose cost is not known.
        answered: Requests that got an answer.
        overflowed: Requests answered elsewhere because somebody had too much to do.
        cached: Requests answered by the response cache.
        violations: What rules would have treated otherwise, the most first.
        notes: What was assumed, in words.
    """

    ledger: str
    policy: str
    policy_version: str
    first_at: datetime | None
    last_at: datetime | None
    requests: int
    kept: int
    moved: float
    denied: int
    cost_usd: BoundedUsd
    unpriced: Bounded
    answered: Bounded
    overflowed: Bounded
    cached: Bounded
    latencies: tuple[LatencyChange, ...] = ()
    candidates: tuple[CandidateChange, ...] = ()
    violations: tuple[Found, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def same(self) -> bool:
        """Whether nothing changes at all: nobody moves, and every cost is what it was."""
        return (
            self.kept == self.requests
            and not self.moved
            and self.cost_usd.before == self.cost_usd.low == self.cost_usd.high
            and not self.violations
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; amounts of money are texts."""
        told: dict[str, Any] = {"same": self.same}
        for one in fields(self):
            told[one.name] = _json(getattr(self, one.name))
        return told


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_json(one) for one in value]
    if hasattr(value, "__dataclass_fields__"):
        return {one.name: _json(getattr(value, one.name)) for one in fields(value)}
    return value
