"""Load x faults x seeds: every simulation that the figures come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from survive.figures import Figures, figures
from survive.textbook import TextbookFigures, run_textbook
from survive.worlds import Cell, run

MISLEADING = frozenset({"garbage", "slow x10"})
"""Faults that no status of a health page shows: the breaker has to try again, after 36 s at most."""

DEAD = ("refuse", "503", "hang", "blackhole", "reset", "garbage")
"""Six ways of being dead."""

FAULTS = (
    *((fault, 1, 3) for fault in DEAD),
    ("slow x10", 1, 3),
    ("20 % errors", 1, 3),
    ("flapping", 1, 3),
    ("refuse", 2, 3),
    ("hang", 2, 3),
    ("20 % errors", 3, 3),
    ("50 % errors", 3, 3),
    ("refuse", 3, 3),
    ("refuse", 1, 2),
    ("hang", 1, 2),
)
# Requests a second -> seconds before, during and after the fault: as long as it takes to see something.
RATES = {
    0.2: (60.0, 900.0, 120.0),
    2.0: (30.0, 180.0, 60.0),
    20.0: (20.0, 90.0, 30.0),
    100.0: (10.0, 80.0, 20.0),
    500.0: (4.0, 10.0, 11.0),
}
QUICK = {2.0: (20.0, 60.0, 40.0), 25.0: (5.0, 65.0, 15.0)}
SEEDS, QUICK_SEEDS = (1, 2, 3), (1,)
BROWN_OUT = ("20 % errors", 3, 3, 200.0)
"""Acceptance: all three at 20 % random errors, 200 requests a second."""

PROCESSES_MAX = 2

Result = TypeVar("Result")


def cells(*, quick: bool, seeds: Sequence[int] | None = None) -> list[Cell]:
    """Return every cell of the matrix, the long ones first."""
    rates = QUICK if quick else RATES
    chosen = seeds or (QUICK_SEEDS if quick else SEEDS)
    found = [
        Cell(fault, struck, of, rate, seed, *_times(fault, times))
        for seed in chosen
        for fault, struck, of in FAULTS
        for rate, times in rates.items()
    ]
    return sorted(found, key=lambda cell: -cell.rate * cell.end_s)


def brown_outs(*, quick: bool) -> list[Cell]:
    """Return the cells that are run through the textbook's breaker as well; always three seeds."""
    fault, struck, of, rate = BROWN_OUT
    times = (5.0, 20.0, 5.0) if quick else (10.0, 90.0, 10.0)
    return [Cell(fault, struck, of, rate, seed, *times) for seed in SEEDS]


def measured(
    matrix: Sequence[Cell], *, processes: int, progress: Callable[[int, int], None]
) -> Iterator[Figures]:
    """Run cells in some processes and yield their figures as they come, in order."""
    yield from _mapped(of_cell, matrix, processes=processes, progress=progress)


def textbook(matrix: Sequence[Cell], *, processes: int) -> list[TextbookFigures]:
    """Run cells through the textbook's breakers."""
    return list(
        _mapped(run_textbook, matrix, processes=processes, progress=lambda _done, _all: None)
    )


def _times(fault: str, times: tuple[float, float, float]) -> tuple[float, float, float]:
    """Where no health page tells that it is over, the breaker may wait for 36 s before it tries."""
    calm_s, fault_s, after_s = times
    return calm_s, fault_s, max(after_s, 45.0) if fault in MISLEADING else after_s


def of_cell(cell: Cell) -> Figures:
    return figures(run(cell))


def _mapped(
    function: Callable[[Cell], Result],
    items: Sequence[Cell],
    *,
    processes: int,
    progress: Callable[[int, int], None],
) -> Iterator[Result]:
    progress(0, len(items))
    with ProcessPoolExecutor(min(processes, PROCESSES_MAX)) as pool:
        for done, result in enumerate(pool.map(function, items), 1):
            progress(done, len(items))
            yield result
