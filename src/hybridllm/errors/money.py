"""What is raised about money: a ledger that cannot be used, a budget that is used up."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hybridllm.errors.requests import RequestFailed
from hybridllm.errors.root import HybridLLMError

if TYPE_CHECKING:
    from hybridllm._core.receipt import Receipt


class LedgerError(HybridLLMError):
    """A ledger cannot be opened, read or written: not there, damaged, locked, full, of a later version."""


class BudgetExceeded(RequestFailed):
    """A budget of the policy, or the request's own `max_cost_usd`, has no room for it.

    Nothing was sent to anybody; or no further attempt, after some that failed: see its receipt.

    Attributes:
        budget: Which, in the policy's words: `tenant acme, 200 USD per month`.
        limit_usd: What it allows in its period.
        spent_usd: What was spent of it so far; `reserved_usd`: what requests under way may still cost.
        needed_usd: What the request may cost at most.
        resets_at: When its next period begins, UTC; None: it is the request's own.
        retry_after_s: Until then, in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        budget: str,
        limit_usd: Decimal,
        spent_usd: Decimal,
        reserved_usd: Decimal,
        needed_usd: Decimal,
        resets_at: datetime | None,
        retry_after_s: float | None,
        receipt: Receipt | None = None,
        status_code: int | None = 429,
        code: str | None = "insufficient_quota",
    ) -> None:
        super().__init__(message, receipt=receipt, status_code=status_code, code=code)
        self.budget = budget
        self.limit_usd, self.spent_usd = limit_usd, spent_usd
        self.reserved_usd, self.needed_usd = reserved_usd, needed_usd
        self.resets_at, self.retry_after_s = resets_at, retry_after_s

    def _facts(self) -> dict[str, Any]:
        names = (
            "budget",
            "limit_usd",
            "spent_usd",
            "reserved_usd",
            "needed_usd",
            "resets_at",
            "retry_after_s",
        )
        return super()._facts() | {name: getattr(self, name) for name in names}
