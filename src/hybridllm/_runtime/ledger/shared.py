"""What the event loop and the ledger's thread hand each other; no locks: each field has one writer."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from hybridllm._core.ledger.lines import Row
from hybridllm._runtime.ledger.ports import Segment

ROWS_MAX = 50_000
"""That are held in memory; with a journal more may wait there."""


@dataclass(slots=True, eq=False)
class Page:
    """A segment, and how much of it is needed. The loop counts what it appends, the thread what is done.

    Attributes:
        appended: Rows in it; `done`: of those, how many are in the database.
        spilled: Rows of it that are held nowhere else; `replayed`: of those, how many are in the database.
        trouble: Why something could not be appended to it, which was the last; None: it is whole.
    """

    segment: Segment
    appended: int = 0
    done: int = 0
    spilled: int = 0
    replayed: int = 0
    trouble: str | None = None

    @property
    def needed(self) -> bool:
        """Whether it holds a row that the database does not."""
        return self.appended - self.spilled > self.done or self.spilled > self.replayed


@dataclass(slots=True, eq=False)
class Shared:
    """What the event loop and the thread hand each other; each field is changed by one of them.

    Attributes:
        rows: That came, each with the page that it stands on; None: on none.
        page: That the loop appends to; `spare`: the next one, for the loop to take.
        retired: Pages that the loop has left.
        lost: Rows that neither memory nor journal had room for.
        written: Rows that are in the database.
        errors: How often the database or the journal could not be written.
        error: Why it cannot now; None: it can.
        unjournaled: Why rows cannot be appended to the journal now; None: they can.
        waiting: Rows that the thread holds and has not written.
    """

    rows: deque[tuple[Row, Page | None]] = field(default_factory=deque)
    page: Page | None = None
    spare: Page | None = None
    retired: deque[Page] = field(default_factory=deque)
    wake: threading.Event = field(default_factory=threading.Event)
    stirred: bool = False
    lost: int = 0
    written: int = 0
    errors: int = 0
    error: str | None = None
    unjournaled: str | None = None
    waiting: int = 0

    def stir(self) -> None:
        """Wake the thread, if it is not about to look."""
        if not self.stirred:
            self.stirred = True
            self.wake.set()
