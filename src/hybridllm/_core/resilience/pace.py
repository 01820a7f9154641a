"""How long a candidate lets one wait, lately: an average that jumps up with a slow answer and falls slowly.

Times the requests under way, it is what a new request has to expect, and by it the one to ask is chosen. A
candidate that has become slow is left within one answer; without answers the figure fades, so it is tried
again.

Source: Finagle's peak EWMA.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

MEMORY_S = 10.0


@dataclass(frozen=True, slots=True)
class Pace:
    """A pace at one moment.

    Attributes:
        value_s: Seconds to the first token, or to a whole answer, as it was at `at_s`.
    """

    value_s: float
    at_s: float


def after_answer(pace: Pace | None, seconds: float, now_s: float) -> Pace:
    """Return the pace after one more answer, or one more time limit that passed."""
    if pace is None or seconds >= pace.value_s:
        return Pace(seconds, now_s)
    old = exp(min(0.0, pace.at_s - now_s) / MEMORY_S)
    return Pace(pace.value_s * old + seconds * (1.0 - old), now_s)


def faded_s(pace: Pace, now_s: float) -> float:
    """Return the pace as it counts now: the longer nobody asked, the less of it."""
    return pace.value_s * exp(min(0.0, pace.at_s - now_s) / MEMORY_S)
