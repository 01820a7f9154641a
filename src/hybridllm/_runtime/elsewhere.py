"""What a request would have cost another way: on own machines alone, at hosted APIs alone.

Own machines are paid by the month whatever they do. What a token costs there is its share at their average
price of the moment: it would have been less with this request among them, so it is an upper bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from hybridllm._core.money.capacity import FixedCost
from hybridllm._core.money.pico import to_pico
from hybridllm._core.money.usage import Usage
from hybridllm._core.policy.compiled import Backend, Candidate, Policy
from hybridllm._core.receipt import Attempt
from hybridllm._runtime.uses import Uses

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKENS_PER_MTOK = 1_000_000


def own_cost_usd(
    usage: Usage | None, here: FixedCost | None, candidate: Candidate, policy: Policy, uses: Uses
) -> Decimal | None:
    """Return what tokens cost on machines that are paid by the month; None: not known.

    Args:
        usage: None: nobody counted them.
        here: What a token costs at the backend that was asked, if it is such a machine; else the cheapest one
            that serves the same model is taken.
        candidate: That was asked.
        policy: Names the others.
        uses: How much they do.
    """
    if usage is None:
        return None
    if here is not None:
        average = here.average_usd_per_mtok
    elif candidate.backend.own:
        return None  # it is ours, and nobody said what it costs
    else:
        served = policy.candidates.get(candidate.model.name, ())
        machines = [one.backend for one in served if one.backend.capacity is not None]
        if not machines:
            return None
        average = min(_averages(machines, policy, uses), default=None)
    if average is None:
        return None
    return to_pico((usage.input_tokens + usage.output_tokens) * average / _TOKENS_PER_MTOK)


def _averages(machines: Iterable[Backend], policy: Policy, uses: Uses) -> Iterator[Decimal]:
    for backend in machines:
        if backend.environments and policy.environment not in backend.environments:
            continue
        known = uses.price_of(backend)
        if known is not None and known.average_usd_per_mtok is not None:
            yield known.average_usd_per_mtok


def all_at_apis_usd(attempts: Sequence[Attempt], policy: Policy) -> Decimal | None:
    """Return what the tokens of all attempts cost at hosted APIs; None: of one of them it is not known."""
    return _sum(
        [
            attempt.list_cost_usd if policy.backends[attempt.backend].own else attempt.cost_usd
            for attempt in attempts
            if attempt.usage is not None
        ]
    )


def all_at_home_usd(attempts: Sequence[Attempt]) -> Decimal | None:
    """Return what the tokens of all attempts cost on machines that are paid by the month; None: so too."""
    return _sum([attempt.own_cost_usd for attempt in attempts if attempt.usage is not None])


def _sum(costs: Iterable[Decimal | None]) -> Decimal | None:
    total: Decimal | None = None
    for cost in costs:
        if cost is None:
            return None
        total = cost if total is None else total + cost
    return total
