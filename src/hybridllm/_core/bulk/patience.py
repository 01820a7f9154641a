"""How long an item that nobody takes now waits before it is tried again."""

from __future__ import annotations

import math

WAIT_S_MIN = 0.25  # doubled with every refusal, up to `OWN_WAIT_S_MAX`
OWN_WAIT_S_MAX = 30.0
WAIT_S_MAX = 60.0  # whatever a refusal asks for
LEFT_S_MIN = 1.0  # a try that begins with less is not worth the wait
SPREAD = 0.25


def wait_s(
    asked_s: float | None, *, refusals: int, remaining_s: float, jitter: float
) -> float | None:
    """Return how long to wait, or None if no try would follow in time.

    Args:
        asked_s: What the refusal said (`retry_after_s`); None, or what is no time, is nothing.
        refusals: In a row so far, this one included; from 1.
        remaining_s: Of the item's own time.
        jitter: In [0, 1]; stretches the wait, so that many do not come back together.
    """
    own_s = min(OWN_WAIT_S_MAX, WAIT_S_MIN * 2.0 ** min(refusals - 1, 16))
    if asked_s is None or not math.isfinite(asked_s) or asked_s < 0:
        asked_s = 0.0
    waited_s = min(WAIT_S_MAX, max(own_s, asked_s)) * (1 + SPREAD * jitter)
    return waited_s if waited_s + LEFT_S_MIN <= remaining_s else None
