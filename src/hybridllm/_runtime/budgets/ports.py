"""What admits requests needs of whoever keeps the budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from hybridllm._core.budget.admit import Balance, Granted, Refused
from hybridllm._core.budget.claims import Account, Ask, Claim


class BudgetStoreError(Exception):
    """The budgets cannot be looked up now. Its text says why, in the words of SQLite or of the system."""


class Budgets(Protocol):
    """The balances of a router's budgets: in its memory, or in a file that processes share.

    Attributes:
        place: Where they are kept: `memory`, or the file's name.
    """

    place: str

    async def admit(self, ticket: str, ask: Ask, now_utc: datetime) -> Granted | Refused:
        """Reserve what a request may cost at most, or say why nothing is reserved.

        Who is cancelled meanwhile holds nothing.

        Raises:
            BudgetStoreError: If nobody knows what is left.
        """
        ...

    async def top_up(self, ticket: str, claims: Sequence[Claim], more: Sequence[int]) -> int | None:
        """Reserve more; see `Accounts.top_up`.

        Raises:
            BudgetStoreError: If nobody knows what is left.
        """
        ...

    def settle(self, ticket: str, spent: Mapping[Account, int]) -> None:
        """Give back what is held for a request, and note what it cost. Never waits, never raises."""
        ...

    def known(self) -> Mapping[Account, Balance]:
        """Return the balances as of the last look."""
        ...

    async def look(self, now_utc: datetime) -> None:
        """Look up what was spent by earlier runs and by others."""
        ...

    def cut_off(self) -> None:
        """What is under way has been cut off with its event loop: nobody will settle it."""
        ...

    async def close(self) -> None:
        """Have everything written that is settled."""
        ...
