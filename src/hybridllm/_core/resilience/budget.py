"""How many attempts beyond the first of each request the router may make: one bound over all of them.

Retries, failovers and hedges draw on it alike. Without a bound, three layers that each try three times
multiply to 27 requests, just when the backends have least to spare. A rule that stops all repeats at some
error rate is a cliff; a share of the traffic is not: at 20 % errors nearly every request that fails is tried
again, at 100 % the load is 1.2 times what it was.

What is bounded: attempts <= 1.2 x requests + one for each second + 50. The last two are the reserve. It lets
a quiet service repeat at all, and a service that has just been started survive that its first requests all
met a dead region.

Each request earns its share, and no more is kept than the requests of five seconds earn. (To count what was
spent in ten seconds against what came in, as Finagle does, echoes: what was spent in one bad second is
missing until ten seconds later, and then all of it is there again.)

Source: Finagle's RetryBudget (a share of the requests of 10 s, and a reserve per second).
"""

from __future__ import annotations

from dataclasses import dataclass

TTL_S = 5

Second = tuple[int, int, int]
"""(second, requests, hedges)."""

_WHOLE = 1.0 - 1e-9  # a fifth, five times, is one


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """How much may be spent.

    Attributes:
        share: What a request earns; so many of the last five seconds' requests may be tried once more.
        reserve_per_s: Attempts beyond that, saved up.
        reserve_max: How many are saved up at most; a new budget has them all.
        hedge_share: Of the requests of the last five seconds that may be hedged; within the rest.
    """

    share: float = 0.2
    reserve_per_s: float = 1.0
    reserve_max: float = 50.0
    hedge_share: float = 0.05


DEFAULT = BudgetConfig()


@dataclass(frozen=True, slots=True)
class Budget:
    """What was earned and not spent yet.

    Attributes:
        seconds: Of the last five that had any requests or hedges; the oldest first.
        earned: By requests, and not spent; no more of it counts than those of five seconds earn.
        reserve: Left of the reserve, at `reserve_at_s`.
    """

    seconds: tuple[Second, ...] = ()
    earned: float = 0.0
    reserve: float = 0.0
    reserve_at_s: float = 0.0


def new_budget(config: BudgetConfig, now_s: float) -> Budget:
    """Return a budget with a full reserve."""
    return Budget((), 0.0, config.reserve_max, now_s)


def after_request(budget: Budget, config: BudgetConfig, now_s: float, *, count: int = 1) -> Budget:
    """Return the budget after one more request has begun, or several in the same second."""
    seconds = _added(budget.seconds, now_s, requests=count, hedges=0)
    most = config.share * sum([one[1] for one in seconds])
    earned = min(budget.earned + config.share * count, most)
    return Budget(seconds, earned, budget.reserve, budget.reserve_at_s)


def can_spend(budget: Budget, config: BudgetConfig, now_s: float, *, hedge: bool = False) -> bool:
    """Return whether one more attempt may be made now."""
    requests, hedges = _sums(budget.seconds, now_s)
    if hedge and hedges + 1 > config.hedge_share * requests:
        return False
    earned = min(budget.earned, config.share * requests)
    return earned >= _WHOLE or _reserve(budget, config, now_s) >= 1.0


def after_spent(
    budget: Budget, config: BudgetConfig, now_s: float, *, hedge: bool = False
) -> Budget:
    """Return the budget after one more attempt; `can_spend` said that it may be made."""
    earned = min(budget.earned, config.share * _sums(budget.seconds, now_s)[0])
    reserve = _reserve(budget, config, now_s)
    if earned >= _WHOLE:
        earned -= 1.0
    else:
        reserve -= 1.0
    seconds = budget.seconds
    if hedge:
        seconds = _added(seconds, now_s, requests=0, hedges=1)
    return Budget(seconds, earned, reserve, now_s)


def left(budget: Budget, config: BudgetConfig, now_s: float) -> float:
    """Return how many attempts beyond the first could be made now."""
    earned = min(budget.earned, config.share * _sums(budget.seconds, now_s)[0])
    return max(0.0, earned) + _reserve(budget, config, now_s)


def _reserve(budget: Budget, config: BudgetConfig, now_s: float) -> float:
    saved = budget.reserve + max(0.0, now_s - budget.reserve_at_s) * config.reserve_per_s
    return min(config.reserve_max, saved)


def _sums(seconds: tuple[Second, ...], now_s: float) -> tuple[int, int]:
    oldest = int(now_s) - TTL_S
    requests = hedges = 0
    for second, begun, hedged in seconds:
        if second > oldest:
            requests += begun
            hedges += hedged
    return requests, hedges


def _added(
    seconds: tuple[Second, ...], now_s: float, *, requests: int, hedges: int
) -> tuple[Second, ...]:
    second = int(now_s)
    if seconds and seconds[-1][0] >= second:  # a clock does not go back; two loops' may differ
        last, before = seconds[-1], seconds[:-1]
    else:
        last, before = (second, 0, 0), seconds
        if seconds and seconds[0][0] <= second - TTL_S:
            before = tuple([one for one in seconds if one[0] > second - TTL_S])
    return (*before, (last[0], last[1] + requests, last[2] + hedges))
