"""A year in virtual time, with restarts and a wall clock that is set: one switch for each sustained crossing.

Traffic, a clock that is wrong for hours and restarts at odd times are drawn by a seed; what must come of them
is known: the day on which a row of ninety days is full, and the day on which four of seven were weak.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random

import pytest

from hybridllm._runtime.crossings import Crossing
from hybridllm._runtime.volume_book import VolumeBook
from hybridllm._runtime.volume_keeper import VolumeKeeper
from hybridllm._runtime.volumes import Volumes
from hybridllm.testing import run_in_virtual_time
from volume.counted import DictStore, SetClock, policy, used

RULES = policy("volume: {tokens_per_day: {gte: 500M}, sustained: 90d}")
DAYS, QUARTER_S = 365, 86_400.0 / 4
STEPS_S = (-0.5, 0.5, 3_600, -3_600, 86_400, -86_400, -3 * 86_400, 40 * 86_400)
LOW, STABLE, BURST, OUT = 40_000_000, 800_000_000, 2_000_000_000, 0


def traffic_of(day: int) -> int:
    """Tokens of a day: a burst of ten days, later a hundred and seventy stable ones with one outage."""
    if 40 <= day < 50:
        return BURST
    if 100 <= day < 270:
        return OUT if day == 215 else STABLE
    return STABLE if 290 <= day < 330 else LOW


class Machine:
    """A process that counts, is restarted, and has a wall clock that somebody sets."""

    def __init__(self, store: DictStore) -> None:
        self.store, self.clock = store, SetClock()
        self.crossings: list[tuple[int, bool]] = []
        self.keeper = self.started()

    def started(self) -> VolumeKeeper:
        book = VolumeBook("volumes.db", lambda: self.store)
        keeper = VolumeKeeper(Volumes(RULES, clock=self.clock, book=book))
        keeper.volumes.crossings.listeners.append(self.crossed)
        return keeper

    def crossed(self, crossing: Crossing) -> None:
        day = int(self.clock.monotonic_s() // 86_400)  # the wall clock may be wrong just now
        self.crossings.append((day, crossing.holds))

    async def restarted(self) -> None:
        await self.keeper.close()
        self.keeper = self.started()
        self.keeper.begin()
        await self.keeper.known()

    def sends(self, tokens: int) -> None:
        now_s = self.clock.monotonic_s()
        self.keeper.volumes.held(now_s, tenant=None, task=None)
        self.keeper.volumes.count(used(tokens), now_s)

    @contextmanager
    def set_wrong(self, seconds: float) -> Iterator[None]:
        """Meanwhile the clock is off."""
        self.clock.ahead = timedelta(seconds=seconds)
        yield
        self.clock.ahead = timedelta()


@pytest.mark.parametrize("seed", [1, 26])
def test_it_switches_once_for_each_sustained_crossing(seed: int) -> None:
    """Ten days of four times as much are no ninety days; one dead day ends nothing; no token is lost."""

    async def main() -> tuple[Machine, int]:
        machine, draw, sent = Machine(DictStore()), Random(seed), 0
        machine.keeper.begin()
        await machine.keeper.known()
        for day in range(DAYS):
            wrong_at = draw.choice((None, None, None, 0, 1, 2, 3))  # at most a quarter of a day
            for quarter in range(4):
                tokens = traffic_of(day) // 4
                with machine.set_wrong(draw.choice(STEPS_S) if quarter == wrong_at else 0.0):
                    machine.sends(tokens)
                    await asyncio.sleep(draw.choice((1.0, 60.0)))
                    if draw.random() < 0.03:
                        await machine.restarted()
                    machine.keeper.volumes.beat()
                sent += tokens
                left_s = QUARTER_S - machine.clock.monotonic_s() % QUARTER_S
                await asyncio.sleep(left_s)
        await machine.keeper.close()
        return machine, sent

    machine, sent = run_in_virtual_time(main)
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
