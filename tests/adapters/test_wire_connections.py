"""Every wire keeps, closes and loses connections alike: reuse, cancellation, TLS."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme

from hybridllm._adapters.httpx_wire import HttpxWire
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import Wire
from raw_server import STREAM_HEAD, Exchange, chunk, raw_server, until, whole
from wires import (
    WIRES,
    MakeWire,
    answering,
    body_of,
    failure_of,
    post,
    silent,
    stream_on,
)


@pytest.fixture(params=WIRES)
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    wire: Wire = request.param()
    yield wire
    await wire.close()


async def test_a_connection_is_used_again_after_a_whole_body(wire: Wire) -> None:
    """Ten requests in a row, one connection; with the head alone, too, if there is no body."""
    async with raw_server(answering(whole(b"{}"))) as server:
        for _ in range(10):
            await body_of(await wire.send(post(server.url)))
        assert server.connections == 1
    async with raw_server(answering(STREAM_HEAD, chunk(b"data: 1\n\n") + chunk(b""))) as server:
        for _ in range(10):
            await body_of(await wire.send(post(server.url)))
        assert server.connections == 1


@pytest.mark.parametrize("later_s", [0.0, 0.05])
async def test_what_comes_unasked_is_not_the_next_requests_answer(
    wire: Wire, later_s: float
) -> None:
    """A second answer behind the first, at once or while nobody waits: that connection is given up.

    Of what came in one piece with the first answer httpx knows nothing that it would tell.
    """
    if later_s == 0 and isinstance(wire, HttpxWire):
        pytest.skip("h11 keeps it to itself; our own wire does not")

    async def play(exchange: Exchange) -> None:
        await exchange.write(whole(b"{}"))
        await asyncio.sleep(later_s)
        if not exchange.served_before:
            await exchange.write(whole(b'{"forged": 1}'))

    async with raw_server(play) as server:
        for _ in range(3):
            assert await body_of(await wire.send(post(server.url))) == b"{}"
            await asyncio.sleep(2 * later_s + 0.01)


@pytest.mark.parametrize("reusable", [True, False])
async def test_closing_an_unfinished_body_stops_the_backend(wire: Wire, reusable: bool) -> None:
    """The close is the only way to say stop, and it is seen at once; so a connection is not kept."""
    async with raw_server(stream_on) as server:
        response = await wire.send(post(server.url))
        assert await response.chunk() == b"data: 1\n\n"
        await response.close(reusable=reusable)
        assert await until(lambda: server.busy == 0) <= 0.1
        await response.close(reusable=reusable)
        assert server.connections == 1


@pytest.mark.parametrize("play", [silent, stream_on])
async def test_a_cancelled_request_closes_its_connection(wire: Wire, play: Any) -> None:
    """While the head is awaited, and while the next piece is."""

    async def request() -> None:
        response = await wire.send(post(server.url))
        try:
            await body_of(response)
        finally:
            await response.close(reusable=False)

    async with raw_server(play) as server:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(request())
            await until(lambda: server.busy == 1)
            await asyncio.sleep(0.01)
            task.cancel()
        assert task.cancelled()
        assert await until(lambda: server.busy == 0) <= 0.1


async def test_a_cancellation_carries_nothing_of_the_request(wire: Wire) -> None:
    """What a caller logs of it holds neither key nor prompt."""
    async with raw_server(silent) as server:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(wire.send(post(server.url)))  # type: ignore[arg-type]
            await until(lambda: server.busy == 1)
            task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            task.result()
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None


async def test_a_thousand_random_cancellations_leave_no_connection(wire: Wire) -> None:
    """At any moment of a request; afterwards all goes on, and at the end the server holds nothing."""
    rng = random.Random(7)

    async def play(exchange: Exchange) -> None:
        await asyncio.sleep(rng.uniform(0, 0.004))
        await exchange.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await asyncio.sleep(rng.uniform(0, 0.004))
        await exchange.write(chunk(b"data: 2\n\n") + chunk(b""))

    async def request() -> bytes:
        response = await wire.send(post(server.url, connect_timeout_s=60.0))
        try:
            return await body_of(response)
        finally:
            await response.close(reusable=False)

    async with raw_server(play) as server:
        for _ in range(50):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(request()) for _ in range(20)]
                for task in tasks:
                    asyncio.get_running_loop().call_later(rng.uniform(0, 0.012), task.cancel)
        await until(lambda: server.busy == 0)
        async with asyncio.TaskGroup() as group, asyncio.timeout(60):
            whole_ones = [group.create_task(request()) for _ in range(50)]
        assert {task.result() for task in whole_ones} == {b"data: 1\n\ndata: 2\n\n"}
        await wire.close()
        await until(lambda: server.open == 0)


def tls_server(ca: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(host).configure_cert(context)
    return context


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


@pytest.mark.parametrize("make", WIRES)
async def test_tls_is_spoken_where_the_certificate_is_trusted(make: MakeWire) -> None:
    """The witness for the three refusals below."""
    ca = trustme.CA()
    wire = make(trusting(ca))
    async with raw_server(answering(whole(b"{}")), tls=tls_server(ca, "127.0.0.1")) as server:
        assert await body_of(await wire.send(post(server.url))) == b"{}"
        await wire.close()


@pytest.mark.parametrize("make", WIRES)
@pytest.mark.parametrize("case", ["self-signed", "wrong-host", "no-tls"])
async def test_a_tls_failure_is_told_and_nothing_is_sent(make: MakeWire, case: str) -> None:
    """Never plaintext, never a certificate of somebody else."""
    ca = trustme.CA()
    wire = make(None if case == "self-signed" else trusting(ca))
    host = "elsewhere.example" if case == "wrong-host" else "127.0.0.1"
    tls = None if case == "no-tls" else tls_server(ca, host)

    async def play(exchange: Exchange) -> None:
        exchange.fin()

    async with raw_server(play, tls=tls) as server:
        if case == "no-tls":
            async with PlainServer() as port:
                error = await failure_of(wire, post(f"https://127.0.0.1:{port}"))
        else:
            error = await failure_of(wire, post(server.url))
        assert error.kind is FailureKind.TLS
        assert server.exchanges == []
        await wire.close()


class PlainServer:
    """A server that answers a TLS hello in plain text."""

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
