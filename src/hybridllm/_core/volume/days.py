"""What came on each UTC day, as far as it was counted: a day that nobody counted is not there, and not 0.

Days are numbers, as `date.toordinal` gives them; which one is today comes in, for a wall clock can be set.
After a step back one counts on into the earlier day; after a step forward there are days that nobody counted.
So nothing is dropped for its age by the calendar: the latest days are kept, whenever they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hybridllm._core.policy.hybrid import Measure

DAYS_KEPT = 800
"""More than the longest `sustained` asks for (730)."""


class Amounts(NamedTuple):
    """What was used.

    Attributes:
        requests: A request counts once, however many attempts it took; of a model or a backend, if it was
            asked for it.
        tokens_in: Prompt tokens, as reported or estimated.
        tokens_out: Completion tokens.
        cached_in: Prompt tokens that were cached, out of `told_in`: those of answers that told of it.
        pico_usd: Cost in 10^-12 USD, as far as it is known.
    """

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cached_in: int = 0
    told_in: int = 0
    pico_usd: int = 0

    def plus(self, other: Amounts) -> Amounts:
        """Return the sum."""
        return Amounts(
            self.requests + other.requests,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.cached_in + other.cached_in,
            self.told_in + other.told_in,
            self.pico_usd + other.pico_usd,
        )

    def of(self, measure: Measure) -> int:
        """Return what a condition counts; USD as 10^-12."""
        if measure is Measure.TOKENS:
            return self.tokens_in + self.tokens_out
        return self.requests if measure is Measure.REQUESTS else self.pico_usd


NOTHING = Amounts()


class Days:
    """The totals of one scope.

    Attributes:
        version: Another number whenever a day that is not today has changed.
    """

    __slots__ = ("_by_day", "_kept", "version")

    def __init__(self, kept: int = DAYS_KEPT) -> None:
        self._by_day: dict[int, Amounts] = {}
        self._kept = kept
        self.version = 0

    def __getitem__(self, day: int) -> Amounts | None:
        return self._by_day.get(day)

    def add(self, day: int, amounts: Amounts, *, today: int) -> None:
        """Count more of a day; nothing at all still makes it one that was counted."""
        known = self._by_day.get(day)
        self.put(day, amounts if known is None else known.plus(amounts), today=today)

    def put(self, day: int, amounts: Amounts, *, today: int) -> None:
        """Replace what is known of a day."""
        known = self._by_day.get(day)
        if known == amounts:
            return
        self._by_day[day] = amounts
        if day != today:
            self.version += 1
        if known is None and len(self._by_day) > self._kept:
            del self._by_day[min(self._by_day)]

    def back_from(self, day: int) -> Iterator[Amounts]:
        """Yield a day and those before it, up to the first that nobody counted."""
        while (amounts := self._by_day.get(day)) is not None:
            yield amounts
            day -= 1

    def within(self, first: int, last: int) -> dict[int, Amounts]:
        """Return the days from `first` to `last` that were counted, both included, in their order."""
        known = self._by_day
        return {day: known[day] for day in range(first, last + 1) if day in known}
