"""A year in virtual time, with restarts and a wall clock that is set: one switch for each sustained crossing.

Traffic, a clock that is wrong for hours and restarts at odd times are drawn by a seed; what must come of them
is known: the day on which a row of ninety days is full, and the day on which four of seven were weak.
"""

from __future__ import annotations

import asyncio

import pytest

from hybridllm.testing import run_in_virtual_time
from volume.counted import DictStore
from volume.years import DAYS, STABLE, Machine, a_year


@pytest.mark.parametrize("seed", [1, 26])
def test_it_switches_once_for_each_sustained_crossing(seed: int) -> None:
    """Ten days of four times as much are no ninety days; one dead day ends nothing; no token is lost."""

    machine, sent = run_in_virtual_time(a_year(seed))
    assert [holds for _, holds in machine.crossings] == [True, False]
    for (day, _), expected in zip(machine.crossings, (190, 274), strict=True):
        assert abs(day - expected) <= 1  # a day early while the clock is a day ahead
    counted = [one for (scope, _), one in machine.store.days.items() if scope == "all"]
    assert sum(one.tokens_in for one in counted) == sent
    assert sum(one.requests for one in counted) == DAYS * 4


def test_a_day_on_which_the_process_did_not_run_is_no_day() -> None:
    """Eighty-nine days, a day of nothing, and one more are no ninety."""

    async def main() -> Machine:
        machine = Machine(DictStore())
        machine.keeper.begin()
        for day in range(180):
            if day == 89:
                await machine.keeper.close()
                await asyncio.sleep(86_400)
                await machine.restarted()
                continue
            machine.sends(STABLE)
            await asyncio.sleep(86_400)
        machine.sends(STABLE)
        await machine.keeper.close()
        return machine

    assert run_in_virtual_time(main).crossings == [(180, True)]
