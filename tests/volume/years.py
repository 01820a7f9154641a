"""A year of traffic in virtual time, with restarts and a wall clock that is set now and then.

Traffic, a clock that is wrong for hours and restarts at odd times are drawn by a seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random

from hybridllm._runtime.crossings import Crossing
from hybridllm._runtime.volume_book import VolumeBook
from hybridllm._runtime.volume_keeper import VolumeKeeper
from hybridllm._runtime.volumes import Volumes
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


async def a_year(seed: int) -> tuple[Machine, int]:
    """Play a year; return what counted, and how many tokens were sent."""
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
