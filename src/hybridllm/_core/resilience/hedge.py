"""Whether a second backend is asked for the same before the first has answered, whom, and when.

A hedge pays for the prompt twice, so it is off unless the policy's task says otherwise, waits until the first
takes unusually long, and is made for one request in twenty at most (see `budget.py`).

Source: Dean and Barroso, "The Tail at Scale", 2013.
"""

from __future__ import annotations

from collections.abc import Sequence

from hybridllm._core.decide.plan import Kept
from hybridllm._core.policy.objectives import Hedge
from hybridllm._core.resilience.standing import Standing

AFTER_S_MIN = 0.3
"""A measured percentile below counts as this: quicker hedges would mostly be wasted."""


def hedge_after_s(hedge: Hedge, *, measured_s: float | None, prompt_tokens: int) -> float | None:
    """Return how long to wait for the first attempt; None: this request is not hedged.

    Args:
        hedge: What the policy says.
        measured_s: Its percentile, of the candidate that is asked first; None: not measured.
        prompt_tokens: Length of the prompt.
    """
    if hedge.prompt_tokens_max is not None and prompt_tokens > hedge.prompt_tokens_max:
        return None
    if hedge.percentile is None:
        return hedge.after_s
    return None if measured_s is None else max(measured_s, AFTER_S_MIN)


def hedge_place(kept: Sequence[Kept], first: int, standing: Standing) -> int | None:
    """Return whom to ask beside the candidate at `first`: the next in order with the same model elsewhere.

    Who is refused, has no free slot or is too slow is not asked; None: nobody is left.
    """
    asked = kept[first].candidate
    for place, one in enumerate(kept):
        if one.candidate.model.name != asked.model.name:
            continue
        if one.candidate.backend.name == asked.backend.name:
            continue
        if place in standing.refused or place in standing.full or place in standing.slow:
            continue
        return place
    return None
