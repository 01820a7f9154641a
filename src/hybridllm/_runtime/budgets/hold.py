"""What is reserved for one request: enough for any one attempt at first, more only if there is room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hybridllm._core.budget.admit import NOTHING, Balance
from hybridllm._core.budget.charge import by_place, of_claims
from hybridllm._core.budget.claims import Claim
from hybridllm._core.policy.compiled import Candidate
from hybridllm._core.receipt import Attempt
from hybridllm._runtime.budgets.ports import Budgets


class Lack(NamedTuple):
    """Why another attempt of a request may not be made.

    Attributes:
        claim: On the account that has no room; None: the request's own `max_cost_usd` has none.
        balance: Of that account; of the request, what it has cost so far.
        needed_pico: What would have to be reserved beyond what is.
    """

    claim: Claim | None
    balance: Balance
    needed_pico: int


@dataclass(slots=True, eq=False)
class Hold:
    """Settled once, by its `Run`.

    Attributes:
        claims: On the accounts that pay; their places are those of the plan as granted, which a cascade
            may have left since.
        places: Those places, by the candidates' names.
        costs_pico: What one attempt costs at most, by place.
        amounts_pico: What is reserved, per claim.
        max_pico: Of the request's own `max_cost_usd`; None: it has none.
        expected_pico: What one attempt is expected to cost, by place; looked at under `max_pico` only.
        begun: The place of every attempt that has begun, by its number.
    """

    ticket: str
    budgets: Budgets
    places: dict[str, int]
    claims: tuple[Claim, ...]
    costs_pico: tuple[int, ...]
    amounts_pico: list[int]
    max_pico: int | None = None
    expected_pico: tuple[int, ...] = ()
    begun: dict[int, int] = field(default_factory=dict)

    def begin(self, number: int, candidate: Candidate) -> None:
        """Note that an attempt has begun."""
        self.begun[number] = self.places[candidate.name]

    async def lacks(self, candidate: Candidate, attempts: Sequence[Attempt]) -> Lack | None:
        """Reserve for one more attempt; return why there is no room for it, or None.

        Raises:
            BudgetStoreError: If nobody knows what is left.
        """
        place = self.places[candidate.name]
        if self.max_pico is not None:
            so_far = sum(by_place(self.expected_pico, self.begun, attempts).values())
            if so_far + self.expected_pico[place] > self.max_pico:
                return Lack(None, Balance(so_far), self.expected_pico[place])
        if not self.claims:
            return None
        charged = by_place(self.costs_pico, self.begun, attempts)
        charged[place] = charged.get(place, 0) + self.costs_pico[place]
        needed = of_claims(self.claims, charged)
        more = tuple(
            [max(0, new - held) for new, held in zip(needed, self.amounts_pico, strict=True)]
        )
        if not any(more):
            return None
        lacking = await self.budgets.top_up(self.ticket, self.claims, more)
        if lacking is not None:
            claim = self.claims[lacking]
            balance = self.budgets.known().get(claim.account, NOTHING)
            return Lack(claim, balance, more[lacking])
        self.amounts_pico = [held + one for held, one in zip(self.amounts_pico, more, strict=True)]
        return None

    def settle(self, attempts: Sequence[Attempt]) -> None:
        """Give it back, with what the request cost."""
        if self.claims:
            charged = of_claims(self.claims, by_place(self.costs_pico, self.begun, attempts))
            accounts = [claim.account for claim in self.claims]
            self.budgets.settle(self.ticket, dict(zip(accounts, charged, strict=True)))
