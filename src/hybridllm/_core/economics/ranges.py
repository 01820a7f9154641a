"""A figure that somebody knows, or knows the limits of."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class End(StrEnum):
    """Which value of a range is meant."""

    LOW = "low"
    LIKELY = "likely"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Range:
    """A figure with its limits; all three alike where it is known exactly."""

    low: Decimal
    likely: Decimal
    high: Decimal

    def __post_init__(self) -> None:
        if not self.low <= self.likely <= self.high:
            raise ValueError(f"is not in order: {self.low} to {self.likely} to {self.high}")

    @property
    def exact(self) -> bool:
        """Whether it is one number."""
        return self.low == self.high

    def at(self, end: End) -> Decimal:
        """Return one of its three values."""
        return {End.LOW: self.low, End.LIKELY: self.likely, End.HIGH: self.high}[end]

    def times(self, factor: Decimal | int) -> Range:
        """Return every value times a factor that is not negative."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)

    def swung(self, share: Decimal, *, most: Decimal | None = None) -> Range:
        """Return a range of a share below and above, at most `most`; what is a range already stays one."""
        if not self.exact:
            return self
        low, high = sorted((self.likely * (1 - share), self.likely * (1 + share)))
        return Range(low, self.likely, high if most is None else max(self.likely, min(high, most)))

    def __str__(self) -> str:
        ends = (self.low,) if self.exact else (self.low, self.likely, self.high)
        return "..".join(f"{end.normalize():f}" for end in ends)


def exactly(value: Decimal | int | str) -> Range:
    """Return a figure that is known."""
    number = Decimal(value)
    return Range(number, number, number)


def between(low: Decimal, high: Decimal) -> Range:
    """Return a figure of which the limits are known; its likely value is the middle."""
    return Range(low, (low + high) / 2, high)


NOTHING = exactly(0)
