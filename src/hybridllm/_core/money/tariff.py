"""Everything that may be the price of a candidate's attempts, and which of it is in force.

An entry is dated, and holds from its date until a later one of the same rank. Within an entry hours of the
day come first, then the service tier that the backend says it served with, then the length of the prompt:
one step holds for the whole request. All of that is worked out when a policy is read; here it is looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import NamedTuple

from hybridllm._core.money.price import Price
from hybridllm._core.policy.conditions import GLOB_SIGNS, Hours, within

STANDARD_TIERS = frozenset({"default", "standard", "auto"})
"""What backends call the service that the plain price is for."""

SERVED_NAMES_MAX = 256
"""Names of served models that are remembered per candidate; they come from outside."""


class Atto(NamedTuple):
    """A price of a prompt token, a completion token and a request in 10^-18 USD, rounded up."""

    prompt: int
    completion: int
    request: int


class Step(NamedTuple):
    """The price of requests with more than so many prompt tokens."""

    above: int
    price: Price
    atto: Atto


Steps = tuple[Step, ...]
"""The longest first; the last is for all requests that no other is for."""


@dataclass(frozen=True, slots=True)
class Window:
    """What holds in some hours.

    Attributes:
        hours: None: whenever no other window is open.
        tiers: By the service tier that a backend names.
    """

    hours: Hours | None
    standard: Steps
    tiers: Mapping[str, Steps] = field(default_factory=lambda: MappingProxyType({}))

    def steps(self, service_tier: str | None) -> Steps | None:
        """Return the steps of a service tier; None: this price has tiers, and not this one."""
        if service_tier is None or not self.tiers:
            return self.standard
        found = self.tiers.get(service_tier)
        return self.standard if found is None and service_tier in STANDARD_TIERS else found


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A price from a date on.

    Attributes:
        since: Its first moment, in UTC; None: it has always been so.
        windows: The first that is open holds; the last is always open.
    """

    since: datetime | None
    windows: tuple[Window, ...]

    @property
    def usual(self) -> Window:
        """What holds outside all special hours."""
        return self.windows[-1]

    @property
    def price(self) -> Price:
        """What a short request costs outside all special hours, in the standard tier."""
        return self.usual.standard[-1].price

    @property
    def plain(self) -> bool:
        """Whether it is one price and nothing else: neither hours, nor tiers, nor steps."""
        return len(self.windows) == 1 and not self.usual.tiers and len(self.usual.standard) == 1

    def holds(self, at: datetime) -> bool:
        """Return whether it has begun."""
        return self.since is None or self.since <= at

    def window(self, at: datetime) -> Window:
        """Return the window that is open."""
        for window in self.windows:
            if window.hours is None or within(window.hours, at):
                return window
        raise AssertionError("the last window of an entry is always open")


@dataclass(frozen=True, slots=True, eq=False)
class SheetEntry:
    """An entry of a price sheet.

    Attributes:
        model: A name, or a pattern with *, ? and [abc]: of the served model, else the one asked, else the
            logical one.
        backend: The only backend that it is for; None: every hosted one.
    """

    model: str
    backend: str | None
    entry: Entry

    def fits(self, name: str) -> bool:
        """Return whether it is for a model of this name."""
        return self.model == name or fnmatchcase(name, self.model)

    @property
    def exactness(self) -> tuple[bool, int]:
        """A name before every pattern, of patterns the one that says more."""
        literal = [sign for sign in self.model if sign not in "*?[]"]
        return (GLOB_SIGNS.isdisjoint(self.model), len(literal))


@dataclass(frozen=True, slots=True, eq=False)
class Tariff:
    """All that may be the price of one candidate's attempts, best first.

    Attributes:
        names: Of the model: on the wire, then in the policy.
        backend: Its name.
        own: Whether it is one's own: then only what names it says what it costs.
        over: Of a sheet that goes before everything else.
        declared: Of the pair or the backend.
        sheet: The policy's own sheet.
        listed: Of the model, then of the model book; none if the backend is one's own.
    """

    names: tuple[str, ...]
    backend: str
    own: bool = False
    over: tuple[SheetEntry, ...] = ()
    declared: tuple[Entry, ...] = ()
    sheet: tuple[SheetEntry, ...] = ()
    listed: tuple[Entry, ...] = ()
    entries: tuple[Entry, ...] = field(init=False)
    _by_served: dict[str, tuple[Entry, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", tuple(self._ranked(self.names)))
        object.__setattr__(self, "_by_served", {})

    def price(
        self,
        at: datetime,
        *,
        input_tokens: int | None = 0,
        served: str | None = None,
        service_tier: str | None = None,
    ) -> Price | None:
        """Return the price in force.

        Args:
            at: When the attempt began.
            input_tokens: All of its prompt; None: nobody knows, so that a price with steps is not known.
            served: The model's name as the answer has it.
            service_tier: That the answer names.
        """
        window = self.window(at, served)
        steps = window.steps(service_tier) if window is not None else None
        if steps is None:
            return None
        if input_tokens is None:
            return steps[0].price if len(steps) == 1 else None
        return _step(steps, input_tokens).price

    def step(self, at: datetime, input_tokens: int) -> Step | None:
        """Return what a request of this length is expected to cost by, in the standard tier."""
        window = self.window(at)
        return None if window is None else _step(window.standard, input_tokens)

    def window(self, at: datetime, served: str | None = None) -> Window | None:
        """Return what is in force at a time; None: nothing is."""
        for entry in self.ranked(served):
            if entry.holds(at):
                return entry.window(at)
        return None

    def usual(self, at: datetime) -> Price | None:
        """Return the same for a short request, outside all special hours."""
        return next((entry.price for entry in self.entries if entry.holds(at)), None)

    def ranked(self, served: str | None) -> tuple[Entry, ...]:
        """Return all entries for a served model, best first."""
        if served is None or served == self.names[0] or not (self.sheet or self.over):
            return self.entries
        found = self._by_served.get(served)
        if found is None:
            if len(self._by_served) >= SERVED_NAMES_MAX:
                self._by_served.clear()
            names = dict.fromkeys((served, *self.names))
            found = self._by_served[served] = tuple(self._ranked(tuple(names)))
        return found

    def _ranked(self, names: tuple[str, ...]) -> Iterator[Entry]:
        yield from self._of(self.over, names)
        yield from self.declared
        yield from self._of(self.sheet, names)
        yield from self.listed

    def _of(self, sheet: Iterable[SheetEntry], names: tuple[str, ...]) -> list[Entry]:
        """Entries of a sheet: by the name that fits, then those for this backend, then the most exact one."""
        found = []
        for one in sheet:
            if one.backend != self.backend and (self.own or one.backend is not None):
                continue
            level = next((place for place, name in enumerate(names) if one.fits(name)), None)
            if level is not None:
                exact, literal = one.exactness
                key = (level, one.backend is None, not exact, -literal, _latest(one.entry))
                found.append((key, one.entry))
        found.sort(key=lambda ranked: ranked[0])
        return [entry for _, entry in found]

    @property
    def plain(self) -> Price | None:
        """The one price that it always is, whatever is served; None: it is not so simple, or not known."""
        if self.sheet or self.over or not self.entries:
            return None
        first = self.entries[0]
        return first.price if first.since is None and first.plain else None

    @property
    def moves(self) -> bool:
        """Whether the time has a say in the standard price."""
        first = self.entries[:1]
        return any(len(one.windows) > 1 or one.since is not None for one in first)

    @property
    def stepped(self) -> bool:
        """Whether the length of a prompt has a say."""
        return any(len(one.standard) > 1 for entry in self.entries for one in entry.windows)

    @property
    def last(self) -> Price | None:
        """What a short request costs at last, as far as is declared today."""
        return self.entries[0].price if self.entries else None

    @property
    def prices(self) -> tuple[Price, ...]:
        """Every price that there is, whatever the time, the tier and the length."""
        return tuple(
            step.price
            for entry in self.entries
            for window in entry.windows
            for steps in (window.standard, *window.tiers.values())
            for step in steps
        )

    @property
    def least(self) -> Price | None:
        """At its cheapest, each rate by itself: no standard price that it ever has is below."""
        prices = [
            step.price
            for entry in self.entries
            for window in entry.windows
            for step in window.standard
        ]
        if not prices:
            return None
        requests = [price.usd_per_request or Decimal(0) for price in prices]
        return Price(
            min(price.usd_per_mtok_in for price in prices),
            min(price.usd_per_mtok_out for price in prices),
            price_id=prices[0].price_id,
            usd_per_request=min(requests) or None,
        )


def atto_of(price: Price) -> Atto:
    """Return a price in whole numbers, for comparing."""
    return Atto(
        _atto(price.usd_per_mtok_in * 10**12),
        _atto(price.usd_per_mtok_out * 10**12),
        _atto((price.usd_per_request or Decimal(0)) * 10**18),
    )


def plain_entry(price: Price, since: datetime | None = None) -> Entry:
    """Return an entry that is one price and nothing else."""
    return Entry(since, (Window(None, (Step(-1, price, atto_of(price)),)),))


def _atto(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_CEILING))


def _step(steps: Steps, input_tokens: int) -> Step:
    for step in steps:
        if input_tokens > step.above:
            return step
    raise AssertionError("the last step is for requests of any length")


def _latest(entry: Entry) -> float:
    """The latest first, and what has always been so last."""
    return float("inf") if entry.since is None else -entry.since.timestamp()
