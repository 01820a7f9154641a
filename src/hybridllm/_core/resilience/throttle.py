"""How much may still be sent to a candidate that refuses nearly everything.

Where every candidate of a request is refused by its breaker, the request is tried all the same (panic):
breakers never empty a candidate set. Yet a dead fleet must not be kept under full load. So each is admitted
with a probability that depends on how it did lately: as many requests as were accepted, times two, pass; of
the rest a share that falls. With half of them failing everything goes on; with all failing next to nothing,
within half a minute. One request a second always passes, so that a quiet service tries.

What is turned away here is not counted as sent. The client-side throttling of the SRE book, where this comes
from, counts it: then at half of all failing, throttling feeds itself, and noise alone ends in an outage.

Source: Beyer et al., "Site Reliability Engineering", 2016, chapter 21.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

ACCEPTS_WEIGHT = 2.0
ADMITTED_MIN = 0.02
MEMORY_S = 30.0
ALWAYS_EVERY_S = 1.0

_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Throttle:
    """Requests sent to a candidate, and those that it answered; both fade over `MEMORY_S`.

    Attributes:
        sent: Counted when they are sent, not when they end: else a hanging backend would look idle.
        at_s: When both were last brought up to date.
        sent_at_s: When the last was sent; `accepted_at_s`: when it last answered.
    """

    sent: float = 0.0
    accepted: float = 0.0
    at_s: float = 0.0
    sent_at_s: float = _NEVER
    accepted_at_s: float = _NEVER


UNTRIED = Throttle()


def after_sent(throttle: Throttle, now_s: float, *, count: int = 1) -> Throttle:
    """Return the counts after one more request was sent, or several lately."""
    fade = _fade(throttle, now_s)
    sent = throttle.sent * fade + count
    return Throttle(sent, throttle.accepted * fade, now_s, now_s, throttle.accepted_at_s)


def after_accepted(throttle: Throttle, now_s: float, *, count: int = 1) -> Throttle:
    """Return the counts after the candidate answered a request, or several lately."""
    fade = _fade(throttle, now_s)
    accepted = throttle.accepted * fade + count
    return Throttle(throttle.sent * fade, accepted, now_s, throttle.sent_at_s, now_s)


def admitted_share(throttle: Throttle, now_s: float) -> float:
    """Return with which probability a request may still be sent there, from `ADMITTED_MIN` to 1."""
    if now_s - throttle.sent_at_s >= ALWAYS_EVERY_S:
        return 1.0
    fade = _fade(throttle, now_s)
    sent, accepted = throttle.sent * fade, throttle.accepted * fade
    refused = (sent - ACCEPTS_WEIGHT * accepted) / (sent + 1.0)
    return min(1.0, max(ADMITTED_MIN, 1.0 - refused))


def _fade(throttle: Throttle, now_s: float) -> float:
    return exp(min(0.0, throttle.at_s - now_s) / MEMORY_S)
