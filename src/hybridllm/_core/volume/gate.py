"""Whether a live condition holds: a state that changes late, and back later.

State, totals and time in, state out. A condition begins to hold at `enter`, ends to at `exit`, and stays for
`min_dwell_s` as it is once it has changed. What is not known changes nothing: it is no yes, and no no.

`sustained` begins with a row of whole days that each reach `enter`. It ends when more than half of the last
seven days that were counted were under `exit`; of a row shorter than seven, of as many days as it has. One
day does not end it, however weak: an outage or a holiday would cost the whole row again. A mean would let it,
for a day of nothing takes a seventh off the mean. Days that nobody counted are passed over, and where more
than half of the last fourteen were not, nothing is known: they look so to a wall clock that is weeks ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from hybridllm._core.money.pico import PICO
from hybridllm._core.policy.hybrid import BreakEven, Measure, Volume
from hybridllm._core.volume.days import Days

LATEST_DAYS = 7
"""So many days, of those that were counted last, may end a condition on days in a row."""
MONTH_DAYS = 30
"""The month of a rate per month: today and the days before it."""


@dataclass(frozen=True, slots=True)
class GateState:
    """Whether a condition holds.

    Attributes:
        since_s: When it last changed, monotonic; None: it never has.
    """

    holds: bool = False
    since_s: float | None = None


NEVER = GateState()


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a condition on volume begins and ends to hold, in what `Amounts.of` counts."""

    enter: Decimal
    exit: Decimal
    below: bool

    def reached(self, amount: int) -> bool:
        """Return whether an amount is enough to begin to hold."""
        return amount < self.enter if self.below else amount >= self.enter

    def left(self, amount: int) -> bool:
        """Return whether an amount is enough to end to hold."""
        return amount >= self.exit if self.below else amount < self.exit


def bounds_of(volume: Volume) -> Bounds:
    """Return the bounds of a condition."""
    unit = PICO if volume.measure is Measure.USD else 1
    return Bounds(volume.enter * unit, volume.exit * unit, volume.below)


def moved(state: GateState, wanted: bool | None, *, dwell_s: float, now_s: float) -> GateState:
    """Return the state after a look.

    Args:
        state: Before it.
        wanted: What the totals say; None: they do not say.
        dwell_s: How long it stays as it is, once it has changed.
        now_s: Monotonic.
    """
    if wanted is None or wanted is state.holds:
        return state
    if state.since_s is not None and now_s - state.since_s < dwell_s:
        return state
    return GateState(wanted, now_s)


def by_total(bounds: Bounds, total: int, *, whole: bool, holds: bool) -> bool | None:
    """Return what a window's total says.

    Args:
        bounds: Of the condition.
        total: Of the window.
        whole: False if not all of the window was counted: then at least `total` came.
        holds: Whether the condition does now.
    """
    says = not bounds.left(total) if holds else bounds.reached(total)
    # A part of the window tells that so much came, never that so little did.
    return says if whole or says is not bounds.below else None


@dataclass(frozen=True, slots=True)
class Row:
    """What whole days say.

    Attributes:
        days: So many in a row have reached `enter`, up to yesterday.
        over: Whether the latest days that were counted end it; None: there are too few of them.
    """

    days: int
    over: bool | None


def row_of(volume: Volume, bounds: Bounds, days: Days, *, today: int) -> Row:
    """Return how many days in a row are behind us, and whether the latest are too weak."""
    in_row = 0
    for amounts in days.back_from(today - 1):
        if not bounds.reached(amounts.of(volume.measure)):
            break
        in_row += 1
    count = min(LATEST_DAYS, volume.sustained_days)
    lately = days.within(today - 2 * count, today - 1)
    latest = list(lately.values())[-count:]
    if len(latest) < count:
        return Row(in_row, None)
    weak = sum(bounds.left(amounts.of(volume.measure)) for amounts in latest)
    return Row(in_row, weak * 2 > count)


def by_days(volume: Volume, row: Row, *, holds: bool) -> bool | None:
    """Return what days in a row say."""
    if not holds:
        return row.days >= volume.sustained_days
    return None if row.over is None else not row.over


def by_ratio(condition: BreakEven, ratio: float | None, *, holds: bool) -> bool | None:
    """Return what the cost at APIs, as a multiple of the cost of own machines, says."""
    if ratio is None:
        return None
    more, less = ratio >= 1 + condition.margin, ratio < 1 - condition.margin
    if condition.above:
        return not less if holds else more
    return not more if holds else less


def share_of_ratio(condition: BreakEven, ratio: float | None) -> float:
    """Return how near the costs are to where their condition begins to hold: 1 is there."""
    if not ratio:
        return 0.0 if ratio is None or condition.above else 1.0
    if condition.above:
        return ratio / (1 + condition.margin)
    return (1 - condition.margin) / ratio


def share_of_total(bounds: Bounds, total: float, *, whole: bool) -> float:
    """Return how near a total is to where its condition begins to hold: 1 is there."""
    if bounds.below:
        if not whole:
            return 0.0
        return float(bounds.enter) / total if total else 1.0
    return total / float(bounds.enter) if bounds.enter else 1.0


def share_of_row(volume: Volume, bounds: Bounds, row: Row, so_far: float) -> float:
    """Return the share of days in a row that are behind us, with the part of today's that came `so_far`."""
    part = 0.0
    if not bounds.below and bounds.enter:
        part = min(1.0, so_far / float(bounds.enter))
    return (row.days + part) / volume.sustained_days
