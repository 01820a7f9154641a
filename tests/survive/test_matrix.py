"""Load x faults, a small part of what `nox -s survive` measures, at the same bars."""

from __future__ import annotations

import pytest

from survive.bars import bound
from survive.figures import Figures, figures
from survive.matrix import DEAD, MISLEADING
from survive.worlds import FIRST_TOKEN_LIMIT_S, SLOW_TO_TELL, Cell, run

QUIET, BUSY = 2.0, 25.0
TIMES = {QUIET: (5.0, 30.0, 15.0), BUSY: (3.0, 10.0, 10.0)}


def seen(fault: str, struck: int, of: int, rate: float) -> Figures:
    return figures(run(Cell(fault, struck, of, rate, 11, *TIMES[rate])))


@pytest.mark.parametrize("rate", [QUIET, BUSY], ids=["2-per-s", "25-per-s"])
@pytest.mark.parametrize(
    ("fault", "struck", "of"),
    [
        *((fault, 1, 3) for fault in (*DEAD, "slow x10")),
        ("refuse", 2, 3),
        ("hang", 2, 3),
        ("hang", 1, 2),
    ],
)
def test_as_long_as_one_backend_is_well_everybody_is_answered(
    fault: str, struck: int, of: int, rate: float
) -> None:
    """Within the budget, with the delay of one limit at most; and the others come back within 10 s."""
    found = seen(fault, struck, of, rate)
    assert found.success == 1.0
    assert found.attempts <= bound(found)
    limit_s = FIRST_TOKEN_LIMIT_S if fault in SLOW_TO_TELL else 0.0
    assert (found.failover_p99_s or 0.0) <= struck * limit_s + 0.05
    if rate == BUSY:
        assert found.trip_s is not None
        assert found.trip_s <= limit_s + (2.0 if fault in DEAD else 5.0)
        if fault not in MISLEADING:
            assert found.closed_s is None or found.closed_s <= 10.0
            assert found.back_s is not None
            assert found.back_s <= 10.0


@pytest.mark.parametrize("rate", [QUIET, BUSY], ids=["2-per-s", "25-per-s"])
@pytest.mark.parametrize(("fault", "least"), [("20 % errors", 0.95), ("50 % errors", 0.55)])
def test_when_all_fail_now_and_then_most_are_answered(
    fault: str, least: float, rate: float
) -> None:
    """Breakers never empty the set, and repeats have a bound."""
    found = seen(fault, 3, 3, rate)
    assert found.success >= least
    assert found.attempts <= bound(found)


def test_random_errors_of_one_backend_open_no_breaker_at_volume() -> None:
    """20 % at 25 requests a second: five in a row come every few minutes, and mean nothing."""
    found = seen("20 % errors", 1, 3, BUSY)
    assert found.success == 1.0
    assert found.trip_s is None


def test_a_backend_that_comes_and_goes_costs_nobody_an_answer() -> None:
    """Five seconds down, five up."""
    assert seen("flapping", 1, 3, BUSY).success == 1.0


def test_a_total_outage_is_told_at_once_and_not_hammered() -> None:
    """Errors within 10 ms; less than half of the load upstream after a minute; back within 10 s."""
    found = figures(run(Cell("refuse", 3, 3, 20.0, 11, calm_s=4, fault_s=75, after_s=11)))
    assert found.answered == 0
    assert found.error_p99_s is not None
    assert found.error_p99_s <= 0.010
    assert found.load is not None
    assert found.load <= 0.5
    assert found.back_s is not None
    assert found.back_s <= 10.0
