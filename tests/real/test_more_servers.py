"""What needs a server of its own, half a minute each: `nox -s vllm -- -m slow`."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from hybridllm import RequestFailed, receipt
from hybridllm._core.receipt import AttemptOutcome
from real.routers import HELD, busy, ended, gauge, history, pair, read
from real.server import SLOTS, real_server

pytestmark = pytest.mark.slow


async def test_a_server_that_drains_finishes_what_it_has_and_refuses_the_rest(log: Path) -> None:
    """Its health page says that all is well; what is new is answered elsewhere."""
    with real_server(log, "--shutdown-timeout", "20") as server:
        async with pair(server) as here, server.client() as client:
            begun = [await here.stream(tokens=HELD) for _ in range(SLOTS)]
            queued = asyncio.ensure_future(here.chat(tokens=5))
            await gauge(server, client, lambda g: g["num_requests_waiting"] == 1)
            server.signal(signal.SIGTERM)
            new = await here.chat(tokens=2)
            while history(new) == [("gpu", None)]:  # the signal has not arrived yet
                new = await here.chat(tokens=2)
            health = await client.get("/health")
            read_there = [await read(stream) for stream in begun]
            reply = await queued
    assert health.status_code == 200
    assert history(new) == [("gpu", "500"), ("api", None)]
    assert all(read_there)
    assert [history(stream) for stream in begun] == [[("gpu", None)]] * SLOTS
    assert history(reply) == [("gpu", None)]


async def test_a_server_that_is_told_to_end_never_makes_half_an_answer_a_whole_one(
    log: Path,
) -> None:
    """It hangs, or ends each with `abort` and status 200, by a race. Neither is an answer."""
    with real_server(log) as server:
        limits = "idle: 2s, attempt: 10s, first_token: 10s"
        async with pair(server, timeouts=limits) as here, server.client() as client:
            begun = [await here.stream(tokens=3_500) for _ in range(SLOTS)]
            queued = [
                asyncio.ensure_future(call)
                for call in (here.chat(tokens=400), here.stream(tokens=400))
            ]
            await gauge(server, client, lambda g: g["num_requests_waiting"] == len(queued))
            server.signal(signal.SIGTERM)
            told = await ended(*(read(stream) for stream in begun))
            plain, stream = await ended(*queued)
            await read(stream)
    assert all(isinstance(error, RequestFailed) for error in told)
    print("what was begun:", [str(error) for error in told])
    for answered in (plain, stream):
        print("what waited:", history(answered))
        assert history(answered)[0][0] == "gpu"
        assert history(answered)[-1] == ("api", None)
        assert receipt(answered).attempts[0].outcome is AttemptOutcome.FAILED


async def test_two_engines_behind_one_address_are_one_backend(log: Path) -> None:
    """Each has a line of its own on the metrics page: what runs and waits is summed."""
    options = ("--data-parallel-size", "2", "--api-server-count", "1")
    with real_server(log, *options) as server:
        async with busy(server, 2 * SLOTS + 3) as client:
            found = await gauge(server, client, lambda g: g["num_requests_running"] == 2 * SLOTS)
            page = (await client.get("/metrics")).text
    assert found["num_requests_waiting"] == 3
    assert {f'engine="{number}"' in page for number in range(2)} == {True}
