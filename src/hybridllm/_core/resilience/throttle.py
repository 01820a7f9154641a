"""How much may still be sent to a candidate that refuses nearly everything.

Where every candidate of a request is refused by its breaker, the request is tried all the same (panic):
breakers never empty a candidate set. Yet a dead fleet must not be kept under full load. So each is admitted
with the probability of the client-side throttling of the SRE book: as many requests as were accepted lately,
times two, pass; of the rest a share that falls. With 60 % failing nearly everything goes on; with all failing
next to nothing, within half a minute.

Source: Beyer et al., "Site Reliability Engineering", 2016, chapter 21.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

ACCEPTS_WEIGHT = 2.0
ADMITTED_MIN = 0.02
MEMORY_S = 30.0


@dataclass(frozen=True, slots=True)
class Throttle:
    """Requests that wanted a candidate, and those that it answered; both fade over `MEMORY_S`.

    Attributes:
        wanted: Counted when they are sent, or turned away, not when they end: else a hanging backend would
            look idle.
        at_s: When both were last brought up to date.
        accepted_at_s: When it last answered; minus infinity: never.
    """

    wanted: float = 0.0
    accepted: float = 0.0
    at_s: float = 0.0
    accepted_at_s: float = float("-inf")


UNTRIED = Throttle()


def after_wanted(throttle: Throttle, now_s: float) -> Throttle:
    """Return the counts after one more request wanted the candidate."""
    fade = _fade(throttle, now_s)
    return Throttle(
        throttle.wanted * fade + 1.0, throttle.accepted * fade, now_s, throttle.accepted_at_s
    )


def after_accepted(throttle: Throttle, now_s: float) -> Throttle:
    """Return the counts after the candidate answered a request."""
    fade = _fade(throttle, now_s)
    return Throttle(throttle.wanted * fade, throttle.accepted * fade + 1.0, now_s, now_s)


def admitted_share(throttle: Throttle, now_s: float) -> float:
    """Return with which probability a request may still be sent there, from `ADMITTED_MIN` to 1."""
    fade = _fade(throttle, now_s)
    wanted, accepted = throttle.wanted * fade, throttle.accepted * fade
    refused = (wanted - ACCEPTS_WEIGHT * accepted) / (wanted + 1.0)
    return min(1.0, max(ADMITTED_MIN, 1.0 - refused))


def _fade(throttle: Throttle, now_s: float) -> float:
    return exp(min(0.0, throttle.at_s - now_s) / MEMORY_S)
