"""What the attempts of a request have cost so far, as budgets count it: what is in doubt counts in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hybridllm._core.budget.claims import Claim
from hybridllm._core.money.pico import pico_of
from hybridllm._core.receipt import Attempt


def charged_pico(attempt: Attempt, worst_pico: int) -> int:
    """Return what an ended attempt counts for: where nobody knows what will be billed, for the most."""
    if attempt.cost_usd is not None:
        return pico_of(attempt.cost_usd)
    return worst_pico if attempt.maybe_billed else 0


def by_place(
    costs_pico: Sequence[int], begun: Mapping[int, int], attempts: Sequence[Attempt]
) -> dict[int, int]:
    """Return what attempts count for, summed by the place of their candidate.

    Args:
        costs_pico: What one attempt costs at most, by place.
        begun: The place of every attempt that has begun, by its number.
        attempts: Those that have ended; the others count for as much as they may cost.
    """
    ended = {attempt.number: attempt for attempt in attempts}
    total: dict[int, int] = {}
    for number, place in begun.items():
        attempt = ended.get(number)
        worst = costs_pico[place]
        cost = worst if attempt is None else charged_pico(attempt, worst)
        total[place] = total.get(place, 0) + cost
    return total


def of_claims(claims: Sequence[Claim], charged: Mapping[int, int]) -> tuple[int, ...]:
    """Return what each claim's account pays of it."""
    return tuple([sum([charged.get(place, 0) for place in claim.places]) for claim in claims])
