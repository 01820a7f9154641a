"""What requests are called, on receipts, spans and in the ledger."""

from __future__ import annotations

import os
from datetime import datetime

_CHANCE_BYTES = 10
_AT_ONCE = 256


class RequestIds:
    """Makes ids: 32 hex digits, 12 of the time in milliseconds, 20 of chance.

    In the order of time, so that a database puts rows where it put the last ones: in any other order, each
    touches a page of its own, which doubles the cost of a row. The chance of many is drawn at once: the
    system call lets go of Python's lock, and another thread that takes it costs more than the rest of a row.
    """

    def __init__(self) -> None:
        self._chance = ""
        self._at = 0
        self._pid = 0

    def new(self, started_at: datetime) -> str:
        """Return the id of a request that begins then."""
        at = self._at
        if at == len(self._chance) or self._pid != os.getpid():  # a child draws its own
            self._chance, at, self._pid = os.urandom(_CHANCE_BYTES * _AT_ONCE).hex(), 0, os.getpid()
        self._at = end = at + 2 * _CHANCE_BYTES
        return f"{int(started_at.timestamp() * 1e3):012x}{self._chance[at:end]}"
