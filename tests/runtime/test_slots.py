"""A backend with a limit never has more requests than that; who waits is served by urgency, or told when.

In virtual time, through a router; where every order of events matters, through the slots themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hybridllm import InvalidRequest, Overloaded, receipt
from hybridllm.testing import Reply, SentRequest, run_in_virtual_time
from runtime.reloading import put, reloading
from runtime.world import KEY, Script, policy, scripted

ANSWER = Reply.chat("fine")
TWO = "concurrency: 2"


class Tally:
    """Answers after a while, and knows how many requests were under way at once, and whose."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.order: list[str] = []

    def __call__(self, sent: SentRequest) -> Reply:
        self.order.append(sent.json["messages"][0]["content"])
        return ANSWER.after(self.seconds)


async def say(here: Script, text: str, **params: Any) -> Any:
    return await here.chat(messages=[{"role": "user", "content": text}], **params)


async def outcome_of(make: Awaitable[Any]) -> Any:
    """What it returned, or raised."""
    try:
        return await make
    except Exception as error:  # noqa: BLE001 - the test looks at whatever it is
        return error


async def at_once(*makes: Awaitable[Any]) -> list[Any]:
    """What each returned or raised."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome_of(make)) for make in makes]
    return [task.result() for task in tasks]


def most_at_once(here: Script, name: str) -> Callable[[], int]:
    """Watch how many requests a backend has, at every step of the loop; call it for the most."""
    most = [0]

    async def watch() -> None:
        while True:
            there = [one for one in here.wire.sent_to(f"{name}.test") if not one.closed]
            most[0] = max(most[0], len(there))
            await asyncio.sleep(0.01)

    task = asyncio.get_running_loop().create_task(watch())

    def ended() -> int:
        task.cancel()
        return most[0]

    return ended


def seen(here: Script, name: str = "eu") -> tuple[int, int] | None:
    """(limit, waiting)."""
    return here.router._engine.fleet.slots.seen(name)


def nothing_promised(here: Script) -> bool:
    lanes = here.router._engine.fleet.slots._lanes.values()
    return all(lane.promised == 0 and lane.waiting == 0 for lane in lanes)


def test_a_fixed_limit_is_never_exceeded_and_the_queue_is_twice_as_long() -> None:
    """Of ten at once two go, four wait, and four are told at once when to come back."""

    async def main() -> None:
        async with scripted(policy("eu", each=TWO), eu=Tally(0.4)) as here:
            most = most_at_once(here, "eu")
            began = asyncio.get_running_loop().time()
            found = await at_once(*(say(here, str(number)) for number in range(10)))
            refused = [one for one in found if isinstance(one, Overloaded)]
            assert len(refused) == 4
            assert found[6:] == refused
            assert all(one.retry_after_s > 0 for one in refused)
            assert all(not receipt(one).attempts for one in refused)
            assert asyncio.get_running_loop().time() - began == pytest.approx(1.2, abs=0.01)
            assert most() == 2
            assert nothing_promised(here)

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("params", "waits_s"),
    [
        pytest.param({}, 1.0, id="interactive"),
        pytest.param({"deadline_s": 4}, 0.4, id="a-tenth-of-the-time"),
        pytest.param({"priority": "batch"}, 10.0, id="batch"),
        pytest.param({"priority": "batch", "deadline_s": 8}, 4.0, id="half-of-the-time"),
        pytest.param({"priority": "background", "deadline_s": 300}, 30.0, id="background"),
    ],
)
def test_the_wait_for_a_slot_is_bounded(params: dict[str, Any], waits_s: float) -> None:
    """A tenth of the time that is left, or half of it where nobody looks on."""

    async def main() -> None:
        async with scripted(policy("eu", each="concurrency: 1"), eu=Tally(50.0)) as here:
            loop = asyncio.get_running_loop()
            first = loop.create_task(say(here, "first"))
            await asyncio.sleep(0.1)
            began = loop.time()
            with pytest.raises(Overloaded) as caught:
                await say(here, "second", **params)
            assert loop.time() - began == pytest.approx(waits_s, abs=0.01)
            assert caught.value.retry_after_s >= 0.1
            assert "concurrency" in str(caught.value)
            assert seen(here) == (1, 0)
            await first

    run_in_virtual_time(main)


def test_the_more_urgent_goes_first_and_of_equals_who_came_first() -> None:
    """One slot; six wait in one order and are served in another."""

    async def main() -> None:
        tally = Tally(0.1)
        text = policy("eu", each="concurrency: {start: 3, min: 3, max: 3}")
        async with scripted(text, eu=tally) as here:
            waiting = [
                ("g1", "background"),
                ("b1", "batch"),
                ("i1", "interactive"),
                ("g2", "background"),
                ("b2", "batch"),
                ("i2", None),
            ]
            makes = [say(here, f"first{number}") for number in range(3)]
            makes += [say(here, name, priority=priority) for name, priority in waiting]
            await at_once(*makes)
            assert tally.order[3:] == ["i1", "i2", "b1", "b2", "g1", "g2"]

    run_in_virtual_time(main)


def test_the_priority_of_a_task_holds_for_its_requests() -> None:
    """A hint of the call goes before it."""

    async def main() -> None:
        tally = Tally(0.1)
        text = policy("eu", each="concurrency: 1", task="priority: background")
        async with scripted(text, eu=tally) as here:
            makes = [say(here, "first"), say(here, "task"), say(here, "hint", priority="batch")]
            await at_once(*makes)
            assert tally.order == ["first", "hint", "task"]

    run_in_virtual_time(main)


def test_where_the_queue_is_full_the_newest_of_the_least_urgent_is_sent_away() -> None:
    """For somebody more urgent; not for their equal."""

    async def main() -> None:
        tally = Tally(0.1)
        async with scripted(policy("eu", each="concurrency: 2"), eu=tally) as here:
            names = [("f1", None), ("f2", None), ("g1", "background"), ("b1", "batch")]
            names += [("g2", "background"), ("b2", "batch")]  # the queue is full now
            names += [("b3", "batch"), ("i1", "interactive"), ("g3", "background")]
            names += [("i2", None), ("i3", None), ("i4", None)]
            makes = [say(here, name, priority=priority) for name, priority in names]
            found = dict(zip([name for name, _ in names], await at_once(*makes), strict=True))
            shed = {name for name, one in found.items() if isinstance(one, Overloaded)}
            # b3 sends g2 away, i1 g1; g3 finds nobody less urgent; i2 b3, i3 b2, i4 b1.
            assert shed == {"g1", "g2", "g3", "b1", "b2", "b3"}
            assert tally.order == ["f1", "f2", "i1", "i2", "i3", "i4"]
            assert nothing_promised(here)

    run_in_virtual_time(main)


def test_who_is_sent_away_from_one_queue_goes_on_waiting_in_another() -> None:
    """A request for either of two backends loses its place at one of them."""
    routes = (
        "  - {name: both, when: {tenant: both}, use: [{model: m, on: [eu, us]}]}\n"
        "  - {name: eu, when: {tenant: eu}, use: [{model: m, on: [eu]}]}\n"
    )
    text = policy("eu", "us", each="concurrency: 1").replace("routes:\n", "routes:\n" + routes)

    async def main() -> None:
        eu, us = Tally(0.3), Tally(0.2)
        async with scripted(text, eu=eu, us=us) as here:
            makes = [say(here, "f1"), say(here, "f2"), say(here, "waits", priority="background")]
            makes += [say(here, f"eu{number}", tenant="eu") for number in range(2)]
            found = await at_once(*makes)
            assert not [one for one in found if isinstance(one, Exception)]
            assert us.order == ["f2", "waits"]
            assert eu.order == ["f1", "eu0", "eu1"]
            assert nothing_promised(here)

    run_in_virtual_time(main)


def test_a_full_backend_is_gone_round() -> None:
    """Whoever has a slot is asked first, and that costs nothing of the retry budget."""

    async def main() -> None:
        text = policy("eu", "us", each=TWO)
        async with scripted(text, eu=Tally(), us=Tally()) as here:
            found = await at_once(*(here.chat() for _ in range(4)))
            assert [receipt(one).attempts[0].backend for one in found] == ["eu"] * 2 + ["us"] * 2

    run_in_virtual_time(main)


def test_who_waits_for_two_takes_the_first_slot_of_either() -> None:
    """And stands in no queue any more."""

    async def main() -> None:
        text = policy("eu", "us", each="concurrency: 1")
        async with scripted(text, eu=Tally(5.0), us=Tally(0.3)) as here:
            makes = [here.chat(), here.chat(), here.chat()]
            found = await at_once(*makes)
            assert [receipt(one).attempts[0].backend for one in found] == ["eu", "us", "us"]
            assert receipt(found[2]).duration_s == pytest.approx(0.6, abs=0.01)
            assert nothing_promised(here)

    run_in_virtual_time(main)


def test_two_slots_that_come_free_at_once_go_to_two() -> None:
    """Promised on one backend while another frees: nobody has two, and nobody is forgotten."""

    async def main() -> None:
        text = policy("eu", "us", each="concurrency: 1")
        async with scripted(text, eu=Tally(0.3), us=Tally(0.3)) as here:
            found = await at_once(*(here.chat() for _ in range(4)))
            ends = [receipt(one).duration_s for one in found]
            assert ends == pytest.approx([0.3, 0.3, 0.6, 0.6], abs=0.01)
            assert sorted(receipt(one).attempts[0].backend for one in found[2:]) == ["eu", "us"]
            assert nothing_promised(here)

    run_in_virtual_time(main)


def test_a_slot_is_held_until_its_stream_is_closed() -> None:
    """Its head and its first token are not its end; nor is the last token that was read."""

    async def main() -> None:
        stream = Reply.chat_stream(["a", "b", "c"]).paced(0.1)
        async with scripted(policy("eu", each="concurrency: 1"), eu=stream) as here:
            first = await here.stream()
            with pytest.raises(Overloaded):
                await here.stream()
            waiting = asyncio.get_running_loop().create_task(here.stream())
            await asyncio.sleep(0.1)
            assert here.sent("eu") == 1
            await first.close()
            second = await waiting
            assert here.sent("eu") == 2
            await second.close()
            assert nothing_promised(here)

    run_in_virtual_time(main)


@pytest.mark.parametrize("failure", ["stale_connection", "reset"])
def test_a_repeat_does_not_exceed_the_limit(failure: str) -> None:
    """The slot of a failed attempt goes to who waits; the repeat waits for another."""
    text = policy("eu", each="concurrency: {start: 1, min: 1, max: 1}")

    async def main() -> None:
        steps = [Reply.fail(failure).after(0.1), *[ANSWER.after(0.1)] * 3]
        async with scripted(text, eu=steps) as here:
            most = most_at_once(here, "eu")
            found = await at_once(*(here.chat(priority="batch") for _ in range(3)))
            assert not [one for one in found if isinstance(one, Exception)]
            assert most() == 1
            assert nothing_promised(here)

    run_in_virtual_time(main)


def test_a_slot_is_needed_in_panic_too() -> None:
    """A backend whose breaker is open, and whose slots hang, gets no more than its limit."""
    text = policy("eu", each=TWO, repeats=0, timeouts="attempt: 20s")

    async def main() -> None:
        async with scripted(text, eu=[*[Reply.status(503)] * 5, Reply.hang()]) as here:
            for _ in range(5):
                await outcome_of(here.chat())
            assert here.router._engine.fleet.breakers
            for _ in range(6):
                await at_once(*(here.chat(deadline_s=4) for _ in range(3)))
            assert here.sent("eu") <= 5 + 2 * 6

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("now", "sent"),
    [
        pytest.param("concurrency: 2", 2, id="raised"),
        pytest.param("", 3, id="removed"),
        pytest.param("concurrency: 1", 1, id="the-same"),
    ],
)
def test_who_waits_hears_of_a_reload(now: str, sent: int, tmp_path: Path) -> None:
    """A limit that is gone lets everybody go; one that is raised, as many as there is room for."""

    async def main() -> None:
        path = tmp_path / "p.yaml"
        before, after = policy("eu", each="concurrency: 1"), policy("eu", each=now) + "# new\n"
        async with reloading(path, before, {"eu": Tally(0.9)}, environ={"KEY": KEY}) as here:
            loop = asyncio.get_running_loop()
            tasks = [loop.create_task(here.chat(priority="batch")) for _ in range(3)]
            await asyncio.sleep(0.1)
            assert (here.sent("eu"), seen(here)) == (1, (1, 2))
            put(path, after)
            assert await here.router.reload()
            await asyncio.sleep(0.1)
            assert here.sent("eu") == sent
            await asyncio.wait(tasks)
            assert all(task.result() for task in tasks)
            assert nothing_promised(here)

    run_in_virtual_time(main)


def test_a_hundred_cancelled_mid_flight_leave_nothing() -> None:
    """Half of them wait for a slot, half have one; in-flight is 0 the moment they are gone."""

    async def main() -> None:
        text = policy("eu", each="concurrency: 40")
        async with scripted(text, eu=Reply.hang()) as here:
            loop = asyncio.get_running_loop()
            tasks = [loop.create_task(here.chat()) for _ in range(100)]
            await asyncio.sleep(0.1)
            fleet = here.router._engine.fleet
            assert (fleet.in_flight, seen(here)) == (40, (40, 60))
            for task in tasks[::2] + tasks[1::2]:
                task.cancel()
            await asyncio.wait(tasks)
            assert fleet.in_flight == 0
            assert nothing_promised(here)
            here.wire.script("eu.test", ANSWER)
            assert await here.chat()

    run_in_virtual_time(main)


def test_a_hundred_cancelled_without_a_limit_leave_nothing() -> None:
    async def main() -> None:
        async with scripted(policy("eu"), eu=Reply.hang()) as here:
            loop = asyncio.get_running_loop()
            tasks = [loop.create_task(here.chat(stream=number % 2 == 0)) for number in range(100)]
            await asyncio.sleep(0.1)
            assert here.router._engine.fleet.in_flight == 100
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert here.router._engine.fleet.in_flight == 0

    run_in_virtual_time(main)


def test_a_request_that_cannot_be_said_keeps_no_slot() -> None:
    """It waited for one, and was promised it; the next in the queue has it at once."""

    async def main() -> None:
        async with scripted(policy("eu", each="concurrency: 1"), eu=Tally(0.5)) as here:
            bad = here.chat(extra_body={"odd": float("nan")})
            found = await at_once(here.chat(), bad, here.chat())
            assert isinstance(found[1], InvalidRequest)
            assert not isinstance(found[2], Exception)
            assert nothing_promised(here)

    run_in_virtual_time(main)
