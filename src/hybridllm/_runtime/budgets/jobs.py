"""What a store of budgets is told to do, many at once: all of it in one transaction, or nothing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hybridllm._core.budget.accounts import Accounts
from hybridllm._core.budget.admit import Granted, Refused
from hybridllm._core.budget.claims import Account, Ask, Claim


@dataclass(frozen=True, slots=True)
class Admit:
    """Reserve what a request may cost."""

    ticket: str
    ask: Ask

    def done(self, accounts: Accounts) -> Granted | Refused:
        """Do it."""
        return accounts.admit(self.ticket, self.ask)


@dataclass(frozen=True, slots=True)
class TopUp:
    """Reserve more for a request that was admitted."""

    ticket: str
    claims: tuple[Claim, ...]
    more_pico: tuple[int, ...]

    def done(self, accounts: Accounts) -> int | None:
        """Do it."""
        return accounts.top_up(self.ticket, self.claims, self.more_pico)


@dataclass(frozen=True, slots=True)
class Settle:
    """Give back what is held for a request, and note what it cost. Done twice, it is done once."""

    ticket: str
    spent: Mapping[Account, int]

    def done(self, accounts: Accounts) -> None:
        """Do it."""
        accounts.settle(self.ticket, self.spent)


Job = Admit | TopUp | Settle
Answer = Granted | Refused | int | None


class BudgetStore(Protocol):
    """A file that processes share; used in one thread."""

    def carry_out(self, jobs: Sequence[Job]) -> tuple[list[Answer], Accounts]:
        """Do it all; return an answer for each, and the accounts that were looked at, as they are then.

        What others reserved and did not settle, because their process is gone, counts as spent.

        Raises:
            BudgetStoreError: If nothing of it was done.
        """
        ...

    def look(self, now_us: int) -> Accounts:
        """Return the accounts whose period is not over.

        Raises:
            BudgetStoreError: If they cannot be read.
        """
        ...

    def close(self) -> None:
        """Close the connection, if there is one."""
        ...
