"""What can go wrong on the way between a client and a backend, as values.

Owns the names of the toxics; `_link.py` puts them between the bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class ToxicKind(StrEnum):
    """One word per toxic."""

    LATENCY = "latency"
    BANDWIDTH = "bandwidth"
    SLICER = "slicer"
    BLACKHOLE = "blackhole"
    STALL = "stall"
    RESET = "reset"
    LIMIT_DATA = "limit_data"
    HALF_CLOSE = "half_close"
    SLOW_CLOSE = "slow_close"


AFTER_BYTES = frozenset({ToxicKind.RESET, ToxicKind.LIMIT_DATA, ToxicKind.HALF_CLOSE})


@dataclass(frozen=True, slots=True)
class Toxic:
    """One thing that is wrong with one direction of a `ToxicProxy`. Made with the class methods.

    Every one takes `probability`: the share of connections that it strikes, from 0 to 1; the proxy's
    seed decides which.

    Attributes:
        kind: Which one.
        seconds: A wait.
        jitter_s: How far the wait may differ, either way.
        size: Bytes: of a piece, in a second, or until it strikes.
        probability: The share of connections that it strikes.
    """

    kind: ToxicKind
    seconds: float = 0.0
    jitter_s: float = 0.0
    size: int = 0
    probability: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("seconds", self.seconds), ("jitter_s", self.jitter_s)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{self.kind}: {name} must be 0 or more: {value}")
        least = 1 if self.kind in {ToxicKind.BANDWIDTH, ToxicKind.SLICER} else 0
        if self.size < least:
            raise ValueError(f"{self.kind}: a number of bytes must be {least} or more: {self.size}")
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability must be from 0 to 1: {self.probability}")

    @classmethod
    def latency(cls, seconds: float, *, jitter_s: float = 0.0, probability: float = 1.0) -> Toxic:
        """Everything arrives so much later, give or take the jitter; in its order."""
        return cls(ToxicKind.LATENCY, seconds, jitter_s, probability=probability)

    @classmethod
    def bandwidth(cls, bytes_per_s: int, *, probability: float = 1.0) -> Toxic:
        """No more than so many bytes in a second, per connection."""
        return cls(ToxicKind.BANDWIDTH, size=bytes_per_s, probability=probability)

    @classmethod
    def slicer(
        cls, piece_bytes: int = 1, *, interval_s: float = 0.0, probability: float = 1.0
    ) -> Toxic:
        """Pieces of so many bytes, each in a packet of its own, with an interval between them."""
        return cls(ToxicKind.SLICER, interval_s, size=piece_bytes, probability=probability)

    @classmethod
    def blackhole(cls, *, probability: float = 1.0) -> Toxic:
        """What is sent is taken and lost, its end too; no error, ever.

        A connection that has lost something stays dark after the toxic has gone: to go on in the middle
        would be a fault that no network makes.
        """
        return cls(ToxicKind.BLACKHOLE, probability=probability)

    @classmethod
    def stall(cls, *, probability: float = 1.0) -> Toxic:
        """Nothing more is read, so that the sender's buffers fill. It all comes when the toxic has gone."""
        return cls(ToxicKind.STALL, probability=probability)

    @classmethod
    def reset(cls, *, after_bytes: int = 0, probability: float = 1.0) -> Toxic:
        """RST to both ends, once so many bytes of a connection have passed. 0: instead of the first."""
        return cls(ToxicKind.RESET, size=after_bytes, probability=probability)

    @classmethod
    def limit_data(cls, after_bytes: int, *, probability: float = 1.0) -> Toxic:
        """The connection is closed in order to both ends, once so many bytes of it have passed."""
        return cls(ToxicKind.LIMIT_DATA, size=after_bytes, probability=probability)

    @classmethod
    def half_close(cls, *, after_bytes: int = 0, probability: float = 1.0) -> Toxic:
        """This direction ends after so many bytes of it (FIN); the other one stays open."""
        return cls(ToxicKind.HALF_CLOSE, size=after_bytes, probability=probability)

    @classmethod
    def slow_close(cls, seconds: float, *, probability: float = 1.0) -> Toxic:
        """That the sender has closed is told so much later."""
        return cls(ToxicKind.SLOW_CLOSE, seconds, probability=probability)
