"""Slots under every order of events: grants, cancellations and time limits in one and the same moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from hybridllm._core.policy.compiled import Backend, BackendKind
from hybridllm._core.resilience.limit import Concurrency
from hybridllm._runtime.slots import PRIORITIES, Slots
from hybridllm.testing import run_in_virtual_time

TICK_S = 0.25  # a float that adds up exactly, so that things do happen in one moment


@dataclass(frozen=True)
class Visit:
    """Somebody who wants a slot; all times in ticks."""

    comes: int
    wants: tuple[str, ...]
    priority: str
    waits: int
    holds: int
    leaves: int | None  # so long after it came, wherever it is


visits = st.builds(
    Visit,
    comes=st.integers(0, 4),
    wants=st.sampled_from((("a",), ("b",), ("a", "b"), ("b", "a"))),
    priority=st.sampled_from(PRIORITIES),
    waits=st.integers(0, 5),
    holds=st.integers(0, 4),
    leaves=st.one_of(st.none(), st.none(), st.integers(0, 6)),
)
counts = st.integers(1, 3)
limits = st.fixed_dictionaries({"a": counts}, optional={"b": counts})
other_limits = st.fixed_dictionaries({}, optional={"a": counts, "b": counts})


def backends(limit: dict[str, int]) -> dict[str, Backend]:
    """`a` and `b`; who is not named has no limit."""
    plain = {name: Backend(name, BackendKind.API, f"https://{name}.test/v1") for name in ("a", "b")}
    return {
        name: replace(one, concurrency=Concurrency(limit[name], limit[name], limit[name]))
        if name in limit
        else one
        for name, one in plain.items()
    }


@dataclass
class Place:
    """Two backends, their slots, and everybody who comes; checks at every step."""

    limit: dict[str, int]
    in_flight: Counter[str] = field(default_factory=Counter)
    lowered: bool = False
    served: int = 0

    def __post_init__(self) -> None:
        self.slots = Slots(self.in_flight, lambda: asyncio.get_running_loop().time())
        self.slots.follow(backends(self.limit))

    async def visit(self, one: Visit) -> None:
        """Take a slot where there is one, wait for one, or go."""
        await asyncio.sleep(one.comes * TICK_S)
        free = [name for name in one.wants if not self.slots.full(name)]
        name: str | None = free[0] if free else None
        if name is None:
            name = await self.slots.wait(
                one.wants, priority=one.priority, limit_s=one.waits * TICK_S
            )
        if name is None:
            return
        self.in_flight[name] += 1
        self.served += 1
        self.within_limits()
        try:
            await asyncio.sleep(one.holds * TICK_S)
        finally:
            self.in_flight[name] -= 1
            self.slots.freed(name)
            self.within_limits()

    def within_limits(self) -> None:
        """Never more under way and promised than there may be; nobody waits beside a free slot."""
        for name, lane in self.slots._lanes.items():
            taken = self.in_flight[name] + lane.promised
            assert lane.promised >= 0
            assert self.lowered or taken <= self.limit[name]
            waiting = [one for queue in lane.queues for one in queue if not one.granted.done()]
            assert not waiting or taken >= self.limit[name]
            assert len(waiting) <= 2 * max(3, self.limit[name])

    async def changed(self, after: int, limit: dict[str, int]) -> None:
        """A reload."""
        await asyncio.sleep(after * TICK_S)
        self.lowered = self.lowered or any(
            n not in self.limit or limit[n] < self.limit[n] for n in limit
        )
        self.limit = limit
        self.slots.follow(backends(limit))
        self.within_limits()


async def leaving(task: asyncio.Task[None], visit: Visit) -> None:
    """Cancel it in its time."""
    if visit.leaves is not None:
        await asyncio.sleep((visit.comes + visit.leaves) * TICK_S)
        task.cancel()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(visits, min_size=1, max_size=14),
    limits,
    st.lists(st.tuples(st.integers(0, 5), other_limits), max_size=2),
)
def test_nothing_is_left_whatever_comes_in_one_moment(
    everybody: list[Visit], limit: dict[str, int], reloads: list[tuple[int, dict[str, int]]]
) -> None:
    """Nobody is over a limit, nobody waits beside a free slot, and at the end every slot is free."""

    async def main() -> None:
        place = Place(limit)
        async with asyncio.TaskGroup() as group:
            for after, other in reloads:
                group.create_task(place.changed(after, other))
            for one in everybody:
                task = group.create_task(place.visit(one))
                group.create_task(leaving(task, one))
        assert place.in_flight.total() == 0
        for name, lane in place.slots._lanes.items():
            assert (lane.promised, lane.waiting) == (0, 0)
            assert not place.slots.full(name)

    run_in_virtual_time(main)


@settings(max_examples=40, deadline=None)
@given(st.lists(visits, min_size=1, max_size=14), limits)
def test_with_patience_everybody_is_served(everybody: list[Visit], limit: dict[str, int]) -> None:
    """Nobody is forgotten: who waits long enough, and is not sent away from a full queue, has a slot."""
    patient = [replace(one, waits=1_000, leaves=None) for one in everybody]

    async def main() -> None:
        place = Place(dict.fromkeys("ab", 7) | {name: 7 * count for name, count in limit.items()})
        async with asyncio.TaskGroup() as group:
            for one in patient:
                group.create_task(place.visit(one))
        assert place.served == len(patient)

    run_in_virtual_time(main)
