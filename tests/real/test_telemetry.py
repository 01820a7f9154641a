"""What a real server's metrics page and load header tell, read as the router reads them."""

from __future__ import annotations

import pytest

from hybridllm._core.telemetry.load_header import ASKED_WITH, TOLD_IN, read_header
from hybridllm._core.telemetry.pages import read_page
from real.routers import STEPS, busy, gauge, idle
from real.server import BLOCK, KV_BLOCKS, SLOTS, RealServer

# A server that gets no core for seconds does not hold its slots for as long as a test looks at them.
pytestmark = pytest.mark.flaky(reruns=1)


async def test_the_page_of_a_busy_server_is_read_by_its_names(server: RealServer) -> None:
    """Every figure that a decision looks at is there, and is the one on the page."""
    async with busy(server, SLOTS + 4) as client:
        await gauge(server, client, lambda g: g["num_requests_waiting"] == 4)
        report = read_page((await client.get("/metrics")).content)
    assert (report.server, report.engines) == ("vllm", 1)
    assert (report.running, report.waiting) == (SLOTS, 4)
    assert report.kv_used is not None
    assert 0 < report.kv_used < 1
    assert report.kv_tokens == KV_BLOCKS * BLOCK
    assert report.tokens
    assert report.steps == report.tokens
    assert report.born is not None
    assert not report.asleep


async def test_counters_move_with_the_work_and_stand_still_without(server: RealServer) -> None:
    """So that throughput can be measured, and a frozen engine be told from an idle one."""
    async with server.client() as client:
        await idle(server, client)
        pages = [read_page((await client.get("/metrics")).content) for _ in range(2)]
        body = {"model": "tiny", "messages": STEPS, "max_tokens": 30, "ignore_eos": True}
        usage = (await client.post("/v1/chat/completions", json=body)).json()["usage"]
        await idle(server, client)
        after = read_page((await client.get("/metrics")).content)
    assert pages[0] == pages[1]
    assert (after.running, after.waiting, after.kv_used) == (0, 0, 0)
    assert after.tokens is not None
    assert pages[1].tokens is not None
    assert after.tokens - pages[1].tokens == usage["total_tokens"]
    assert after.born == pages[1].born


async def test_the_load_comes_with_an_answer_that_asks_for_it(server: RealServer) -> None:
    """In a header of whole answers; streams have none."""
    asked = dict((ASKED_WITH,))
    async with busy(server, 1) as client:
        body = {"model": "tiny", "messages": STEPS, "max_tokens": 2}
        plain = await client.post("/v1/chat/completions", json=body, headers=asked)
        body["stream"] = True
        stream = await client.post("/v1/chat/completions", json=body, headers=asked)
    report = read_header(plain.headers[TOLD_IN])
    assert report.waiting == 0
    assert report.kv_used is not None
    assert 0 < report.kv_used < 1
    assert TOLD_IN not in stream.headers
