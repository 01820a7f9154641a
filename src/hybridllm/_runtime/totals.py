"""What each backend has done since this router began: attempts, tokens, money. For rates, ask twice."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridllm._core.receipt import Attempt


@dataclass(slots=True)
class Total:
    """Of one backend.

    Attributes:
        attempts: That have ended.
        tokens_in: Prompt tokens, reported or estimated; `tokens_out`: completion tokens.
        usd: As far as it is known.
        unknown: Attempts that may have cost something that we do not know.
    """

    attempts: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: Decimal = Decimal(0)
    unknown: int = 0

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
