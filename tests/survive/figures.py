"""What a simulation comes to, in the figures of the specification."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hybridllm.testing import Ending, Journey
from survive.worlds import Cell, Course

SHARE_BACK = 0.5  # of the share it had before
WINDOW_S = 2.0
ENOUGH = 8  # requests in a window, to speak of shares


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one simulation; None: nothing to measure there.

    Attributes:
        asked: Requests that came during the fault.
        answered: Of them; a stream that broke after its first token counts as not answered.
        requests: All of them, before and after too.
        attempts: All of them.
        amplification: Attempts per request that came during the fault.
        base_p99_s: Of answered requests before the fault.
        fault_p99_s: And during it.
        failover_p99_s: From the request's start to the attempt that served, where it is not the first.
        trip_s: From the fault's beginning until a breaker is not closed any more.
        closed_s: From the fault's end until all are closed.
        back_s: From the fault's end until the struck ones have half of their share again.
        error_p99_s: How long callers waited for an error, once the outage was half a second old.
        load: Requests that reached the fleet from the 60th second of the fault on, per request that came.
        transitions: Changes of phase during the fault.
        ill_share: Of the requests from the tenth second of the fault on, the share that reached a struck one.
    """

    cell: Cell
    asked: int
    answered: int
    requests: int
    attempts: int
    amplification: float
    base_p99_s: float | None
    fault_p99_s: float | None
    failover_p99_s: float | None
    trip_s: float | None
    closed_s: float | None
    back_s: float | None
    error_p99_s: float | None
    load: float | None
    transitions: int
    ill_share: float
    errors: tuple[tuple[str, int], ...] = ()

    @property
    def success(self) -> float:
        return self.answered / self.asked if self.asked else 1.0


def figures(course: Course) -> Figures:
    """Work out the figures of one simulation."""
    cell = course.cell
    struck = [j for j in course.journeys if cell.calm_s <= j.ask.at_s < cell.healed_s]
    calm = [j for j in course.journeys if j.ask.at_s < cell.calm_s]
    good = [j for j in struck if j.ending is Ending.ANSWERED]
    failed = [j for j in struck if j.ending is not Ending.ANSWERED]
    told = [j.duration_s for j in failed if j.ask.at_s >= cell.calm_s + settled_s(cell)]
    late_s = cell.calm_s + 60.0
    late = [j for j in struck if j.ask.at_s >= late_s]
    return Figures(
        cell=cell,
        asked=len(struck),
        answered=len(good),
        requests=len(course.journeys),
        attempts=course.fleet.requests(),
        amplification=_ratio(sum(len(j.tries) for j in struck), len(struck)),
        base_p99_s=quantile([j.duration_s for j in calm], 0.99),
        fault_p99_s=quantile([j.duration_s for j in good], 0.99),
        failover_p99_s=quantile([j.tries[-1].after_s for j in good if len(j.tries) > 1], 0.99),
        trip_s=_trip_s(course),
        closed_s=_closed_s(course),
        back_s=back_s(course),
        error_p99_s=quantile(told, 0.99),
        load=_ratio(course.fleet.requests(late_s, cell.healed_s), len(late)) if late else None,
        transitions=sum(cell.calm_s <= at_s < cell.healed_s for at_s, _ in course.phases),
        ill_share=_ratio(
            sum(course.fleet[name].requests(cell.calm_s + 10, cell.healed_s) for name in cell.ill),
            course.fleet.requests(cell.calm_s + 10, cell.healed_s),
        ),
        errors=tuple(Counter(j.error for j in struck if j.error is not None).most_common()),
    )


def settled_s(cell: Cell) -> float:
    """How long after an outage begins errors are to come at once: breakers need to have seen it."""
    return 5.0 + 20.0 / cell.rate


def _trip_s(course: Course) -> float | None:
    cell = course.cell
    for at_s, phase in course.phases:
        if at_s >= cell.calm_s and phase != "closed":
            return at_s - cell.calm_s if at_s < cell.healed_s else None
    return None


def _closed_s(course: Course) -> float | None:
    """None: nothing was open at the end of the fault. Infinite: something still was at the end."""
    cell = course.cell
    before = [phase for at_s, phase in course.phases if at_s < cell.healed_s]
    if not before or before[-1] == "closed":
        return None
    closings = [at for at, phase in course.phases if at >= cell.healed_s and phase == "closed"]
    return closings[0] - cell.healed_s if closings else math.inf


def back_s(course: Course) -> float | None:
    """Return when the struck ones have their share back; infinite: not before the end."""
    cell = course.cell
    if cell.struck == cell.of:
        served = [
            j.ended_s
            for j in course.journeys
            if j.ending is Ending.ANSWERED and j.ended_s >= cell.healed_s
        ]
        return min(served) - cell.healed_s if served else math.inf
    share = cell.struck / cell.of
    window_s = max(WINDOW_S, ENOUGH / cell.rate)
    at_s = cell.healed_s + window_s
    while at_s <= cell.end_s:
        there = sum(course.fleet[name].requests(at_s - window_s, at_s) for name in cell.ill)
        everywhere = course.fleet.requests(at_s - window_s, at_s)
        if everywhere and there / everywhere >= SHARE_BACK * share:
            return at_s - cell.healed_s
        at_s += window_s / 4
    return math.inf


def quantile(values: Iterable[float], share: float) -> float | None:
    """Return the value that `share` of all values do not exceed; None: there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def shares(journeys: Sequence[Journey]) -> Counter[str]:
    """Return how many requests each backend answered."""
    return Counter(j.served_by for j in journeys if j.served_by is not None)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
