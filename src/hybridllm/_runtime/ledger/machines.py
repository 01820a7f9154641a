"""What own machines cost, told to the ledger by its thread: once a day, and when another policy is in force.

The day is that of the latest row, so that a simulated month is settled as a real one would be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hybridllm._core.ledger.apportion import declared
from hybridllm._core.ledger.periods import DAY_US, day_of
from hybridllm._runtime.ledger.ports import LedgerStore

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy


class Machines:
    """Knows what the ledger was told last.

    Args:
        store: Of the ledger.
        policy: Returns the one in force.
    """

    def __init__(self, store: LedgerStore, policy: Callable[[], Policy]) -> None:
        self._store = store
        self._policy = policy
        self._told: tuple[int, Policy] | None = None

    def due(self, latest_us: int) -> bool:
        """Whether there is something to tell, given when the latest row began; 0: there is none."""
        if not latest_us:
            return False
        told = self._told
        return told is None or told[0] < latest_us // DAY_US or told[1] is not self._policy()

    def tell(self, latest_us: int) -> None:
        """Note what machines cost on this day, and settle the days before it.

        Raises:
            LedgerStoreError: If it cannot be done.
        """
        policy, day = self._policy(), day_of(latest_us)
        said = [
            declared(day, name, policy.name, backend.capacity)
            for name, backend in policy.backends.items()
            if backend.capacity is not None
        ]
        self._store.machines(policy.name, said, day, latest_us)
        self._told = latest_us // DAY_US, policy
