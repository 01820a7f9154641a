"""Whether a request fits into the budgets that would pay for it, and what is reserved of them.

Balances in, a verdict out: whoever keeps the balances (a router's memory, a file that processes share)
takes them, decides and writes the new ones in one step. Nothing is ever granted that would bring what is
spent and reserved above the share from which a budget denies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hybridllm._core.budget.claims import Ask, Claim
from hybridllm._core.policy.budgets import Budget, Step, usd_text


class Balance(NamedTuple):
    """Of one account, in 10^-12 USD.

    Attributes:
        spent: By requests that have ended.
        reserved: For requests under way.
    """

    spent: int = 0
    reserved: int = 0

    def plus(self, *, spent: int = 0, reserved: int = 0) -> Balance:
        """Return it with so much more."""
        return Balance(self.spent + spent, self.reserved + reserved)


NOTHING = Balance()


@dataclass(frozen=True, slots=True)
class Closed:
    """Why a candidate may not be asked.

    Attributes:
        claim: On the account that has no room for it.
        balance: Of that account.
        needed_pico: What an attempt there costs at most; None: no price is known.
        words: The same in words.
    """

    claim: Claim
    balance: Balance
    needed_pico: int | None
    words: str


@dataclass(frozen=True, slots=True)
class Granted:
    """The request may be sent.

    Attributes:
        places: Of the candidates that may be asked, in order; at least one.
        amounts_pico: What is reserved, per claim: as much as the dearest of them costs at most.
        closed: Why the others may not be asked, by their place.
        reached: The steps that each claim's budget has reached, but for those that deny.
    """

    places: tuple[int, ...]
    amounts_pico: tuple[int, ...]
    closed: Mapping[int, Closed] = field(default_factory=dict)
    reached: tuple[tuple[Claim, Step], ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody may be asked: why, by the candidates' places."""

    closed: Mapping[int, Closed]


def admitted(ask: Ask, balances: Sequence[Balance]) -> Granted | Refused:
    """Return what is granted of a request.

    Args:
        ask: The request.
        balances: Of its claims' accounts, in their order.
    """
    closed: dict[int, Closed] = {}
    reached: list[tuple[Claim, Step]] = []
    for claim, balance in zip(ask.claims, balances, strict=True):
        steps = reached_steps(claim.budget, balance)
        reached += [(claim, step) for step in steps if not step.deny]
        for place in claim.places:
            if place not in closed:
                why = _closed(ask, claim, balance, place, steps)
                if why is not None:
                    closed[place] = why
    places = tuple([place for place in range(len(ask.candidates)) if place not in closed])
    if not places:
        return Refused(closed)
    return Granted(places, _amounts(ask, closed), closed, tuple(reached))


def reached_steps(budget: Budget, balance: Balance) -> tuple[Step, ...]:
    """Return the steps that what is spent and reserved has reached."""
    used = balance.spent + balance.reserved
    return tuple([step for step in budget.steps if used >= step.at_pico])


def lacking(
    claims: Sequence[Claim], more_pico: Sequence[int], balances: Sequence[Balance]
) -> int | None:
    """Return the place of the first claim that has no room for so much more; None: all have.

    Args:
        claims: Of a request that was admitted.
        more_pico: What it needs beyond what is reserved for it, per claim; 0: nothing.
        balances: Of their accounts.
    """
    for place, (claim, more, balance) in enumerate(zip(claims, more_pico, balances, strict=True)):
        deny_pico = claim.budget.deny_pico
        if more <= 0 or deny_pico is None:
            continue
        if balance.spent + balance.reserved + more > deny_pico:
            return place
    return None


def _closed(
    ask: Ask, claim: Claim, balance: Balance, place: int, steps: Sequence[Step]
) -> Closed | None:
    cost, budget = ask.costs_pico[place], claim.budget
    if cost is None:
        words = f"no price is known, so {budget} cannot be kept"
        return Closed(claim, balance, None, words)
    deny_pico = budget.deny_pico
    if deny_pico is not None:
        used_up = balance.spent >= deny_pico  # even for what is free: 0 is 0
        if used_up or balance.spent + balance.reserved + cost > deny_pico:
            return Closed(claim, balance, cost, _no_room(claim, balance, cost, deny_pico))
    for step in steps:
        if step.use is not None and ask.candidates[place].model.name not in step.use:
            words = f"{claim} has reached {step.percent:f} %: {step.words} only"
            return Closed(claim, balance, cost, words)
    return None


def _no_room(claim: Claim, balance: Balance, cost: int, deny_pico: int) -> str:
    return (
        f"{claim} has no room: of {usd_text(deny_pico)} USD {usd_text(balance.spent)} are spent and "
        f"{usd_text(balance.reserved)} reserved, and the request may cost {usd_text(cost)}"
    )


def _amounts(ask: Ask, closed: Mapping[int, Closed]) -> tuple[int, ...]:
    return tuple(
        [
            max(
                [ask.costs_pico[place] or 0 for place in claim.places if place not in closed],
                default=0,
            )
            for claim in ask.claims
        ]
    )
