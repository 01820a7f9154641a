"""How a router's ledger stands."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridllm._runtime.ledger.keeper import LedgerKeeper


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """A router's ledger, at one moment.

    Attributes:
        place: Of the database, without a password.
        written: Rows that this router has put there.
        waiting: Rows that are to be.
        lost: Rows that are in neither the database nor the journal, and never will be.
        errors: How often something could not be written.
        error: Why the database cannot be written now; None: it can.
        journal_error: Why the journal cannot be written now; None: it can.
    """

    place: str
    written: int = 0
    waiting: int = 0
    lost: int = 0
    errors: int = 0
    error: str | None = None
    journal_error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lost = f", {self.lost} LOST" if self.lost else ""
        troubles = [
            f"; {what} CANNOT BE WRITTEN: {why}"
            for what, why in (("the database", self.error), ("its journal", self.journal_error))
            if why is not None
        ]
        rows = f"{self.written} rows written, {self.waiting} waiting{lost}"
        return f"ledger {self.place}: {rows}{''.join(troubles)}"


def ledger_status(keeper: LedgerKeeper | None) -> LedgerStatus | None:
    """Return how a ledger stands; None: there is none, or nothing was written yet."""
    if keeper is None:
        return None
    state = keeper.state()
    return LedgerStatus(
        state.name,
        state.written,
        state.waiting,
        state.lost,
        state.errors,
        state.error,
        state.unjournaled,
    )
