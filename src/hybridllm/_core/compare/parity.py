"""Whether a cheaper model does as well as the one that answers: a count of agreements, and what it proves.

Owns when a model may be proposed and when it is rolled back. It is proposed when the lower end of the 95 %
interval (Wilson's) of its share of agreements over a whole window reaches what is asked for: a lucky run of
twenty proves nothing. It is rolled back when the share itself falls below that.

Source of the interval: E. B. Wilson, Journal of the American Statistical Association 22 (1927), 209-212.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil, sqrt

_Z = 1.96
_Z2 = _Z * _Z


class Standing(StrEnum):
    """What is known of a model that is compared."""

    WATCHED = "watched"  # too few samples, or too few of them agree
    HELD = "held"  # parity holds
    LOST = "lost"  # it held, and does not any more


@dataclass(frozen=True, slots=True)
class ParityConfig:
    """What is asked for.

    Attributes:
        share_min: Of the answers, that must agree; below 1.
        samples: So many of the latest are looked at; at least `samples_needed(share_min)`.
    """

    share_min: float
    samples: int


@dataclass(frozen=True, slots=True)
class Parity:
    """The latest comparisons.

    Attributes:
        seen: How many there are, up to the window.
        bits: Each of them, the latest lowest; 1: the answers agreed.
    """

    seen: int = 0
    bits: int = 0
    standing: Standing = Standing.WATCHED

    @property
    def agreed(self) -> int:
        """How many agreed."""
        return self.bits.bit_count()

    @property
    def share(self) -> float | None:
        """Of those seen; None: none is."""
        return self.agreed / self.seen if self.seen else None

    @property
    def share_low(self) -> float:
        """The lower end of the 95 % interval; 0 with none seen."""
        return lower_bound(self.agreed, self.seen)


UNSEEN = Parity()


def after_sample(parity: Parity, config: ParityConfig, *, agreed: bool) -> Parity:
    """Return what is known after one more comparison."""
    bits = ((parity.bits << 1) | agreed) & ((1 << config.samples) - 1)
    after = replace(parity, seen=min(parity.seen + 1, config.samples), bits=bits)
    if after.standing is Standing.HELD:
        lost = after.agreed < config.share_min * after.seen
        return replace(after, standing=Standing.LOST) if lost else after
    if after.seen == config.samples and after.share_low >= config.share_min:
        return replace(after, standing=Standing.HELD)
    return after


def lower_bound(agreed: int, seen: int) -> float:
    """Return the lower end of Wilson's 95 % interval of a share; 0 if nothing was seen."""
    if not seen:
        return 0.0
    share = agreed / seen
    middle = share + _Z2 / (2 * seen)
    spread = _Z * sqrt(share * (1 - share) / seen + _Z2 / (4 * seen * seen))
    return max(0.0, (middle - spread) / (1 + _Z2 / seen))


def samples_needed(share_min: float) -> int:
    """Return how many samples, all of which agree, are enough to prove a share."""
    return max(1, ceil(_Z2 * share_min / (1 - share_min) - 1e-9))
