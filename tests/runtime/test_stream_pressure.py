"""What a stream holds of its backend, and for how long: back-pressure, limits, slots. On real sockets."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from hybridllm import StreamInterrupted
from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm._runtime.ports import Wire
from hybridllm.testing import Fault
from odd_backend import DONE, HEL, LO, ROLE, STOP, event, fleet, piece
from raw_server import STREAM_HEAD, Exchange, chunk, until
from runtime.world import world
from wires import httpx_wire

WIRES: list[Callable[..., Wire]] = [AiohttpWire, httpx_wire]
KIB, MIB = 1 << 10, 1 << 20
# What can be on its way when nobody reads: buffers of two sockets, which the system sizes, and our client's.
ON_ITS_WAY_MAX = 16 * MIB


class Flood:
    """A backend that sends as much as it is let, and counts it."""

    def __init__(self) -> None:
        self.sent = 0

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD + chunk(ROLE))
        data = chunk(piece(content="x" * (16 * KIB)))
        while not exchange.writer.is_closing():
            await exchange.write(data)
            self.sent += len(data)
            await asyncio.sleep(0)


@pytest.mark.parametrize("make_wire", WIRES, ids=lambda make: make.__name__)
async def test_a_reader_that_does_not_read_stops_the_backend(
    make_wire: Callable[..., Wire],
) -> None:
    """Nothing is read ahead: what was sent comes to a halt, and goes on when the reader does."""
    flood = Flood()
    wire = make_wire()
    async with fleet(flood, alone=True, wire=wire) as here:
        stream: Any = await here.router.chat.completions.create(
            messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        await _at_rest(flood)
        held = flood.sent
        assert held < ON_ITS_WAY_MAX
        # aiohttp hands over all it has at once: twice its buffer of 64 KiB, and one read of 256 KiB.
        events = sum(len(data) for _, data in stream._upstream._events)
        assert events + stream._upstream._decoder._stream_bytes < MIB
        await asyncio.sleep(0.1)
        assert flood.sent == held
        while flood.sent < held + MIB:
            await anext(stream)
        await stream.close()
    await wire.close()


async def _at_rest(flood: Flood) -> None:
    """Wait until nothing more is sent."""
    before = -1
    while flood.sent != before:
        before = flood.sent
        await asyncio.sleep(0.2)


async def test_only_waiting_for_the_backend_counts_as_its_silence() -> None:
    """A reader that takes three times the limit between two tokens is served to the end."""
    async with world("eu", timeouts="idle: 200ms, total: 20s") as here:
        here["eu"].answer = "one two six"
        here["eu"].tokens_per_s = 10.0
        text = ""
        async with await here.stream() as stream:
            async for part in stream:
                text += part.choices[0].delta.content or ""
                await asyncio.sleep(0.6)
        assert text == "one two six"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"data: " + b"x" * MIB, "a line of the event stream", id="line"),
        pytest.param((b"data: " + b"x" * (MIB - 6) + b"\n") * 5, "an? event of the event stream", id="event"),
        pytest.param(piece(content="x" * (512 * KIB)) * 80, "a stream of the event stream", id="stream"),
        pytest.param(b": " + b"x" * (MIB + 1), "a line of the event stream", id="comment"),
    ],
)  # fmt: skip
async def test_a_stream_has_its_limits(data: bytes, said: str) -> None:
    """1 MiB a line, 4 MiB an event, 32 MiB in all: then it is broken off, and told so."""

    async def play(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD + chunk(ROLE) + chunk(HEL))
        for start in range(0, len(data), MIB):
            await exchange.write(chunk(data[start : start + MIB]))
        await exchange.peer_left()

    async with fleet(play, alone=True) as here:
        stream: Any = await here.router.chat.completions.create(
            messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        with pytest.raises(StreamInterrupted, match=said) as caught:
            async for _ in stream:
                pass
        assert caught.value.cause == "invalid_response"
        await until(lambda: here.odd.open == 0)  # the connection was not kept


@pytest.mark.parametrize(
    ("trailing", "kept"),
    [
        pytest.param(b"", True, id="nothing"),
        pytest.param(event(b"x" * (8 * KIB)), True, id="a-little"),
        pytest.param(event(b"x" * (16 * KIB)) * 40, False, id="a-lot"),
    ],
)
async def test_what_trails_after_done_is_left_out_and_a_lot_of_it_costs_the_connection(
    trailing: bytes, kept: bool
) -> None:
    """64 KiB are read for the sake of the connection, and no more."""

    async def play(exchange: Exchange) -> None:
        await exchange.write(
            STREAM_HEAD + chunk(ROLE + HEL + LO + STOP + DONE + trailing) + chunk(b"")
        )

    async with fleet(play, alone=True) as here:
        for _ in range(2):
            stream: Any = await here.router.chat.completions.create(
                messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            pieces = [part.choices[0].delta.content or "" async for part in stream]
            assert "".join(pieces) == "hello"
        assert here.odd.connections == (1 if kept else 2)


async def test_a_stream_that_is_dropped_without_iteration_frees_its_slot_within_a_second() -> None:
    """At the backend too: one that works on one request at a time takes the next."""
    backends = {"slots": 1, "tokens_per_s": 20.0, "kind": "vllm"}
    async with world("eu", backends=backends, timeouts="first_token: 5s, total: 20s") as here:
        here["eu"].answer = "word " * 1_000
        for _ in range(3):
            held = [await here.stream()]
            with pytest.warns(ResourceWarning, match="dropped"):
                drop(held)
            await until(lambda: here.in_flight == 0, within_s=2.0)
            began = asyncio.get_running_loop().time()
            next_one = await here.stream()
            assert asyncio.get_running_loop().time() - began < 1.0
            await next_one.close()
        assert here.in_flight == 0


def drop(held: list[Any]) -> None:
    """Let go of the last reference to a stream."""
    held.clear()
    gc.collect()


async def test_a_close_does_not_wait_for_a_backend_that_trickles_on() -> None:
    """Half a second at most, also of a close that is cancelled."""
    async with world("eu", timeouts="idle: 20s, total: 20s") as here:
        here["eu"].answer = "one two six"
        here["eu"].fault = Fault.cut_after(2, "pings")
        loop = asyncio.get_running_loop()
        for _ in range(2):
            stream = await here.stream()
            began = loop.time()
            await stream.close()
            assert loop.time() - began < 0.5
            await until(lambda: here.active == 0, within_s=2.0)
