"""Budgets in the memory of one router: exact in it, and nothing is spent when it begins."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from hybridllm._core.budget.accounts import Accounts
from hybridllm._core.budget.admit import Balance, Granted, Refused
from hybridllm._core.budget.claims import Account, Ask, Claim

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR_S = 3_600.0


class MemoryBudgets:
    """See `Budgets`. Nothing awaits between a look at a balance and its change."""

    place = "memory"

    def __init__(self) -> None:
        self._accounts = Accounts()
        self._pid = os.getpid()
        self._tidied_at = _LONG_AGO

    async def admit(self, ticket: str, ask: Ask, now_utc: datetime) -> Granted | Refused:
        """See `Budgets.admit`."""
        if abs((now_utc - self._tidied_at).total_seconds()) >= _HOUR_S:
            self._tidied_at = now_utc
            self._accounts.forget(now_utc)
        return self._accounts.admit(ticket, ask)

    async def top_up(self, ticket: str, claims: Sequence[Claim], more: Sequence[int]) -> int | None:
        """See `Budgets.top_up`."""
        return self._accounts.top_up(ticket, claims, more)

    def settle(self, ticket: str, spent: Mapping[Account, int]) -> None:
        """See `Budgets.settle`."""
        self._accounts.settle(ticket, spent)

    def known(self) -> Mapping[Account, Balance]:
        """See `Budgets.known`."""
        return self._accounts.balances

    async def look(self, now_utc: datetime) -> None:
        """Nothing is kept anywhere else."""

    def cut_off(self) -> None:
        """Count what was under way as spent: it may be billed. In a child it is the parent's to pay."""
        ours = self._pid == os.getpid()
        self._pid = os.getpid()
        for ticket, held in list(self._accounts.holds.items()):
            self._accounts.settle(ticket, held if ours else {})

    async def close(self) -> None:
        """Nothing is written anywhere."""
