"""The live conditions of a policy, and which of them hold: looked at with totals, at a time.

Those on the whole or on something named are looked at together, about once a second. Those on a request's own
task or tenant are looked at for the one who asks: who does not ask needs no answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hybridllm._core.decide.match import Held
from hybridllm._core.money.break_even import Weighed
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.hybrid import BreakEven, Measure, Volume, Window
from hybridllm._core.volume.counter import Counter
from hybridllm._core.volume.counters import Counters
from hybridllm._core.volume.days import Days
from hybridllm._core.volume.gate import (
    MONTH_DAYS,
    NEVER,
    Bounds,
    GateState,
    Row,
    bounds_of,
    by_days,
    by_ratio,
    by_total,
    moved,
    row_of,
    share_of_ratio,
    share_of_row,
    share_of_total,
)
from hybridllm._core.volume.needs import OWN, ring_of
from hybridllm._core.volume.weighing import weighed_now

_GRACE_DAYS = 7


@dataclass(frozen=True, slots=True)
class Reading:
    """What a condition looks at, at one moment.

    Attributes:
        now: The total of its window; of days in a row: what came today so far; of break-even: the cost at
            APIs as a multiple of that of own machines. None: not known.
        says: Whether it should hold; None: not known.
        whole: False if only a part of its window was counted.
        row: Of days in a row.
        weighed: Of break-even.
    """

    now: float | None
    says: bool | None
    whole: bool = True
    row: Row | None = None
    weighed: Weighed | None = None


UNKNOWN = Reading(None, None, whole=False)


@dataclass(frozen=True, slots=True)
class Flip:
    """A condition that has begun to hold, or ended to."""

    condition: Volume | BreakEven
    whose: str
    holds: bool
    reading: Reading


class Gates:
    """Which live conditions hold.

    Attributes:
        states: Of each condition, and whom it is about; one that is not there has never held.
        held: Those that hold.
    """

    def __init__(self) -> None:
        self.states: dict[Held, GateState] = {}
        self.held: frozenset[Held] = frozenset()
        self._fixed: tuple[Volume | BreakEven, ...] = ()
        self._own: tuple[Volume, ...] = ()
        self._bounds: dict[Volume, Bounds] = {}
        # What whole days say changes once a day: (today, version of the days) -> it
        self._rows: dict[Held, tuple[tuple[int, int], Row]] = {}
        self._weighed: dict[BreakEven, tuple[tuple[int, int], Weighed | None]] = {}

    @property
    def looks_at_own(self) -> bool:
        """Whether some condition is on a request's own task or tenant."""
        return bool(self._own)

    def follow(self, policy: Policy) -> None:
        """Look at another policy's conditions; what is known of those that are the same stays."""
        volumes = [one for one in policy.live if isinstance(one, Volume)]
        self._own = tuple(one for one in volumes if one.scope in OWN)
        self._fixed = tuple(one for one in policy.live if one not in self._own)
        self._bounds = {volume: bounds_of(volume) for volume in volumes}
        self.states = {held: at for held, at in self.states.items() if held[0] in policy.live}
        self._rows.clear()
        self._weighed.clear()
        self._hold()

    def look(self, policy: Policy, counters: Counters, now_s: float, *, today: int) -> list[Flip]:
        """Look at the conditions that are not about anybody's own; return those that changed."""
        return self._looked(
            ((condition, "") for condition in self._fixed), policy, counters, now_s, today
        )

    def look_at_own(
        self,
        policy: Policy,
        counters: Counters,
        now_s: float,
        *,
        names: Mapping[str, str | None],
        today: int,
    ) -> list[Flip]:
        """Look at those about a tenant's and a task's own, for these; return those that changed."""
        asked = ((one, names[one.scope] or "") for one in self._own)
        return self._looked((held for held in asked if held[1]), policy, counters, now_s, today)

    def restore(self, states: Mapping[Held, GateState]) -> None:
        """Take over states of an earlier run, of conditions that have not changed since this one began."""
        live = {*self._fixed, *self._own}
        self.states |= {
            held: state
            for held, state in states.items()
            if held[0] in live and self.states.get(held, NEVER).since_s is None
        }
        self._hold()

    def forget(self, counters: Counters) -> None:
        """Drop what is known of names that are not counted any more."""
        gone = {
            held
            for held in self.states.keys() | self._rows.keys()
            if held[1] and counters.one(_kind_of(held[0]), held[1]) is None
        }
        for held in gone:
            self.states.pop(held, None)
            self._rows.pop(held, None)
        if not gone.isdisjoint(self.held):
            self._hold()

    def reading(
        self, held: Held, policy: Policy, counters: Counters, now_s: float, *, today: int
    ) -> Reading:
        """Return what a condition looks at."""
        condition, whose = held
        holds = self.states.get(held, NEVER).holds
        if isinstance(condition, BreakEven):
            weighed = self._weighed_now(condition, policy, counters, today)
            exact = None if weighed is None else weighed.ratio
            ratio = None if exact is None else float(exact)
            says = by_ratio(condition, ratio, holds=holds)
            return Reading(ratio, says, weighed=weighed)
        counter = counters.one(condition.scope, whose) if whose else counters.known(condition.scope)
        if counter is None:
            return UNKNOWN
        if condition.sustained_days:
            return self._of_days(held, condition, counter.days, today, holds=holds)
        return self._of_total(condition, counter, now_s, today, holds=holds)

    def share(self, held: Held, reading: Reading) -> float:
        """Return how near a condition is to where it begins to hold: from 1 on it is there, or holds."""
        condition, now = held[0], reading.now
        if isinstance(condition, BreakEven):
            share = share_of_ratio(condition, now)
        elif reading.row is not None:
            share = share_of_row(condition, self._bounds[condition], reading.row, now or 0)
        elif now is not None:
            share = share_of_total(self._bounds[condition], now, whole=reading.whole)
        else:
            share = 0.0
        return max(1.0, share) if held in self.held else share

    def _looked(
        self,
        asked: Iterable[Held],
        policy: Policy,
        counters: Counters,
        now_s: float,
        today: int,
    ) -> list[Flip]:
        flips = []
        for held in asked:
            state = self.states.get(held, NEVER)
            reading = self.reading(held, policy, counters, now_s, today=today)
            dwell_s = held[0].min_dwell_s
            after = moved(state, reading.says, dwell_s=dwell_s, now_s=now_s)
            if after is not state:
                self.states[held] = after
                flips.append(Flip(*held, after.holds, reading))
        if flips:
            self._hold()
        return flips

    def _of_total(
        self, volume: Volume, counter: Counter, now_s: float, today: int, *, holds: bool
    ) -> Reading:
        bounds, ring = self._bounds[volume], ring_of(volume)
        if ring is None:
            total, whole = month_total(counter.days, volume.measure, today=today)
        else:
            total, whole = counter.total(ring, now_s)
        says = by_total(bounds, total, whole=whole, holds=holds)
        return Reading(total, says, whole)

    def _of_days(
        self, held: Held, volume: Volume, days: Days, today: int, *, holds: bool
    ) -> Reading:
        bounds, key = self._bounds[volume], (today, days.version)
        known = self._rows.get(held)
        if known is None or known[0] != key:
            known = self._rows[held] = (key, row_of(volume, bounds, days, today=today))
        row = known[1]
        amounts = days[today]
        so_far = None if amounts is None else amounts.of(volume.measure)
        return Reading(so_far, by_days(volume, row, holds=holds), row=row)

    def _weighed_now(
        self, condition: BreakEven, policy: Policy, counters: Counters, today: int
    ) -> Weighed | None:
        models = (counters.fixed.get(f"model:{model}") for model in policy.models)
        key = (today, sum(counter.days.version for counter in models if counter is not None))
        known = self._weighed.get(condition)
        if known is None or known[0] != key:
            weighed = weighed_now(condition, policy, counters, today=today)
            known = self._weighed[condition] = (key, weighed)
        return known[1]

    def _hold(self) -> None:
        self.held = frozenset(held for held, state in self.states.items() if state.holds)


def month_total(days: Days, measure: Measure, *, today: int) -> tuple[int, bool]:
    """Return what came today and on the 29 days before, and whether that is all that came.

    A gap among them is no loss: nobody counted, because nothing was sent. The beginning is: unless a day
    of the week before them was counted, the history begins later.
    """
    first = today - MONTH_DAYS + 1
    total = sum(amounts.of(measure) for amounts in days.within(first, today).values())
    return total, bool(days.within(first - _GRACE_DAYS, first))


def _kind_of(condition: Volume | BreakEven) -> str:
    return condition.scope if isinstance(condition, Volume) else ""


def looks_at_hours(condition: Volume | BreakEven) -> bool:
    """Whether a condition looks at a day or less: what came before a longer stop says nothing now."""
    short = (Window.MINUTE, Window.HOUR, Window.DAY)
    return (
        isinstance(condition, Volume) and not condition.sustained_days and condition.window in short
    )
