"""What the traffic of the last 30 days is, per model, for the question whether own machines pay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from hybridllm._core.policy.compiled import Policy
from hybridllm._core.volume.counters import Counters
from hybridllm._core.volume.days import NOTHING, Amounts
from hybridllm._core.volume.gate import MONTH_DAYS

WHOLE_DAYS_MIN = 7
"""From fewer whole days than these nobody tells a month."""


class Weighed(Protocol):
    """The sums of a month: at APIs, and on own machines."""

    @property
    def ratio(self) -> float | None:
        """The first as a multiple of the second; None: not known."""
        ...

    @property
    def text(self) -> str:
        """Both, in words."""
        ...


Weigh = Callable[
    [Policy, Mapping[str, tuple[float, float]], Mapping[str, float], tuple[str, ...]], Weighed
]
"""(policy, prompt and completion tokens per 30 days by model, share of cached prompt tokens by model where it
is known, backends) -> the sums."""

Month = tuple[Mapping[str, tuple[float, float]], Mapping[str, float]]


def month_of(policy: Policy, counters: Counters, *, today: int) -> Month | None:
    """Return prompt and completion tokens per 30 days, and the share of cached ones, by model.

    Only whole days count. If some of the last 30 were not counted, the others stand for them.

    Args:
        policy: Whose models.
        counters: Of them.
        today: Which day it is; it is not over.

    Returns:
        None if fewer than `WHOLE_DAYS_MIN` of the last 30 days were counted.
    """
    by_model: dict[str, Amounts] = {}
    whole_days: set[int] = set()
    for model in policy.models:
        counter = counters.fixed.get(f"model:{model}")
        if counter is None:
            continue
        days = counter.days.within(today - MONTH_DAYS, today - 1)
        whole_days |= days.keys()
        total = NOTHING
        for amounts in days.values():
            total = total.plus(amounts)
        by_model[model] = total
    if len(whole_days) < WHOLE_DAYS_MIN:
        return None
    scale = MONTH_DAYS / len(whole_days)
    tokens = {
        model: (total.tokens_in * scale, total.tokens_out * scale)
        for model, total in by_model.items()
    }
    cached = {
        model: total.cached_in / total.told_in for model, total in by_model.items() if total.told_in
    }
    return tokens, cached
