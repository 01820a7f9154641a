"""Who of a plan's candidates a cascade asks: a part of the frozen set, never anybody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from hybridllm._core.cascade.rule import Cascade
from hybridllm._core.decide.filters import expected_cost_usd
from hybridllm._core.decide.plan import Kept, Plan


def applying(cascade: Cascade, kept: Sequence[Kept]) -> Cascade | None:
    """Return the cascade if both of its models may be asked for the request; else there is none."""
    names = {one.candidate.model.name for one in kept}
    return cascade if cascade.first in names and cascade.then in names else None


def onward(plan: Plan, spent_usd: Decimal | None, at: datetime) -> Plan | str:
    """Return the same plan with none but the better model's candidates, or why nobody of them may be asked.

    Args:
        plan: With a cascade.
        spent_usd: What the request has cost so far; None: that is not known.
        at: The time, for prices.
    """
    if plan.cascade is None:
        raise AssertionError("only a cascade goes on to another model")
    ceiling = plan.facts.max_cost_usd
    then = [one for one in plan.kept if one.candidate.model.name == plan.cascade.then]
    if ceiling is not None:
        then = [one for one in then if _affordable(one, plan, spent_usd, ceiling, at)]
    if not then and ceiling is None:
        return "its budgets have no room for the better model"
    if not then:
        return f"both together may cost more than max_cost_usd, {ceiling:f}"
    return replace(plan, kept=tuple(then))


def _affordable(
    kept: Kept, plan: Plan, spent_usd: Decimal | None, ceiling: Decimal, at: datetime
) -> bool:
    cost = expected_cost_usd(kept.candidate, plan.facts, at)
    return cost is not None and spent_usd is not None and spent_usd + cost <= ceiling
