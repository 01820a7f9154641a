"""Whether each model earns its price at each task: what a success cost, and who did the same for less.

"The same" is a test of two shares (non-inferiority): with 95 % confidence the cheaper model succeeds at most
two points less often. Who was hardly tried is called that, and proposed by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from math import sqrt
from typing import Any

from hybridllm._core.ledger.costs import CostRow
from hybridllm._core.money.break_even import UNKNOWN_SHARE_MAX

MARGIN = 0.02
REQUESTS_MIN = 50
_Z = 1.645  # one-sided, 95 %


class Finding(StrEnum):
    """What an audit says of a model at a task."""

    EARNS = "earns_its_price"  # nobody cheaper did it as well
    CHEAPER = "a_cheaper_one_does_it"
    ALONE = "nobody_to_compare"
    FEW = "too_few_to_tell"


@dataclass(frozen=True, slots=True)
class Audited:
    """A model at a task.

    Attributes:
        row: What it cost; its key is (task, model).
        tier: Of its list price, by the model book; None: not known.
        cheaper: The model that did the same for less; only with `Finding.CHEAPER`.
        saved_usd: What that one would have saved on these successes.
        words: The finding, in a sentence.
    """

    row: CostRow
    tier: str | None
    finding: Finding
    words: str
    cheaper: str | None = None
    saved_usd: Decimal | None = None

    @property
    def task(self) -> str | None:
        """None: its requests named none."""
        return self.row.key[0]

    @property
    def model(self) -> str | None:
        """Logical model."""
        return self.row.key[1]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        saved = None if self.saved_usd is None else f"{self.saved_usd:f}"
        return self.row.to_dict(("task", "model"), of_pico=0) | {
            "tier": self.tier,
            "finding": self.finding.value,
            "cheaper": self.cheaper,
            "would_save_usd": saved,
            "words": self.words,
        }


def audited(rows: Iterable[CostRow], tiers: dict[str, str]) -> tuple[Audited, ...]:
    """Return a finding for each task and model, dearest first within a task.

    Args:
        rows: Grouped by task and model; idle machines are nobody's and left out.
        tiers: Of models, as far as known.
    """
    by_task: dict[str | None, list[CostRow]] = {}
    for row in rows:
        if not row.idle and row.requests and row.key[1] is not None:
            by_task.setdefault(row.key[0], []).append(row)
    spent = {task: sum(row.spent_pico for row in found) for task, found in by_task.items()}
    found = []
    for task in sorted(by_task, key=lambda task: (-spent[task], task or "")):
        peers = sorted(by_task[task], key=_per_success, reverse=True)
        found += [_judged(row, peers, tiers.get(row.key[1] or "")) for row in peers]
    return tuple(found)


def as_good(dear: CostRow, cheap: CostRow) -> bool:
    """Return whether the cheap one succeeds as often, within `MARGIN`, as far as 95 % are enough."""
    first, second = dear.succeeded / dear.requests, cheap.succeeded / cheap.requests
    # One is added to both sides of both: a share of all out of few is no certainty.
    spread = sqrt(sum(_variance(row.succeeded, row.requests) for row in (dear, cheap)))
    return first - second + _Z * spread <= MARGIN


def _variance(succeeded: int, requests: int) -> float:
    share = (succeeded + 1) / (requests + 2)
    return share * (1 - share) / (requests + 2)


def _judged(row: CostRow, peers: list[CostRow], tier: str | None) -> Audited:
    others = [peer for peer in peers if peer is not row]
    cheaper = [peer for peer in others if _per_success(peer) < _per_success(row)]
    if not others:
        return Audited(row, tier, Finding.ALONE, "no other model did this task")
    if row.requests < REQUESTS_MIN:
        words = f"{row.requests} requests are too few to tell ({REQUESTS_MIN} are needed)"
        return Audited(row, tier, Finding.FEW, words)
    tried = [peer for peer in cheaper if peer.requests >= REQUESTS_MIN and _known(peer)]
    if cheaper and not tried:
        words = (
            f"cheaper ones were asked fewer than {REQUESTS_MIN} times, or their cost is not known"
        )
        return Audited(row, tier, Finding.FEW, words)
    good = [peer for peer in tried if as_good(row, peer)]
    if not good:
        words = (
            "the cheapest per success" if not cheaper else "cheaper ones succeed less often, or may"
        )
        return Audited(row, tier, Finding.EARNS, words)
    best = min(good, key=_per_success)
    saved = row.spent_usd - _per_success(best) * row.succeeded
    words = f"{best.key[1]} succeeds as often for less"
    return Audited(row, tier, Finding.CHEAPER, words, best.key[1], saved)


def _known(row: CostRow) -> bool:
    """What attempts of unknown cost would add, nobody knows: with many it may not be cheaper at all."""
    return row.unknown <= UNKNOWN_SHARE_MAX * row.attempts


def _per_success(row: CostRow) -> Decimal:
    usd = row.usd_per_success
    return Decimal("Infinity") if usd is None else usd
