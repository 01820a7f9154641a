"""What the traffic of the last 30 days would cost at APIs, against what own machines cost."""

from __future__ import annotations

from datetime import UTC, datetime

from hybridllm._core.money.break_even import Weighed, weigh
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.hybrid import BreakEven
from hybridllm._core.volume.counters import Counters
from hybridllm._core.volume.days import NOTHING, Amounts
from hybridllm._core.volume.gate import MONTH_DAYS

WHOLE_DAYS_MIN = 7
"""From fewer whole days than these nobody tells a month."""


def weighed_now(
    condition: BreakEven, policy: Policy, counters: Counters, *, today: int
) -> Weighed | None:
    """Return the sums of a month.

    Only whole days count. If some of the last 30 were not counted, the others stand for them.

    Args:
        condition: Says whose machines are weighed.
        policy: Has the models, the prices and the machines.
        counters: Of the models.
        today: Which day it is, an ordinal; it is not over.

    Returns:
        None if fewer than `WHOLE_DAYS_MIN` of the last 30 days were counted.
    """
    by_model: dict[str, Amounts] = {}
    whole_days: set[int] = set()
    for model in policy.models:
        counter = counters.fixed.get(f"model:{model}")
        if counter is not None:
            days = counter.days.within(today - MONTH_DAYS, today - 1)
            whole_days |= days.keys()
            total = NOTHING
            for amounts in days.values():
                total = total.plus(amounts)
            by_model[model] = total
    if len(whole_days) < WHOLE_DAYS_MIN:
        return None
    tokens = {
        model: (float(total.tokens_in), float(total.tokens_out))
        for model, total in by_model.items()
    }
    cached = {
        model: total.cached_in / total.told_in for model, total in by_model.items() if total.told_in
    }
    at = datetime.fromordinal(max(today, 1)).replace(tzinfo=UTC)
    return weigh(policy, tokens, cached, condition.backends, days=len(whole_days), at=at)
