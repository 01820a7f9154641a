"""When a backend sleeps, when it is expected to be awake, and how its traffic comes back.

Only backends with a `cold_start` sleep; any other that does not answer is down. One that sleeps is asked for
nothing but the probes that find out whether it is awake. Awake again, it is given little at first: its caches
are cold, and everybody has waited for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from hybridllm._core.policy.hybrid import ColdStart
from hybridllm._core.resilience.outcome import Failure, FailureKind, Gate

LATE_S = 2.0
"""What is still to be expected of one that should be awake and is not."""

AWAKE_S = 10.0
"""One that answered so lately has an error, and does not sleep."""

RAMP_S = 5.0
_RAMP_FROM = 2.0
_DOUBLES_EVERY_S = 0.5
_NOBODY_THERE = frozenset({FailureKind.CONNECT, FailureKind.CONNECT_TIMEOUT})
_NOT_READY = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Asleep:
    """A backend that sleeps, or wakes up.

    Attributes:
        since_s: When that was found, monotonic.
        ready_at_s: When it is expected to answer.
    """

    since_s: float
    ready_at_s: float

    def back_in_s(self, now_s: float) -> float:
        """Return in how many seconds it is expected to be awake."""
        return max(LATE_S, self.ready_at_s - now_s)


def asleep_since(now_s: float, cold_start: ColdStart) -> Asleep:
    """Return the state of a backend that is woken now."""
    return Asleep(now_s, now_s + cold_start.takes_s)


def seems_asleep(failure: Failure, *, answered_ago_s: float) -> bool:
    """Return whether a failure means that the backend sleeps.

    Args:
        failure: Of an attempt at a backend with a `cold_start`.
        answered_ago_s: Seconds since it last answered; infinite: it never did.
    """
    if failure.kind in _NOBODY_THERE:
        return True
    not_ready = failure.status_code in _NOT_READY or failure.gate is Gate.MODEL
    return not_ready and answered_ago_s > AWAKE_S


def ramp_limit(awake_s: float) -> int | None:
    """Return how many requests it may have at once, so long after it woke; None: as many as always."""
    if awake_s >= RAMP_S:
        return None
    return int(_RAMP_FROM * 2.0 ** (max(0.0, awake_s) / _DOUBLES_EVERY_S))
