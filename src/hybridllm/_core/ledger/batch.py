"""What goes into the database together: the last word on each attempt, and every request."""

from __future__ import annotations

from collections.abc import Iterable

from hybridllm._core.ledger.lines import Row
from hybridllm._core.ledger.rows import INTENT, UNKNOWN, AttemptRow, RequestRow

_LEAST = {UNKNOWN: 1, INTENT: 0}
_ENDED = 2


def knows_more(row: AttemptRow, than: AttemptRow) -> bool:
    """Return whether a row of an attempt replaces another one: an end does, and only once."""
    return _LEAST.get(row.outcome, _ENDED) > _LEAST.get(than.outcome, _ENDED)


class Batch:
    """Rows by their ids."""

    __slots__ = ("attempts", "requests")

    def __init__(self) -> None:
        self.attempts: dict[str, AttemptRow] = {}
        self.requests: dict[str, RequestRow] = {}

    def __len__(self) -> int:
        return len(self.attempts) + len(self.requests)

    def add(self, row: Row) -> None:
        """Take a row, unless more is known of it already."""
        if isinstance(row, RequestRow):
            self.requests.setdefault(row.request_id, row)
            return
        known = self.attempts.get(row.attempt_id)
        if known is None or knows_more(row, known):
            self.attempts[row.attempt_id] = row


def recovered(rows: Iterable[Row]) -> Batch:
    """Return what a process that is gone has left; an attempt without an end is `unknown`."""
    batch = Batch()
    for row in rows:
        batch.add(row)
    for key, row in batch.attempts.items():
        if row.outcome == INTENT:
            batch.attempts[key] = row._replace(outcome=UNKNOWN)
    return batch
