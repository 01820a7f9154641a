"""Volumes over restarts and through trouble with their file: what is lost is told, what can be is kept."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from hybridllm import Policy
from hybridllm._core.policy.hybrid import Volume
from hybridllm._core.volume.days import Amounts
from hybridllm._core.volume.stored import Stored, Wanted
from hybridllm._runtime.volume_book import VolumeBook
from hybridllm._runtime.volume_keeper import FLUSH_S, VolumeKeeper
from hybridllm._runtime.volumes import Volumes
from hybridllm.testing import no_leaks, run_in_virtual_time
from volume.counted import TODAY, DictStore, SetClock, policy, used

SUSTAINED = policy("volume: {tokens_per_day: {gte: 100}, sustained: 2d}")
DAY_S = 86_400.0


class Kept:
    """Volumes and what keeps them, on a clock that can be set."""

    def __init__(self, rules: Policy, store: DictStore, clock: SetClock | None = None) -> None:
        self.clock, self.store = clock or SetClock(), store
        self.book = VolumeBook("volumes.db", lambda: store)
        self.volumes = Volumes(rules, clock=self.clock, book=self.book)
        self.keeper = VolumeKeeper(self.volumes)

    async def begin(self) -> None:
        self.keeper.begin()
        await self.keeper.known()

    def sends(self, tokens: int, **fields: Any) -> None:
        self.volumes.count(used(tokens, **fields), self.clock.monotonic_s())

    def held(self, tenant: str | None = None) -> list[str]:
        held = self.volumes.held(self.clock.monotonic_s(), tenant=tenant, task=None)
        return sorted(f"{one.scope} {one.window}" for one, _ in held if isinstance(one, Volume))


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def guarded() -> None:
        async with no_leaks():
            await main()

    run_in_virtual_time(guarded)


def test_what_came_is_in_the_file_after_ten_seconds() -> None:
    """A crash loses no more."""

    async def main() -> None:
        here = Kept(SUSTAINED, DictStore())
        await here.begin()
        await asyncio.sleep(1_000)
        here.sends(7)
        await asyncio.sleep(FLUSH_S / 2)
        here.sends(3)
        await asyncio.sleep(FLUSH_S / 2 + 0.1)
        assert here.store.tokens_of(TODAY) == 10
        here.sends(5)
        await here.keeper.close()
        assert here.store.tokens_of(TODAY) == 15

    in_virtual_time(main)


def test_days_in_a_row_go_on_after_a_restart() -> None:
    """And a condition that held goes on to hold, since when it did."""

    async def main() -> None:
        store = DictStore()
        for day in range(4):
            here = Kept(SUSTAINED, store)
            await here.begin()
            assert here.held() == ([] if day < 2 else ["all day"])
            here.sends(100)
            await asyncio.sleep(DAY_S)
            since = here.volumes.standings()[0].since
            assert (since and since.toordinal()) == (TODAY + 2 if day > 0 else None)
            await here.keeper.close()

    in_virtual_time(main)


def test_a_window_of_hours_that_held_goes_on_after_a_short_stop_and_not_after_a_long_one() -> None:
    """What came before a restart is not known to have been little; what came days ago is over."""
    rules = policy("volume: {tokens_per_day: {gte: 100}}")

    async def main() -> None:
        store = DictStore()
        here = Kept(rules, store)
        await here.begin()
        here.sends(100)
        await asyncio.sleep(2)
        assert here.held() == ["all day"]
        await here.keeper.close()
        await asyncio.sleep(3_600)
        here = Kept(rules, store)
        await here.begin()
        assert here.held() == ["all day"]
        await asyncio.sleep(DAY_S + 3_600)
        assert here.held() == []
        here.sends(100)
        await asyncio.sleep(2)
        assert here.held() == ["all day"]
        await here.keeper.close()
        await asyncio.sleep(3 * DAY_S)
        here = Kept(rules, store)
        await here.begin()
        assert here.held() == []
        await here.keeper.close()

    in_virtual_time(main)


def test_tenants_come_back_with_their_history() -> None:
    """Those that were counted last, as many as are kept."""
    rules = policy("volume: {tokens_per_day: {gte: 100}, of: tenant, sustained: 2d}")

    async def main() -> None:
        store = DictStore()
        here = Kept(rules, store)
        await here.begin()
        for _ in range(2):
            here.sends(100, tenant="acme")
            here.sends(99, tenant="other")
            await asyncio.sleep(DAY_S)
        await here.keeper.close()
        here = Kept(rules, store)
        await here.begin()
        assert here.held("other") == []
        assert here.held("acme") == ["tenant day"]
        await here.keeper.close()

    in_virtual_time(main)


def test_a_condition_that_is_new_after_a_reload_finds_the_history_of_the_file() -> None:
    """The whole and the models are counted in any case; the file has more."""

    async def main() -> None:
        store = DictStore()
        here = Kept(policy(), store)
        await here.begin()
        for _ in range(2):
            here.sends(100)
            await asyncio.sleep(DAY_S)
        here.keeper.follow(
            policy('volume: {tokens_per_day: {gte: 100}, of: "model:m", sustained: 2d}')
        )
        assert here.held() == ["model:m day"]
        await here.keeper.close()
        other = Kept(policy(), DictStore())
        other.store.days |= store.days
        await other.begin()
        other.keeper.follow(SUSTAINED)
        await asyncio.sleep(FLUSH_S + 1)
        assert other.held() == ["all day"]
        await other.keeper.close()

    in_virtual_time(main)


def test_several_processes_add_up_in_one_file() -> None:
    """None of them alone has the volume, all together have."""

    async def main() -> None:
        store = DictStore()
        both = [Kept(SUSTAINED, store), Kept(SUSTAINED, store)]
        for here in both:
            await here.begin()
        for _ in range(2):
            for here in both:
                here.sends(50)
            await asyncio.sleep(DAY_S)
        for here in both:
            here.sends(1)
        await asyncio.sleep(FLUSH_S + 1)
        assert [here.held() for here in both] == [["all day"]] * 2
        for here in both:
            await here.keeper.close()
        assert store.tokens_of(TODAY) == 100

    in_virtual_time(main)


def test_a_file_that_fails_for_a_while_costs_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Everything is written once it works again, and said."""

    async def main() -> None:
        store = DictStore()
        store.why = "database is locked"
        store.days |= {("all", TODAY - back): Amounts(1, 100) for back in (1, 2)}
        here = Kept(SUSTAINED, store)
        await here.begin()
        assert here.held() == []  # nobody knows
        here.sends(7)
        await asyncio.sleep(60)
        here.sends(3)
        store.why = ""
        await asyncio.sleep(FLUSH_S + 1)
        assert here.held() == ["all day"]
        assert store.tokens_of(TODAY) == 10
        await here.keeper.close()

    with caplog.at_level(logging.INFO, "hybridllm"):
        in_virtual_time(main)
    said = [record.getMessage() for record in caplog.records if "volumes.db" in record.message]
    assert len(said) == 2
    assert said[0].startswith("volume file volumes.db: cannot be used: database is locked. ")
    assert said[1] == "volume file volumes.db: can be used again, nothing was lost"


def test_what_could_not_be_written_at_the_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is lost silently."""

    async def main() -> None:
        store = DictStore()
        here = Kept(SUSTAINED, store)
        await here.begin()
        store.why = "disk I/O error"
        here.sends(7)
        await here.keeper.close()

    in_virtual_time(main)
    assert "could not be written at the end: the latest counts are lost" in caplog.text


def test_a_file_that_has_lost_something_takes_nothing_from_the_memory() -> None:
    """Somebody has moved it away."""

    async def main() -> None:
        store = DictStore()
        here = Kept(SUSTAINED, store)
        await here.begin()
        here.sends(100)
        await asyncio.sleep(DAY_S)
        here.sends(100)
        await asyncio.sleep(60)
        store.days.clear()
        here.sends(1)
        await asyncio.sleep(DAY_S)
        assert here.held() == ["all day"]
        await here.keeper.close()

    in_virtual_time(main)


def test_a_task_that_is_cancelled_while_it_writes_writes_once() -> None:
    """The loop ends without `aclose`: what came is in the file, and not twice."""
    store, writes = DictStore(), threading.Event()

    class Slow(DictStore):
        def exchange(self, stored: Stored, wanted: Wanted) -> Stored:
            writes.wait(2)
            return store.exchange(stored, wanted)

    async def main() -> None:
        here = Kept(SUSTAINED, Slow())
        await here.begin()
        here.sends(7)
        here.keeper._finish()  # it begins to write
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(writes.set)

    run_in_virtual_time(main)
    assert store.tokens_of(TODAY) == 7


def test_a_wall_clock_that_is_set_neither_doubles_nor_loses() -> None:
    """What came while it was wrong is in the day that it said."""

    async def main() -> None:
        here = Kept(SUSTAINED, DictStore())
        await here.begin()
        for ahead in (0, 5, -3, 0):
            here.clock.ahead = timedelta(days=ahead)
            here.volumes.beat()
            here.sends(10)
            await asyncio.sleep(60)
        await here.keeper.close()
        totals = {day - TODAY: here.store.tokens_of(day) for _, day in here.store.days}
        assert totals == {0: 20, 5: 10, -3: 10}

    in_virtual_time(main)


def test_a_child_process_leaves_its_parents_counts_to_the_parent() -> None:
    """What was counted before the fork is written once."""

    async def main() -> None:
        here = Kept(SUSTAINED, DictStore())
        await here.begin()
        here.sends(7)
        here.volumes.beat()
        here.sends(3)
        here.volumes.forked()
        here.sends(5)
        await here.keeper.close()
        assert here.store.tokens_of(TODAY) == 5

    in_virtual_time(main)
