"""When an item that got no answer now is tried again later, and how long it waits.

The router retries and fails over within a request. A job has the time that a person has not: it waits while
backends are full or down. It never asks again for what may have been paid for, and it does not wait for what
no waiting mends: a wrong key, a spent quota, a request that is at fault itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hybridllm.errors import BackendsUnavailable, Overloaded, RouteExhausted, WarmingUp

REFUSED_WAIT_S = (
    0.25,
    5.0,
)  # the first wait, doubled each time up to the last: nothing is sent for it
FAILED_WAIT_S = (2.0, 30.0)  # likewise, after a try that everybody failed
FAILED_MAX = 6  # an item that everybody fails, again and again, may be what is wrong
ASKED_S_MAX = (
    60.0  # who is to come back later than that is not waited for: a quota is spent, not a minute
)
LEFT_S_MIN = 1.0  # a try that begins with less is not worth the wait
SPREAD = 0.25

_SETTLED_STATUSES = frozenset({401, 402, 403, 404})
_PASSING_STATUSES = frozenset({409, 425, 429, 500, 503, 529})
_PASSING = frozenset({"connect", "connect_timeout", "stale_connection"})


@dataclass(frozen=True, slots=True)
class Waits:
    """How the tries of one item ended so far.

    Attributes:
        refused: How many were refused, with nothing sent.
        failed: How many everybody failed who was asked.
        last_failed: Which of both the last one was.
    """

    refused: int = 0
    failed: int = 0
    last_failed: bool = False

    def after(self, error: Exception) -> Waits:
        """Return them with one more."""
        if isinstance(error, Overloaded | BackendsUnavailable):
            return Waits(self.refused + 1, self.failed)
        return Waits(self.refused, self.failed + 1, last_failed=True)


def may_pass(error: Exception, waits: Waits) -> bool:
    """Whether another try may well go better, and this one was certainly not paid for.

    Args:
        error: How the last try ended.
        waits: All tries so far, this one included.
    """
    if isinstance(error, Overloaded | WarmingUp):
        return True
    if isinstance(error, BackendsUnavailable):
        return error.status_code not in _SETTLED_STATUSES and error.retry_after_s <= ASKED_S_MAX
    if not isinstance(error, RouteExhausted) or error.receipt is None or waits.failed >= FAILED_MAX:
        return False
    return all(
        not attempt.maybe_billed
        and (attempt.error in _PASSING or attempt.status_code in _PASSING_STATUSES)
        for attempt in error.receipt.attempts
    )


def wait_s(
    waits: Waits, *, asked_s: float | None, remaining_s: float, jitter: float
) -> float | None:
    """Return how long to wait, or None if no try would follow in time.

    Args:
        waits: How the tries so far ended.
        asked_s: When to come back, as a refusal said (`retry_after_s`); None, or what is no time: it did not.
        remaining_s: Of the item's own time.
        jitter: In [0, 1]; stretches the wait, so that many do not come back together.
    """
    number, (least_s, most_s) = (
        (waits.failed, FAILED_WAIT_S) if waits.last_failed else (waits.refused, REFUSED_WAIT_S)
    )
    own_s = min(most_s, least_s * 2.0 ** min(max(number - 1, 0), 16))
    if asked_s is None or not math.isfinite(asked_s) or asked_s < 0:
        asked_s = 0.0
    waited_s = min(ASKED_S_MAX, max(own_s, asked_s)) * (1 + SPREAD * jitter)
    return waited_s if waited_s + LEFT_S_MIN <= remaining_s else None
