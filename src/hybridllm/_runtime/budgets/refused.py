"""What the caller is told when a budget has no room. Messages hold names and sums, never content."""

from __future__ import annotations

from datetime import datetime

from hybridllm._core.budget.admit import Refused
from hybridllm._core.policy.budgets import usd_plain, usd_text
from hybridllm._core.receipt import Receipt, RequestOutcome
from hybridllm._runtime.budgets.hold import Lack
from hybridllm._runtime.budgets.ports import BudgetStoreError
from hybridllm._runtime.run import Run
from hybridllm.errors import (
    BudgetExceeded,
    HybridLLMError,
    LedgerError,
    PolicyDenied,
    RequestFailed,
)

EXCEEDED = "budget_exceeded"


def refused(run: Run, verdict: Refused, *, now_s: float, now_utc: datetime) -> HybridLLMError:
    """Settle a request that was sent to nobody, and return the error to raise."""
    receipt = _denied(run, EXCEEDED, now_s)
    priced = [one for one in verdict.closed.values() if one.needed_pico is not None]
    if not priced:
        first = next(iter(verdict.closed.values()))
        return PolicyDenied(
            f"policy {run.plan.policy.name!r}: {first.words}; nobody else is left to ask on "
            f"{run.plan.route!r}",
            rule=str(first.claim.budget),
            residency=receipt.residency,
            dropped=run.plan.dropped,
            receipt=receipt,
        )
    first = min(priced, key=lambda one: one.needed_pico or 0)
    claim, balance = first.claim, first.balance
    return BudgetExceeded(
        f"policy {run.plan.policy.name!r}: {first.words}; it begins anew at "
        f"{claim.span.ends_at:%Y-%m-%d %H:%M} UTC (max_tokens says how much a request may cost; budgets in "
        "the policy)",
        budget=str(claim),
        limit_usd=claim.budget.limit_usd,
        spent_usd=usd_plain(balance.spent),
        reserved_usd=usd_plain(balance.reserved),
        needed_usd=usd_plain(first.needed_pico or 0),
        resets_at=claim.span.ends_at,
        retry_after_s=max(0.0, (claim.span.ends_at - now_utc).total_seconds()),
        receipt=receipt,
    )


def not_known(run: Run, place: str, error: BudgetStoreError, now_s: float) -> LedgerError:
    """Settle a request of which nobody knows whether its budgets have room: it is sent to nobody."""
    if run.begun:
        run.settle(RequestOutcome.ERROR, now_s=now_s, error="budgets_not_known")
    else:
        _denied(run, "budgets_not_known", now_s)
    return LedgerError(
        f"the budgets in {place} cannot be looked up ({error}), so nothing was sent: a budget that nobody "
        "knows has no room; mend the file, or take `budgets` out of the policy"
    )


def no_room(run: Run, lack: Lack, *, now_s: float, now_utc: datetime) -> RequestFailed:
    """Settle a request for whose next attempt there is no room, and return the error to raise."""
    claim, balance = lack.claim, lack.balance
    whose = "max_cost_usd of the request" if claim is None else str(claim)
    if run.seam is not None:
        return run.seam.gave_up(f"no room in {whose}")
    receipt = run.settle(RequestOutcome.ERROR, now_s=now_s, error=EXCEEDED)
    tried = ", ".join(
        f"{run.plan.kept[place].candidate.name} ({failure.label})"
        for place, failure in run.failures
    )
    limit = run.plan.facts.max_cost_usd if claim is None else claim.budget.limit_usd
    return BudgetExceeded(
        f"{whose} has no room for another attempt, which may cost {usd_text(lack.needed_pico)} USD more; "
        f"so far: {tried or 'nobody was asked'}",
        budget=whose,
        limit_usd=usd_plain(0) if limit is None else limit,
        spent_usd=usd_plain(balance.spent),
        reserved_usd=usd_plain(balance.reserved),
        needed_usd=usd_plain(lack.needed_pico),
        resets_at=None if claim is None else claim.span.ends_at,
        retry_after_s=None
        if claim is None
        else max(0.0, (claim.span.ends_at - now_utc).total_seconds()),
        receipt=receipt,
    )


def _denied(run: Run, error: str, now_s: float) -> Receipt:
    run.volumes = None  # as of every request that was denied, nothing is counted
    return run.settle(RequestOutcome.DENIED, now_s=now_s, error=error)
