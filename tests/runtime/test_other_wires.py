"""The router over the user's own `httpx` or `httpx2` client: the same promises hold.

The wire itself is tested in `adapters/test_wire_conformance.py`; here it carries whole requests.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from hybridllm import DeadlineExceeded, RequestRejected, StreamInterrupted, receipt
from hybridllm.testing import Fault
from lab.lateness import lateness
from runtime.test_streams import read
from runtime.world import many, world
from wires import MakeWire, httpx2_wire, httpx_wire

TIMEOUTS = "total: 20s, connect: 500ms, attempt: 1s, first_token: 1s, idle: 500ms"
pytestmark = pytest.mark.parametrize("wire", [httpx_wire, httpx2_wire])


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.refuse(), id="refused"),
        pytest.param(Fault.hang(), id="hung"),
        pytest.param(Fault.status(503), id="503"),
        pytest.param(Fault.cut_after(0, "rst"), id="reset-mid-body"),
        pytest.param(Fault.garbage(), id="garbage"),
        pytest.param(Fault.gzip(decoded_bytes=64 << 20), id="gzip"),
    ],
)
async def test_with_one_of_two_regions_dead_every_call_succeeds(
    fault: Fault, wire: MakeWire
) -> None:
    """Plain and streamed; only who hangs is given up soon: a busy machine may need its time."""
    within = "2s" if fault == Fault.hang() else "10s"
    timeouts = f"total: 60s, connect: 5s, attempt: {within}, first_token: {within}, idle: 5s"
    async with world("eu", "us", ordered=False, timeouts=timeouts, make_wire=wire) as here:
        here["eu"].fault = fault

        async def call(number: int) -> Any:
            if number % 2:
                return await here.text()
            return (await here.chat()).choices[0].message.content

        assert set(await many(60, 10, call)) == {"A simulated answer from us."}


async def test_a_rejected_request_is_sent_once(wire: MakeWire) -> None:
    """And its error is typed alike."""
    async with world("eu", "us", make_wire=wire) as here:
        here["eu"].fault = Fault.status(400)
        with pytest.raises(RequestRejected):
            await here.chat()
        assert (len(here["eu"].requests), len(here["us"].requests)) == (1, 0)


async def test_a_deadline_holds(wire: MakeWire) -> None:
    """And the connection of the request is closed with it."""
    async with world("eu", make_wire=wire) as here, lateness() as late:
        here["eu"].fault = Fault.hang()
        began = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded):
            await here.chat(deadline_s=0.3)
        assert asyncio.get_running_loop().time() - began <= 0.5 + late.worst_s
        assert await here.idle() <= 0.1 + late.worst_s


async def test_a_stream_that_breaks_is_interrupted(wire: MakeWire) -> None:
    """With what had come."""
    async with world("eu", "us", timeouts=TIMEOUTS, make_wire=wire) as here:
        here["eu"].answer = "one two six ten"
        here["eu"].fault = Fault.cut_after(2, "rst")
        text, error = await read(await here.stream())
        assert text == "one two"
        assert isinstance(error, StreamInterrupted)
        assert len(here["us"].requests) == 0


async def test_a_stream_that_is_left_ends_the_backends_work(wire: MakeWire) -> None:
    """Within 100 ms, as over aiohttp."""
    async with world("eu", backends={"tokens_per_s": 50.0}, make_wire=wire) as here:
        here["eu"].answer = "word " * 1_000
        async with await here.stream() as stream:
            await anext(stream)
        assert await here.idle() <= 0.1
        assert here["eu"].requests[0].client_left
        assert receipt(stream).outcome.value == "cancelled"


async def test_a_dropped_stream_ends_the_backends_work(wire: MakeWire) -> None:
    """It warns, and is closed by its loop."""
    async with world("eu", backends={"tokens_per_s": 50.0}, make_wire=wire) as here:
        here["eu"].answer = "word " * 1_000
        dropped = [await here.stream()]
        with pytest.warns(ResourceWarning, match="dropped before its end"):
            dropped.clear()
        assert await here.idle() <= 0.2


async def test_random_cancellations_leave_nothing(wire: MakeWire) -> None:
    """200 of them; afterwards all goes on."""
    rng = random.Random(3)
    async with world("eu", backends={"tokens_per_s": 500.0}, make_wire=wire) as here:

        async def once(_: int) -> None:
            task = asyncio.get_running_loop().create_task(rng.choice((here.chat, here.text))())
            await asyncio.sleep(rng.uniform(0, 0.02))
            task.cancel()
            await asyncio.wait([task])

        await many(200, 10, once)
        assert await here.idle() <= 1.0
        for _ in range(10):
            assert await here.text() == "A simulated answer from eu."
