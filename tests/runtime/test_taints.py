"""A session that has once carried a tag keeps it, if the policy says so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hybridllm import PolicyDenied, receipt
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._runtime.taints import Taints
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import policy, scripted

TAGS = "residency: {phi: {regions: [own], taint: 30d}, eu: {regions: [own, eu]}}"
REPLIES = dict.fromkeys(("own", "eu", "us"), Reply.chat("fine"))


def text(more: str = TAGS) -> str:
    return policy("us", "eu", "own", more=more)


async def asked(here: Any, **hints: Any) -> str:
    """Who answered, and which tags held."""
    told = receipt(await here.chat(**hints))
    return f"{told.attempts[0].backend} {' '.join(told.residency_tags)}".strip()


def test_a_session_keeps_the_tag_and_others_do_not() -> None:
    """From the request that carried it on, whatever later requests of the session say."""

    async def main() -> None:
        async with scripted(text(), **REPLIES) as here:
            assert await asked(here, session="a") == "us"
            assert await asked(here, session="a", residency="phi") == "own phi"
            assert await asked(here, session="a") == "own phi"
            assert await asked(here, session="a", residency="eu") == "own eu phi"
            assert await asked(here, session="b") == "us"
            assert await asked(here) == "us"
            assert await asked(here, session="b", residency="eu") == "eu eu"
            assert await asked(here, session="b") == "us"  # `eu` does not taint

    run_in_virtual_time(main)


def test_a_taint_ends_after_its_time_and_is_renewed_by_use() -> None:
    """The time runs from the last request that carried the tag, the session's own included."""

    async def main() -> None:
        async with scripted(text(), **REPLIES) as here:
            await asked(here, session="a", residency="phi")
            day_s = 86_400.0
            await asyncio.sleep(20 * day_s)
            assert await asked(here, session="a") == "own phi"
            await asyncio.sleep(20 * day_s)
            assert await asked(here, session="a") == "own phi"
            await asyncio.sleep(30 * day_s + 1)
            assert await asked(here, session="a") == "us"

    run_in_virtual_time(main)


def test_a_denied_request_taints_too_and_a_look_does_not() -> None:
    """The data was in the session, whether or not anybody saw it. `explain` asks, and changes nothing."""

    async def main() -> None:
        with_task = text().replace("tasks:", "tasks:\n  note: {residency: phi}")
        async with scripted(with_task, **REPLIES) as here:
            assert here.router.explain(session="a", residency="phi").allowed
            assert await asked(here, session="a") == "us"
            with pytest.raises(PolicyDenied):
                await here.chat(session="a", residency="phi", model="nobody")
            assert await asked(here, session="a") == "own phi"
            with pytest.raises(PolicyDenied):
                await here.chat(session="c", task="note", model="nobody")
            assert await asked(here, session="c") == "own phi"
            told = here.router.explain(session="a")
            assert told.plan.residency == ("phi",)
            assert set(told.candidates) == {"own/m"}

    run_in_virtual_time(main)


def test_requests_under_way_at_the_same_time_taint_each_other() -> None:
    """The tag holds from the moment of the decision, not from the answer."""

    async def main() -> None:
        async with scripted(text(), **REPLIES | {"own": Reply.chat("late").after(5)}) as here:
            async with asyncio.TaskGroup() as group:
                first = group.create_task(asked(here, session="a", residency="phi"))
                await asyncio.sleep(1)
                second = group.create_task(asked(here, session="a"))
            assert (first.result(), second.result()) == ("own phi", "own phi")

    run_in_virtual_time(main)


def test_without_taint_in_the_policy_nothing_is_kept() -> None:
    """It is the policy's choice."""

    async def main() -> None:
        async with scripted(text("residency: {phi: {regions: [own]}}"), **REPLIES) as here:
            assert await asked(here, session="a", residency="phi") == "own phi"
            assert await asked(here, session="a") == "us"
            assert not here.router._engine.taints._carried

    run_in_virtual_time(main)


def test_when_there_is_no_room_left_unknown_sessions_are_restricted() -> None:
    """Closed when full, until the longest taint that found no room is over; then it is told apart again."""
    rules = load_policy_text(text())[0]
    now_s = 0.0
    taints = Taints(lambda: now_s, sessions_max=2)
    for session in ("a", "b"):
        taints.carry(session, ("phi",), rules)
    assert taints.of("new", rules) == ()
    taints.carry("c", ("phi",), rules)
    assert taints.of("c", rules) == taints.of("new", rules) == ("phi",)
    assert taints.of(None, rules) == ()
    for _ in range(100):  # restricted by suspicion, they carry nothing themselves
        now_s += 1_000
        taints.carry("new", (), rules)
        taints.carry("a", (), rules)
    assert len(taints._carried) == 2
    now_s = rules.taints["phi"] + 1
    assert taints.of("new", rules) == taints.of("b", rules) == ()
    assert taints.of("a", rules) == ("phi",)  # in use all the time
    taints.carry("d", ("phi",), rules)
    assert taints.of("d", rules) == ("phi",)
    assert taints.of("new", rules) == ()
