"""What each backend has done since this router began: attempts, tokens, money. For rates, ask twice."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from hybridllm._core.money.drift import drift, drifts

if TYPE_CHECKING:
    from hybridllm._core.receipt import Attempt


_logger = logging.getLogger("hybridllm.prices")


@dataclass(slots=True)
class Total:
    """Of one backend.

    Attributes:
        attempts: That have ended.
        tokens_in: Prompt tokens, reported or estimated; `tokens_out`: completion tokens.
        usd: As far as it is known.
        unknown: Attempts that may have cost something that we do not know.
        compared_usd: Of attempts of which the backend said what they cost, what we say; `said_usd`: what it
            said.
        drift_told: True once it was logged that the two differ.
    """

    attempts: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: Decimal = Decimal(0)
    unknown: int = 0
    compared_usd: Decimal = Decimal(0)
    said_usd: Decimal = Decimal(0)
    drift_told: bool = False

    @property
    def drift(self) -> float | None:
        """How far what we say is from what the backend says, as a share of that; None: nothing to compare."""
        return (
            drift(self.compared_usd, self.said_usd) if self.compared_usd or self.said_usd else None
        )

    def ended(self, attempt: Attempt) -> None:
        """Count an attempt."""
        self.attempts += 1
        usage = attempt.usage
        if usage is not None:
            self.tokens_in += usage.input_tokens
            self.tokens_out += usage.output_tokens
        if attempt.cost_usd is not None:
            self.usd += attempt.cost_usd
        elif attempt.maybe_billed:
            self.unknown += 1
        if attempt.provider_cost_usd is not None and attempt.cost_source == "local":
            self._compare(attempt)

    def _compare(self, attempt: Attempt) -> None:
        """Lay what the backend says beside what we say; tell once if the two differ."""
        ours, theirs = attempt.cost_usd, attempt.provider_cost_usd
        if ours is None or theirs is None:
            return
        self.compared_usd += ours
        self.said_usd += theirs
        if not self.drift_told and drifts(ours, theirs):
            self.drift_told = True
            _logger.warning(
                "backend %r says that an attempt cost %s USD, and price %r makes it %s: check the price; "
                "this is told once, router.status() shows how far the two are apart",
                attempt.backend,
                f"{theirs:f}",
                attempt.price.price_id if attempt.price is not None else "",
                f"{ours:f}",
            )


class Totals:
    """Those of all backends, by name.

    Attributes:
        requests: That were decided, denied ones included.
    """

    def __init__(self) -> None:
        self.requests = 0
        self._by_backend: dict[str, Total] = {}

    def of(self, backend: str) -> Total:
        """Return a backend's total, made if there is none."""
        total = self._by_backend.get(backend)
        if total is None:
            total = self._by_backend[backend] = Total()
        return total

    def seen(self, backend: str) -> Total:
        """Return the same without making one. Any thread may look."""
        return self._by_backend.get(backend) or Total()

    def keep(self, backends: Collection[str]) -> None:
        """Forget all but these."""
        for name in self._by_backend.keys() - set(backends):
            del self._by_backend[name]
