"""Cascade, cache, budgets, hedges, copies; calls cancelled, streams left: all the books agree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cascade.worlds import BETTER, SURE, UNSURE, cascaded
from hybridllm import HybridLLMError, Router
from hybridllm.testing import (
    LoopClock,
    Reply,
    ScriptedWire,
    SentRequest,
    no_leaks,
    run_in_virtual_time,
)
from ledger.routers import attempts, requests

CALLS = 40
MONEY = """
budgets:
  - {name: all, scope: all, usd: 0.02, per: day}
  - {name: tenants, scope: {tenant: "*"}, usd: 0.008, per: day}
  - {name: backends, scope: {backend: "*"}, usd: 0.012, per: day}
residency: {x: {cache: true}}
"""
POLICY = cascaded(
    firsts="ad",
    thens="be",
    route="\n    cache: {}\n    shadow: {model: third, share: 50%, max_usd_per_day: 1}",
    task=", hedge: {after: 50ms}",
    top=MONEY,
)


def replies(chance: Random, *texts: str) -> Callable[[SentRequest], Reply]:
    """What a backend says: mostly an answer, after a while."""

    def reply(sent: SentRequest) -> Reply:
        luck = chance.random()
        if luck < 0.15:
            return Reply.status(503) if luck < 0.1 else Reply.hang()
        text = chance.choice(texts)
        if sent.json.get("stream"):
            words = [f"{word} " for word in text.split()]
            return Reply.chat_stream(words, usage=(10, 5)).after(0.3 * chance.random())
        return Reply.chat(text, usage=(10, 5)).after(0.3 * chance.random())

    return reply


async def call(router: Router, chance: Random) -> None:
    await asyncio.sleep(2 * chance.random())
    with suppress(HybridLLMError):
        answer: Any = await router.chat.completions.create(
            messages=[{"role": "user", "content": f"canary {chance.randrange(6)}"}],
            temperature=0,
            max_tokens=50,
            stream=chance.random() < 0.4,
            task="t",
            tenant=chance.choice("xyz"),
            residency=chance.choice([None, "x"]),
            deadline_s=chance.choice([None, 1, 0.2]),
        )
        if hasattr(answer, "__aiter__"):
            async with answer:
                async for _ in answer:
                    if chance.random() < 0.1:
                        break


@pytest.mark.parametrize("seed", range(3))
def test_every_request_ends_once_in_every_book(tmp_path: Path, seed: int) -> None:
    """One row of each request, an end for each attempt, nothing reserved, nothing under way, no content."""
    chance = Random(seed)
    place = tmp_path / "ledger.db"
    first, better = replies(chance, SURE, UNSURE), replies(chance, BETTER)
    wire = ScriptedWire(
        {"a.test": first, "d.test": first, "b.test": better, "e.test": better, "c.test": first}
    )

    async def main() -> int:
        async with (
            no_leaks(),
            Router.from_text(
                POLICY,
                environ={"KEY": "sk-test-0123456789abcdef"},
                wire=wire,
                clock=LoopClock(),
                ledger=place,
                chance=chance.random,
            ) as router,
        ):
            async with asyncio.TaskGroup() as group:
                for task in [group.create_task(call(router, chance)) for _ in range(CALLS)]:
                    await asyncio.sleep(0.06 * chance.random())
                    if chance.random() < 0.3:
                        task.cancel()
            await asyncio.sleep(900)  # for the copies
            assert all(not one.reserved_usd for one in router.status().budgets)
            return router._engine.fleet.totals.requests

    asked = run_in_virtual_time(main())
    tried, ended = attempts(place), requests(place)
    assert asked == sum(one.shadow_of is None for one in ended)
    assert len({one.request_id for one in ended}) == len(ended)
    assert not {one.outcome for one in tried} & {"intent", "unknown"}
    counted = {one.request_id: one.attempts for one in ended}
    for one in tried:
        counted[one.request_id] -= 1
    assert not any(counted.values())
    assert {one.reason for one in tried} >= {"primary", "escalation"}
    assert {one.outcome for one in tried} >= {"served", "failed", "cancelled", "escalated"}
    assert any(one.shadow for one in tried)
    assert any(one.cache for one in ended)
    assert b"canary" not in b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    )
