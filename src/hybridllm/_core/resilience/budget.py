"""How many attempts beyond the first of each request the router may make: one bound over all of them.

Retries, failovers and hedges draw on it alike. Without a bound, three layers that each try three times
multiply to 27 requests, just when the backends have least to spare. A rule that stops all repeats at some
error rate is a cliff; a share of the traffic is not: at 20 % errors nearly every request that fails is tried
again, at 100 % the load is 1.2 times what it was.

What is bounded: attempts <= 1.2 x requests + one for each second + 100. The last two are the reserve. It lets
a quiet service repeat at all, and a service that has just been started survive that the first hundred
requests all met a dead region.

Source: Finagle's RetryBudget (share of deposits that live for 10 s, and a reserve per second).
"""

from __future__ import annotations

from dataclasses import dataclass

TTL_S = 10


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """How much may be spent.

    Attributes:
        share: Of the requests of the last ten seconds that may be tried once more.
        reserve_per_s: Attempts beyond that, saved up.
        reserve_max: How many are saved up at most; a new budget has them all.
        hedge_share: Of the requests of the last ten seconds that may be hedged; within the rest.
    """

    share: float = 0.2
    reserve_per_s: float = 1.0
    reserve_max: float = 100.0
    hedge_share: float = 0.05


DEFAULT = BudgetConfig()


@dataclass(frozen=True, slots=True)
class Budget:
    """What was put in and taken out lately.

    Attributes:
        seconds: (second, requests, taken of their share, hedges) of the last ten that had any; the oldest
            first.
        reserve: Left of the reserve, at `reserve_at_s`.
    """

    seconds: tuple[tuple[int, int, int, int], ...] = ()
    reserve: float = 0.0
    reserve_at_s: float = 0.0


def new_budget(config: BudgetConfig, now_s: float) -> Budget:
    """Return a budget with a full reserve."""
    return Budget((), config.reserve_max, now_s)


def after_request(budget: Budget, now_s: float) -> Budget:
    """Return the budget after one more request has begun."""
    return Budget(_added(budget.seconds, now_s, (1, 0, 0)), budget.reserve, budget.reserve_at_s)


def can_spend(budget: Budget, config: BudgetConfig, now_s: float, *, hedge: bool = False) -> bool:
    """Return whether one more attempt may be made now."""
    requests, taken, hedges = _sums(budget.seconds, now_s)
    if hedge and hedges + 1 > config.hedge_share * requests:
        return False
    return taken + 1 <= config.share * requests or _reserve(budget, config, now_s) >= 1.0


def after_spent(
    budget: Budget, config: BudgetConfig, now_s: float, *, hedge: bool = False
) -> Budget:
    """Return the budget after one more attempt; `can_spend` said that it may be made."""
    requests, taken, _ = _sums(budget.seconds, now_s)
    reserve, reserve_at_s = _reserve(budget, config, now_s), now_s
    from_share = taken + 1 <= config.share * requests
    if not from_share:
        reserve -= 1.0
    seconds = _added(budget.seconds, now_s, (0, int(from_share), int(hedge)))
    return Budget(seconds, reserve, reserve_at_s)


def left(budget: Budget, config: BudgetConfig, now_s: float) -> float:
    """Return how many attempts beyond the first could be made now."""
    requests, taken, _ = _sums(budget.seconds, now_s)
    return max(0.0, config.share * requests - taken) + _reserve(budget, config, now_s)


def _reserve(budget: Budget, config: BudgetConfig, now_s: float) -> float:
    saved = budget.reserve + max(0.0, now_s - budget.reserve_at_s) * config.reserve_per_s
    return min(config.reserve_max, saved)


def _sums(seconds: tuple[tuple[int, int, int, int], ...], now_s: float) -> tuple[int, int, int]:
    oldest = int(now_s) - TTL_S
    requests = taken = hedges = 0
    for second, one, two, three in seconds:
        if second > oldest:
            requests += one
            taken += two
            hedges += three
    return requests, taken, hedges


def _added(
    seconds: tuple[tuple[int, int, int, int], ...], now_s: float, more: tuple[int, int, int]
) -> tuple[tuple[int, int, int, int], ...]:
    second = int(now_s)
    if seconds and seconds[-1][0] >= second:
        last, before = seconds[-1], seconds[:-1]
    else:
        last, before = (second, 0, 0, 0), seconds
        if seconds and seconds[0][0] <= second - TTL_S:
            before = tuple([one for one in seconds if one[0] > second - TTL_S])
    return (*before, (last[0], last[1] + more[0], last[2] + more[1], last[3] + more[2]))
