"""The balances of accounts, and what is held of them for requests under way: every change of either.

A request is known by its ticket. What is held for it is given back once, with what it really cost; a second
time does nothing, so that whoever does not know whether that was done may do it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from hybridllm._core.budget.admit import NOTHING, Balance, Granted, Refused, admitted, lacking
from hybridllm._core.budget.claims import Account, Ask, Claim
from hybridllm._core.budget.periods import Span


class Accounts:
    """Balances, holds, and the spans that they belong to.

    Attributes:
        balances: Of every account that something was asked of.
        holds: Per ticket, what is reserved of which account.
        spans: The period of each account, as far as anybody asked in it.
    """

    __slots__ = ("balances", "holds", "spans")

    def __init__(self) -> None:
        self.balances: dict[Account, Balance] = {}
        self.holds: dict[str, dict[Account, int]] = {}
        self.spans: dict[Account, Span] = {}

    def admit(self, ticket: str, ask: Ask) -> Granted | Refused:
        """Reserve what a request may cost, or say why nothing is."""
        verdict = admitted(ask, self._of(ask.claims))
        if isinstance(verdict, Refused):
            return verdict
        held = self.holds[ticket] = {}
        for claim, amount in zip(ask.claims, verdict.amounts_pico, strict=True):
            if any(place not in verdict.closed for place in claim.places):
                self._reserve(held, claim, amount)
        return verdict

    def top_up(self, ticket: str, claims: Sequence[Claim], more: Sequence[int]) -> int | None:
        """Reserve more for a request that was admitted, per claim: all of it or nothing.

        Returns:
            The place of the claim that has no room; None: it is reserved.
        """
        place = lacking(claims, more, self._of(claims))
        if place is None:
            held = self.holds.setdefault(ticket, {})
            for claim, amount in zip(claims, more, strict=True):
                if amount > 0:
                    self._reserve(held, claim, amount)
        return place

    def settle(self, ticket: str, spent: Mapping[Account, int]) -> None:
        """Give back what is held for a request, and note what it cost; a second time it does nothing."""
        for account, amount in self.holds.pop(ticket, {}).items():
            balance = self.balances.get(account, NOTHING)
            self.balances[account] = balance.plus(spent=spent.get(account, 0), reserved=-amount)

    def forget(self, now_utc: datetime) -> None:
        """Drop accounts of periods that are long over, unless something is still held of them."""
        for account, span in list(self.spans.items()):
            if span.kept_until <= now_utc and not self.balances.get(account, NOTHING).reserved:
                self.spans.pop(account)
                self.balances.pop(account, None)

    def _of(self, claims: Sequence[Claim]) -> list[Balance]:
        return [self.balances.get(claim.account, NOTHING) for claim in claims]

    def _reserve(self, held: dict[Account, int], claim: Claim, amount: int) -> None:
        account = claim.account
        self.balances[account] = self.balances.get(account, NOTHING).plus(reserved=amount)
        held[account] = held.get(account, 0) + amount
        self.spans[account] = claim.span
