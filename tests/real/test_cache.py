"""A real server's caches: prefixes that it has seen, and a KV cache that is full."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest

from real.routers import Pair, attempts, idle, pair, read
from real.server import BLOCK, KV_BLOCKS, SLOTS, RealServer

# A server that gets no core for seconds does not hold its slots for as long as a test looks at them.
pytestmark = pytest.mark.flaky(reruns=1)

ROUNDS = 4
WORDS_MANY = "the router sends each request to the model that can answer it now. " * 20


def never_seen(text: str) -> str:
    """The text with a beginning that no cache holds."""
    return f"{uuid.uuid4()} {text}"


async def cached(here: Pair, text: str, *, stream: bool = False) -> tuple[int, int | None]:
    """Prompt tokens of one request, and how many of them the server says it had."""
    reply = await (here.stream if stream else here.chat)(text, tokens=2)
    if stream:
        await read(reply)
    (attempt,) = attempts(reply)
    assert attempt.usage is not None
    return attempt.usage.input_tokens, attempt.usage.cached_input_tokens


async def test_a_prefix_that_was_seen_is_not_worked_on_again(server: RealServer) -> None:
    """Receipts tell how many tokens were cached: whole blocks; so do the server's counters."""
    text = never_seen(WORDS_MANY)
    async with pair(server) as here, server.client() as client:
        before = await idle(server, client)
        cold = await cached(here, text)
        warm = await cached(here, text)
        again = await cached(here, text, stream=True)
        other_end = await cached(here, text + " And then?")
        after = await idle(server, client)
    assert cold[1] == 0
    for tokens, had in (warm, again, other_end):
        assert had is not None
        assert had % BLOCK == 0
        assert cold[0] - BLOCK <= had + BLOCK <= tokens + BLOCK
    grown = {name: after[name] - before[name] for name in after}
    assert grown["prefix_cache_queries_total"] == sum(
        told[0] for told in (cold, warm, again, other_end)
    )
    assert grown["prefix_cache_hits_total"] == sum(
        told[1] or 0 for told in (warm, again, other_end)
    )


async def test_a_full_kv_cache_makes_a_running_request_wait(server: RealServer) -> None:
    """Then fewer run than there are slots, and yet no slot is free: only the queue and the cache tell.

    Who had to wait gets its whole answer all the same. A page may come between two of them: it is looked for
    in some rounds.
    """
    async with pair(server) as here, server.client() as client:
        before = await idle(server, client)
        starved: list[dict[str, float]] = []
        for _ in range(ROUNDS):
            seen, replies = await _crowded(server, client, here)
            assert [reply.usage.completion_tokens for reply in replies] == [700] * SLOTS
            assert max(g["kv_cache_usage_perc"] for g in seen) > 0.9
            starved += [
                g
                for g in seen
                if g["num_requests_running"] < SLOTS and g["num_requests_waiting"] > 0
            ]
            if starved:
                break
        after = await idle(server, client)
    assert after["num_preemptions_total"] > before["num_preemptions_total"]
    assert starved
    assert here.asked_api == 0


async def _crowded(
    server: RealServer, client: httpx.AsyncClient, here: Pair
) -> tuple[list[dict[str, float]], list[Any]]:
    """Fill the cache once; return what the pages said meanwhile, and the answers."""
    words = KV_BLOCKS * BLOCK // SLOTS - 250  # there is room for 250 more each, and 700 are written
    texts = [never_seen(" router" * (words - 60)) for _ in range(SLOTS)]
    asked = [asyncio.ensure_future(here.chat(text, tokens=700)) for text in texts]
    seen = []
    while not all(task.done() for task in asked):
        seen.append(await server.gauges(client))
        await asyncio.sleep(0.02)
    return seen, [task.result() for task in asked]
