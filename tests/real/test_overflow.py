"""Overflow from a real server with two slots: the surplus and no more, and never what may not leave."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import Any

import pytest

from hybridllm import receipt
from hybridllm._core.decide.snapshot import Load
from hybridllm._core.receipt import AttemptReason
from real.routers import HELD, Pair, busy, ended, gauge, history, idle, pair, read
from real.server import SLOTS, RealServer

# A server that gets no core for seconds does not hold its slots for as long as a test looks at them.
pytestmark = pytest.mark.flaky(reruns=1)

BURST = 8
OVERFLOW = ", overflow: {from: gpu, to: [api], when: saturated, queue_ms: 30000}"


def load_of(here: Pair) -> Load:
    """What a decision would know of the server now."""
    return here.router.explain(task="chat").snapshot.loads["gpu"]


async def load_until(here: Pair, holds: Any, *, within_s: float = 30.0) -> Load:
    """Look at what decisions know until something holds, as requests do."""
    async with asyncio.timeout(within_s):
        while not holds(load := load_of(here)):
            await asyncio.sleep(0.05)
        return load


async def whole(here: Pair, **params: Any) -> Any:
    """Read a stream to its end; return it."""
    stream = await here.stream(**params)
    await read(stream)
    return stream


async def test_of_a_burst_the_surplus_leaves_and_nothing_else(server: RealServer) -> None:
    """Eight at once on two slots: two stay, six leave. What may not leave waits for a slot and gets it."""
    limit = f", saturation: {{max_inflight: {SLOTS}}}"
    async with pair(server, gpu_more=limit, route_more=OVERFLOW) as here, server.client() as client:
        before = await idle(server, client)
        burst = [asyncio.ensure_future(whole(here, tokens=200)) for _ in range(BURST)]
        bound = [asyncio.ensure_future(whole(here, tokens=20, residency="phi")) for _ in range(2)]
        waiting = []
        while not all(task.done() for task in burst):
            waiting.append((await server.gauges(client))["num_requests_waiting"])
            await asyncio.sleep(0.02)
        told = await ended(*burst)
        kept = await ended(*bound)
        after = await idle(server, client)
        back = await whole(here, tokens=2)
        asked_api = here.asked_api
    assert Counter(history(stream)[0][0] for stream in told) == {"gpu": SLOTS, "api": BURST - SLOTS}
    left = [stream for stream in told if history(stream) == [("api", None)]]
    assert {receipt(stream).attempts[0].reason for stream in left} == {AttemptReason.OVERFLOW}
    assert [history(stream) for stream in kept] == [[("gpu", None)]] * len(bound)
    assert asked_api == BURST - SLOTS
    assert (
        max(waiting) <= 1
    )  # the queue is ours, not the server's: one that ends and one that comes may meet
    served = after["request_success_total"] - before["request_success_total"]
    assert served == SLOTS + len(bound)
    assert history(back) == [("gpu", None)]


async def test_a_server_that_others_keep_busy_is_left_until_they_are_gone(
    server: RealServer,
) -> None:
    """Only its metrics page tells of them. What may not leave stays, and waits with them."""
    async with pair(server, route_more=OVERFLOW) as here:
        assert history(await whole(here, tokens=2)) == [("gpu", None)]
        async with busy(server, SLOTS + 4):
            load = await load_until(here, lambda load: load.saturated and load.waiting == 4)
            left = await whole(here, tokens=2)
            bound = asyncio.ensure_future(whole(here, tokens=2, residency="phi"))
        kept = await bound
        await load_until(here, lambda load: not load.saturated)
        back = await whole(here, tokens=2)
        asked_api = here.asked_api
    assert load.running == SLOTS
    assert history(left) == [("api", None)]
    assert receipt(left).attempts[0].reason is AttemptReason.OVERFLOW
    assert "gpu is saturated" in receipt(left).reasons[0]
    assert history(kept) == [("gpu", None)]
    assert history(back) == [("gpu", None)]
    assert asked_api == 1


async def test_an_engine_that_is_frozen_is_left_though_it_looks_well(server: RealServer) -> None:
    """Its page says each time that one request runs; that it does no work shows it. Then it goes on."""
    async with pair(server, route_more=OVERFLOW) as here, server.client() as client:
        running = await here.stream(tokens=HELD)
        await load_until(here, lambda load: load.running)
        server.signal(signal.SIGSTOP, engine=True)
        try:
            load = await load_until(here, lambda load: load.saturated and not load.stale)
            left = await whole(here, tokens=2)
            stood = (await server.gauges(client))["generation_tokens_total"]
        finally:
            server.signal(signal.SIGCONT, engine=True)
        async with running:
            await gauge(server, client, lambda g: g["generation_tokens_total"] > stood + 50)
        await load_until(here, lambda load: not load.saturated)
        back = await whole(here, tokens=2)
    assert load.saturated.startswith("no progress")
    assert history(left) == [("api", None)]
    assert history(running) == [("gpu", None)]
    assert history(back) == [("gpu", None)]
