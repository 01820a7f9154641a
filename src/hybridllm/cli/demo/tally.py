"""What the demo counts, from nothing but the receipts and errors that any caller gets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridllm import Receipt
    from hybridllm.cli.demo.ask import Ask

RECENT_S = 2.0
_ZERO = Decimal(0)


class Ending(StrEnum):
    """How one request ended, for its caller."""

    ANSWERED = "answered"
    CUT = "cut"  # a stream broke after its first token: the caller is told and has the partial text
    STOPPED = "stopped"  # the demo was: nobody waited for the answer any longer
    LATER = "later"  # told to come back: who may answer has no room, or sleeps; nobody else may
    DENIED = "denied"  # as it must be: the traffic holds a few that the policy forbids
    UNEXPECTED = "unexpected"


@dataclass(frozen=True, slots=True)
class Record:
    """One request that has ended.

    Attributes:
        phase: In which it began.
        ended_s: Seconds since the start of the demo.
        receipt: None only if nobody made one.
        error: What the caller was told instead of an answer.
    """

    ask: Ask
    phase: StrEnum
    ending: Ending
    ended_s: float
    receipt: Receipt | None = None
    error: str | None = None


@dataclass(slots=True)
class Line:
    """Sums over some of the attempts or requests."""

    count: int = 0
    recent: int = 0
    failed: int = 0
    cost_usd: Decimal = _ZERO
    durations_s: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """Every request of the demo that has ended, and how many are under way."""

    records: list[Record] = field(default_factory=list)
    under_way: int = 0

    def count(self, ending: Ending, phase: StrEnum | None = None) -> int:
        """Return how many requests ended so, in one phase or in all."""
        return sum(
            record.ending is ending and phase in (None, record.phase) for record in self.records
        )

    def switches(self, reason: str, phase: StrEnum | None = None) -> int:
        """Return how many attempts were made for a reason: `failover`, `fallback`, `retry`."""
        return sum(
            attempt.reason == reason
            for record, receipt in self._receipts()
            if phase in (None, record.phase)
            for attempt in receipt.attempts
        )

    def by_backend(self, *, now_s: float) -> dict[str, Line]:
        """Return what each backend served (`count`), failed and cost."""
        lines: dict[str, Line] = {}
        for record, receipt in self._receipts():
            for attempt in receipt.attempts:
                line = lines.setdefault(attempt.backend, Line())
                line.cost_usd += attempt.cost_usd or _ZERO
                if attempt.outcome != "served":
                    line.failed += 1
                    continue
                line.count += 1
                line.recent += record.ended_s >= now_s - RECENT_S
                line.durations_s.append(attempt.duration_s)
        return lines

    def by_model(self) -> dict[str, Line]:
        """Return attempts and cost of each model; dearest first."""
        lines: dict[str, Line] = {}
        for _, receipt in self._receipts():
            for attempt in receipt.attempts:
                line = lines.setdefault(attempt.model, Line())
                line.count += 1
                line.cost_usd += attempt.cost_usd or _ZERO
        return _dearest_first(lines)

    def by_tenant(self) -> dict[str, Line]:
        """Return requests and cost of each tenant, wasted attempts included; dearest first."""
        lines: dict[str, Line] = {}
        for record, receipt in self._receipts():
            line = lines.setdefault(record.ask.tenant, Line())
            line.count += 1
            line.cost_usd += receipt.cost_usd or _ZERO
        return _dearest_first(lines)

    def durations_s(self, phase: StrEnum | None = None) -> list[float]:
        """Return how long answered requests took, streams to their end."""
        return [
            receipt.duration_s
            for record, receipt in self._receipts()
            if record.ending is Ending.ANSWERED and phase in (None, record.phase)
        ]

    def first_tokens_s(self, phase: StrEnum | None = None) -> list[float]:
        """Return how long answered streams took to their first token."""
        return [
            receipt.first_token_s
            for record, receipt in self._receipts()
            if record.ending is Ending.ANSWERED
            and receipt.first_token_s is not None
            and phase in (None, record.phase)
        ]

    def cost_usd(self) -> Decimal:
        """Return what everything cost."""
        return sum((receipt.cost_usd or _ZERO for _, receipt in self._receipts()), _ZERO)

    def cost_wasted_usd(self) -> Decimal:
        """Return what was paid for attempts that bought no answer."""
        return sum((receipt.cost_wasted_usd for _, receipt in self._receipts()), _ZERO)

    def incomplete(self) -> int:
        """Return how many requests may have cost more than we know."""
        return sum(not receipt.cost_complete for _, receipt in self._receipts())

    def _receipts(self) -> Iterable[tuple[Record, Receipt]]:
        return ((record, record.receipt) for record in self.records if record.receipt is not None)


def _dearest_first(lines: dict[str, Line]) -> dict[str, Line]:
    return dict(sorted(lines.items(), key=lambda item: item[1].cost_usd, reverse=True))
