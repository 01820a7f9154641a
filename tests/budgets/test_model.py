"""Whatever requests do, spent and reserved never pass the limit by an admission, and nothing stays held."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from budgets.made import candidates_of
from hybridllm._core.budget.accounts import Accounts
from hybridllm._core.budget.admit import NOTHING, Granted
from hybridllm._core.budget.claims import Account, Ask, Claim
from hybridllm._core.budget.periods import span_of
from hybridllm._core.policy.budgets import Budget, Period, Step

NOW = datetime(2026, 5, 5, tzinfo=UTC)
SPAN = span_of(Period.DAY, NOW)
CANDIDATES = candidates_of()


def budget(name: str, limit: int, deny_percent: int) -> Budget:
    at = limit * deny_percent // 100
    return Budget(name, limit, Period.DAY, (), (Step(Decimal(deny_percent), at, deny=True),))


BUDGETS = (budget("all", 1_000, 100), budget("one", 400, 90), budget("none", 0, 100))
COSTS = st.integers(0, 300)


class Spending(RuleBasedStateMachine):
    """Requests that are admitted, topped up and settled in any order."""

    tickets: Bundle[Any] = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.accounts = Accounts()
        self.number = 0
        self.overspent: dict[Account, int] = {}

    @rule(
        target=tickets,
        costs=st.lists(COSTS, min_size=2, max_size=2),
        over=st.sets(st.sampled_from([0, 1]), min_size=1),
        places=st.sampled_from([(0,), (1,), (0, 1)]),
    )
    def ask(self, costs: list[int], over: set[int], places: tuple[int, ...]) -> Any:
        """Of one or two budgets, for one or two candidates."""
        self.number += 1
        claims = tuple(
            Claim(one, Account(one.name, "", SPAN.key), places, SPAN)
            for index, one in enumerate(BUDGETS)
            if index in over
        )
        ticket = str(self.number)
        verdict = self.accounts.admit(ticket, Ask(CANDIDATES, tuple(costs), claims))
        if not isinstance(verdict, Granted):
            assert ticket not in self.accounts.holds
            return None
        return ticket, claims

    @rule(costs=st.lists(COSTS, min_size=2, max_size=2))
    def ask_nothing_left(self, costs: list[int]) -> None:
        """A budget of 0 admits nothing, not even what is free."""
        claim = Claim(BUDGETS[2], Account("none", "", SPAN.key), (0, 1), SPAN)
        asked = Ask(CANDIDATES, tuple(costs), (claim,))
        assert not isinstance(self.accounts.admit("never", asked), Granted)

    @rule(ticket=tickets, more=COSTS)
    def top_up(self, ticket: Any, more: int) -> None:
        """All of it, or nothing."""
        if ticket is None or ticket[0] not in self.accounts.holds:
            return
        before = dict(self.accounts.balances)
        lacking = self.accounts.top_up(*ticket, [more] * len(ticket[1]))
        if lacking is not None:
            assert self.accounts.balances == before

    @rule(ticket=consumes(tickets), share=st.integers(0, 120))
    def settle(self, ticket: Any, share: int) -> None:
        """A request may cost less than was reserved, or more; told twice, it counts once."""
        if ticket is None:
            return
        held = dict(self.accounts.holds.get(ticket[0], {}))
        spent = {account: amount * share // 100 for account, amount in held.items()}
        for account, amount in held.items():
            more = max(0, spent[account] - amount)
            self.overspent[account] = self.overspent.get(account, 0) + more
        self.accounts.settle(ticket[0], spent)
        after = dict(self.accounts.balances)
        self.accounts.settle(ticket[0], spent)
        assert self.accounts.balances == after

    @invariant()
    def never_above(self) -> None:
        """But for what backends billed beyond what they were allowed to."""
        for one in BUDGETS:
            account = Account(one.name, "", SPAN.key)
            balance = self.accounts.balances.get(account, NOTHING)
            used = balance.spent + balance.reserved
            assert used <= (one.deny_pico or 0) + self.overspent.get(account, 0)

    @invariant()
    def what_is_reserved_is_held(self) -> None:
        """To the last 10^-12 USD."""
        held: dict[Account, int] = {}
        for amounts in self.accounts.holds.values():
            for account, amount in amounts.items():
                held[account] = held.get(account, 0) + amount
        for account, balance in self.accounts.balances.items():
            assert balance.reserved == held.get(account, 0)


Spending.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestSpending = Spending.TestCase
