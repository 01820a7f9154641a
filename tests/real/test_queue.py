"""What waits in a real server's queue, and what becomes of it when its caller leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import httpx2
import pytest

from hybridllm import receipt
from hybridllm._adapters.httpx_wire import HttpxWire
from hybridllm._core.money.usage import UsageSource
from hybridllm._core.receipt import AttemptOutcome
from real.routers import HELD, STEPS, Pair, at_work, busy, gauge, history, idle, pair, read
from real.server import SLOTS, RealServer

# A server that gets no core for seconds does not hold its slots for as long as a test looks at them.
pytestmark = pytest.mark.flaky(reruns=1)


async def test_a_queued_stream_has_its_head_at_once_and_its_first_token_late(
    server: RealServer,
) -> None:
    """The head says nothing, and the comments that keep it alive are no tokens: only a slot brings one."""
    now_s = asyncio.get_running_loop().time
    body = {"model": "tiny", "messages": STEPS, "max_tokens": 3, "stream": True}
    async with pair(server) as here, server.client() as client:
        async with busy(server, SLOTS):
            began_s = now_s()
            ours = asyncio.ensure_future(here.stream(tokens=3))
            theirs = client.stream("POST", "/v1/chat/completions", json=body)
            answer = await theirs.__aenter__()
            lines = answer.aiter_lines()
            before = await anext(lines)
            assert not ours.done()
            freed_s = now_s()
        after = [line async for line in lines if line.startswith("data: ")]
        await theirs.__aexit__(None, None, None)
        stream = await ours
        await read(stream)
    assert before.startswith(":")
    assert "content" in after[0]
    assert after[-1] == "data: [DONE]"
    (attempt,) = receipt(stream).attempts
    assert attempt.first_token_s is not None
    assert attempt.first_token_s > (freed_s - began_s) / 2


async def test_the_gauges_tell_who_runs_and_who_waits(server: RealServer) -> None:
    """And are back at nothing as soon as nobody is there."""
    async with busy(server, SLOTS + 4) as client:
        found = await gauge(server, client, lambda g: g["num_requests_waiting"] == 4)
        assert found["num_requests_running"] == SLOTS
        assert 0 < found["kv_cache_usage_perc"] < 1
        # Nobody asked the server to keep count of this: it says 0 as if it were idle.
        assert (await client.get("/load")).json() == {"server_load": 0}
    async with server.client() as client:
        found = await idle(server, client)
        assert found["kv_cache_usage_perc"] == 0


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_who_leaves_frees_his_slot(server: RealServer, stream: bool) -> None:
    """Long before its tokens would have been generated; no counter of the server tells of it."""
    async with pair(server) as here, server.client() as client:
        before = await idle(server, client)
        leaving = asyncio.ensure_future(to_the_end(here) if stream else here.chat(tokens=HELD))
        await gauge(server, client, lambda g: g["num_requests_running"] == 1)
        after = await left(server, client, leaving, at_work_then=0)
    assert after["generation_tokens_total"] - before["generation_tokens_total"] < HELD
    assert after["request_success_total"] == before["request_success_total"]


async def to_the_end(here: Pair) -> None:
    await read(await here.stream(tokens=HELD))


async def test_who_leaves_the_queue_is_never_worked_on(server: RealServer) -> None:
    """Its prompt is not even read."""
    async with pair(server) as here, server.client() as client:
        before = await idle(server, client)
        async with busy(server, SLOTS):
            leaving = asyncio.ensure_future(to_the_end(here))
            await gauge(server, client, lambda g: g["num_requests_waiting"] == 1)
            await left(server, client, leaving, at_work_then=SLOTS)
        after = await idle(server, client)
        counted = await client.post("/tokenize", json={"model": "tiny", "messages": STEPS})
    read_there = after["prompt_tokens_total"] - before["prompt_tokens_total"]
    assert read_there == SLOTS * counted.json()["count"]


async def left(
    server: RealServer, client: httpx.AsyncClient, leaving: asyncio.Task[Any], *, at_work_then: int
) -> dict[str, float]:
    """Cancel a call, and tell how soon the server has so many requests."""
    now_s = asyncio.get_running_loop().time
    leaving.cancel()
    began_s = now_s()
    after = await gauge(server, client, lambda g: at_work(g) == at_work_then)
    print(f"gone {(now_s() - began_s) * 1_000:.0f} ms after its caller had left")
    with pytest.raises(asyncio.CancelledError):
        await leaving
    return after


async def test_a_stream_that_is_left_is_counted_by_us(server: RealServer) -> None:
    """The server sends no usage then."""
    async with pair(server) as here, server.client() as client:
        stream = await here.stream(tokens=HELD)
        async with stream:
            taken = [await anext(aiter(stream)) for _ in range(5)]
        await idle(server, client)
    (attempt,) = receipt(stream).attempts
    assert attempt.outcome is AttemptOutcome.CANCELLED
    assert attempt.usage is not None
    assert attempt.usage.source is UsageSource.ESTIMATED
    assert attempt.usage.output_tokens >= len(taken) - 1


async def test_a_connection_that_the_server_closed_fails_no_request(server: RealServer) -> None:
    """It does after five idle seconds. Ours are let go before; a client of the user's asks again."""
    keeps = httpx2.AsyncClient(
        limits=httpx2.Limits(keepalive_expiry=60.0), verify=False, trust_env=False
    )
    async with keeps, pair(server) as ours, pair(server, wire=HttpxWire(keeps)) as theirs:
        for here in (ours, theirs):
            await here.chat(max_tokens=2)
        await asyncio.sleep(5.3)  # of real time: the server's own
        replies = [await here.chat(max_tokens=2) for here in (ours, theirs)]
    assert history(replies[0]) == [("gpu", None)]
    assert history(replies[1])[-1] == ("gpu", None)
