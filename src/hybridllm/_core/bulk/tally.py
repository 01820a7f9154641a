"""The sums behind a job's progress: what has ended, what it cost, how fast it goes."""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from hybridllm._core.bulk.result import BulkProgress, BulkResult

RATE_OVER_S = 30.0  # how far back "lately" goes
SAMPLES_EVERY_S = 1.0


class Tally:
    """Counts what ends. Time comes in.

    Args:
        total: How many items there are, if that is known.
        now_s: When the run began.
    """

    def __init__(self, *, total: int | None, now_s: float) -> None:
        self.total = total
        self.under_way = 0
        self.waiting = 0
        self._began_s = now_s
        self._done = self._failed = self._resumed = self._unknown = 0
        self._cost_usd = Decimal(0)
        self._cost_complete = True
        self._tokens_in = self._tokens_out = 0
        self._asked = 0  # of those that ended, how many took the time of a backend
        self._samples: deque[tuple[float, int]] = deque()  # (when, `_asked`), at most one a second

    def paid_before(self, cost_usd: Decimal, *, complete: bool) -> None:
        """Add what failures of earlier runs cost: nothing else tells of it."""
        self._cost_usd += cost_usd
        self._cost_complete &= complete

    def ended(self, result: BulkResult, *, now_s: float) -> None:
        """Count an item that has ended."""
        if result.ok:
            self._done += 1
        else:
            self._failed += 1
        self._resumed += result.resumed
        self._unknown += result.unknown_paid
        paid = result.paid
        if paid.cost_usd is not None:
            self._cost_usd += paid.cost_usd
        self._cost_complete &= paid.cost_complete and not result.unknown_paid
        self._tokens_in += paid.tokens_in
        self._tokens_out += paid.tokens_out
        self._asked += result.tries > 0
        if self._asked and (not self._samples or now_s - self._samples[-1][0] >= SAMPLES_EVERY_S):
            self._samples.append((now_s, self._asked))
            while len(self._samples) > 2 and now_s - self._samples[1][0] >= RATE_OVER_S:
                self._samples.popleft()

    def progress(self, *, now_s: float) -> BulkProgress:
        """Return where the job stands."""
        rate_per_s = self._rate_per_s(now_s)
        left = None if self.total is None else max(0, self.total - self._done - self._failed)
        left_s = 0.0 if left == 0 else None
        if left and rate_per_s:
            left_s = left / rate_per_s
        return BulkProgress(
            self.total,
            self._done,
            self._failed,
            self.under_way,
            self.waiting,
            self._resumed,
            self._unknown,
            self._cost_usd,
            self._cost_complete,
            self._tokens_in,
            self._tokens_out,
            now_s - self._began_s,
            rate_per_s,
            left_s,
        )

    def _rate_per_s(self, now_s: float) -> float | None:
        if not self._samples or now_s - self._samples[0][0] < SAMPLES_EVERY_S:
            return None  # too early to tell
        then_s, had_ended = self._samples[0]
        return (self._asked - had_ended) / (now_s - then_s) or None
