"""What budgets would make of a decision, for `explain`: nothing is reserved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from hybridllm._core.budget.admit import Balance, Granted, Refused, admitted, reached_steps
from hybridllm._core.budget.claims import Claim, ask_of
from hybridllm._core.decide.eligible import affordable
from hybridllm._core.decide.plan import Plan
from hybridllm._core.policy.budgets import usd_text


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A plan as budgets would leave it.

    Attributes:
        plan: Without those whom they have no room for; as it was, if they have room for nobody.
        told: Of each budget that the request is about, in words.
        exceeded: True if the request would be denied.
    """

    plan: Plan
    told: tuple[str, ...] = ()
    exceeded: bool = False


def foreseen(plan: Plan, now_utc: datetime, balance_of: Callable[[Claim], Balance]) -> Foreseen:
    """Return what budgets would make of a plan, by what is spent and reserved of them."""
    if not plan.policy.budgets:
        return Foreseen(plan)
    ask = ask_of(plan, now_utc)
    balances = [balance_of(claim) for claim in ask.claims]
    verdict = admitted(ask, balances)
    told = [_told(claim, balance) for claim, balance in zip(ask.claims, balances, strict=True)]
    if isinstance(verdict, Granted):
        may_cost = max((ask.costs_pico[place] or 0 for place in verdict.places), default=0)
        told += [f"the request may cost {usd_text(may_cost)} USD"] if ask.claims else []
    else:
        told += list(dict.fromkeys(one.words for one in verdict.closed.values()))
    if isinstance(verdict, Refused):
        return Foreseen(plan, tuple(told), exceeded=True)
    closed = {place: (str(one.claim.budget), one.words) for place, one in verdict.closed.items()}
    return Foreseen(affordable(plan, closed), tuple(told))


def _told(claim: Claim, balance: Balance) -> str:
    reached = [f"{step.percent:f} % {step.words}" for step in reached_steps(claim.budget, balance)]
    return (
        f"{claim}: {usd_text(balance.spent)} USD spent, {usd_text(balance.reserved)} reserved"
        f"{'; reached: ' if reached else ''}{', '.join(reached)}"
    )
