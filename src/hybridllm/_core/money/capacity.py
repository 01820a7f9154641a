"""What a token costs on machines that are paid by the month, at what they were measured to do.

Average: the month's cost over the tokens that are processed, so it falls as use rises. Marginal: what one
more token adds to the bill, which is nothing while there is room. Money is `Decimal`, of figures that stand
beside it: whoever has the receipt and the policy can do each sum again.

What a backend *can* do is what its owner declares. The most that it was measured to do stands in for that in
prices, yet never to say that it is full: a backend that was never pushed is always at its best so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from hybridllm._core.policy.hybrid import HOURS_A_MONTH, Capacity

SECONDS_A_MONTH = HOURS_A_MONTH * 3_600
_TOKENS_PER_MTOK = 1_000_000
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Use:
    """What a backend was measured to do, in prompt and completion tokens a second; None: not measured.

    Attributes:
        tokens_per_s: Lately; 0: it was watched, and processed nothing.
        tokens_per_s_best: The most so far; it can do at least that.
    """

    tokens_per_s: float | None = None
    tokens_per_s_best: float | None = None


@dataclass(frozen=True, slots=True)
class FixedCost:
    """What a token costs on a backend that is paid by the month, in USD per 1,000,000; None: not known.

    Attributes:
        tokens_per_s: What it processes now, prompt and completion.
        utilisation: The share of what it can do: as declared, else of the most that was measured. Above 1:
            it does more than was declared.
        average_usd_per_mtok: Machines and hidden costs, shared by what it processes now; while that is
            nothing there is no average.
        full_usd_per_mtok: The same if it did all that it can: no token is cheaper.
        marginal_usd_per_mtok: What one more token adds to the bill: 0 while there is room. None without room,
            and of an elastic backend whose full price is not known.
        has_room: False if it processes as many tokens as was declared that it can.
    """

    tokens_per_s: float | None = None
    utilisation: float | None = None
    average_usd_per_mtok: Decimal | None = None
    full_usd_per_mtok: Decimal | None = None
    marginal_usd_per_mtok: Decimal | None = None
    has_room: bool = True


def fixed_cost(capacity: Capacity, use: Use) -> FixedCost:
    """Return what a token costs at a measured use.

    An elastic backend gives its idle machines back: it always has room, and each of its tokens costs its
    share of a busy hour, so that average, full and marginal price are one. Of one that is not elastic and was
    never measured, one more token adds nothing to the bill as far as anybody knows.
    """
    rate = use.tokens_per_s
    can = capacity.tokens_per_s or use.tokens_per_s_best or None
    cost = capacity.usd_per_month + capacity.hidden_usd_per_month
    full = _usd_per_mtok(cost, can)
    utilisation = rate / can if rate is not None and can is not None else None
    if capacity.elastic:
        return FixedCost(rate, utilisation, full, full, full)
    declared = capacity.tokens_per_s
    has_room = not declared or rate is None or rate < declared
    marginal = _NOTHING if has_room else None
    return FixedCost(rate, utilisation, _usd_per_mtok(cost, rate), full, marginal, has_room)


def _usd_per_mtok(usd_per_month: Decimal, tokens_per_s: float | None) -> Decimal | None:
    if not tokens_per_s:
        return None
    return usd_per_month * _TOKENS_PER_MTOK / (SECONDS_A_MONTH * Decimal(str(tokens_per_s)))
