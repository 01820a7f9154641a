"""How the budgets of a policy stand: what is spent and reserved of each in its running period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hybridllm._core.budget.admit import NOTHING, Balance, reached_steps
from hybridllm._core.budget.periods import span_of
from hybridllm._core.policy.budgets import EACH, Budget, usd_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybridllm._core.budget.claims import Account
    from hybridllm._core.policy.compiled import Policy

ROWS_MAX = 20
"""Of a budget that each tenant has for itself, those that have used most of it."""


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """A budget in its running period, at one moment.

    Attributes:
        budget: Its name.
        whose: The tenant, the backend, ..., where each has one for itself; else empty. `*`: nobody has
            used any of it.
        spent_usd: By requests that have ended; `reserved_usd`: what those under way may cost at most.
        limit_usd: What it allows in a period.
        reached: The steps that it has reached, in words: `80 % warn`.
        resets_at: When it begins anew, UTC.
        kept_in: `memory`, or the file that processes share; of a file, as of the last look at it.
    """

    budget: str
    whose: str
    spent_usd: Decimal
    reserved_usd: Decimal
    limit_usd: Decimal
    reached: tuple[str, ...]
    resets_at: datetime
    kept_in: str

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; amounts of money are texts, times are ISO 8601."""
        return {
            "budget": self.budget,
            "whose": self.whose,
            "spent_usd": f"{self.spent_usd:f}",
            "reserved_usd": f"{self.reserved_usd:f}",
            "limit_usd": f"{self.limit_usd:f}",
            "reached": list(self.reached),
            "resets_at": self.resets_at.isoformat(),
            "kept_in": self.kept_in,
        }

    def __str__(self) -> str:
        whose = f" of {self.whose}" if self.whose else ""
        reached = f"; reached: {', '.join(self.reached)}" if self.reached else ""
        used = f"{self.spent_usd:.4f} USD spent and {self.reserved_usd:.4f} reserved"
        until = f"until {self.resets_at:%Y-%m-%d %H:%M} UTC"
        return f"budget {self.budget}{whose}: {used} of {self.limit_usd:.2f}, {until}{reached}"


def budget_rows(
    policy: Policy, known: Mapping[Account, Balance], *, kept_in: str, now_utc: datetime
) -> tuple[BudgetStatus, ...]:
    """Return how the policy's budgets stand, in its order; of each, who has used most of it first.

    Args:
        policy: The policy.
        known: The balances that there are.
        kept_in: Where.
        now_utc: Decides which period runs.
    """
    found: list[BudgetStatus] = []
    for budget in policy.budgets:
        span = span_of(budget.per, now_utc)
        own = {
            account.whose: balance
            for account, balance in list(known.items())
            if account.budget == budget.name and account.period == span.key
        }
        whose = sorted(own, key=lambda one: -(own[one].spent + own[one].reserved))[:ROWS_MAX]
        each = any(value == EACH for _, value in budget.scope)
        found += [
            _row(budget, one, own.get(one, NOTHING), kept_in, span.ends_at)
            for one in whose or [EACH if each else ""]
        ]
    return tuple(found)


def _row(
    budget: Budget, whose: str, balance: Balance, kept_in: str, resets_at: datetime
) -> BudgetStatus:
    return BudgetStatus(
        budget.name,
        whose if budget.scope else "",
        usd_plain(balance.spent),
        usd_plain(balance.reserved),
        budget.limit_usd,
        tuple(f"{step.percent:f} % {step.words}" for step in reached_steps(budget, balance)),
        resets_at,
        kept_in,
    )
