"""Every wire does the same with the same bytes: what is sent, what comes, what breaks."""

from __future__ import annotations

import asyncio
import gzip
import random
import socket
from collections.abc import AsyncIterator

import pytest

from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import Wire, WireError, WireRequest
from raw_server import JSON_HEAD, STREAM_HEAD, Exchange, chunk, raw_server, until, whole
from wires import (
    HEADERS,
    PROMPT,
    WIRES,
    answering,
    body_of,
    failure_of,
    post,
)


@pytest.fixture(params=WIRES)
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    wire: Wire = request.param()
    yield wire
    await wire.close()


async def test_a_request_is_sent_as_it_is_and_nothing_is_added(wire: Wire) -> None:
    """Our headers, host and length; no default of any library, and no cookie that was set before."""
    async with raw_server(answering(whole(b"{}", JSON_HEAD + b"set-cookie: a=b\r\n"))) as server:
        for _ in range(2):
            assert await body_of(await wire.send(post(server.url))) == b"{}"
        first, second = server.exchanges
    assert first.head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert first.body == PROMPT
    expected = {name.lower(): value for name, value in HEADERS.items()}
    expected |= {"host": f"127.0.0.1:{server.port}", "content-length": str(len(PROMPT))}
    assert first.headers == second.headers == expected


async def test_a_large_body_arrives_whole(wire: Wire) -> None:
    """8 MiB, as a prompt with pictures has; without a length the server would read none of it."""
    body = random.Random(1).randbytes(8 << 20)
    async with raw_server(answering(whole(b"{}"))) as server:
        request = WireRequest("POST", server.url, HEADERS, body)
        assert await body_of(await wire.send(request)) == b"{}"
        assert server.exchanges[0].body == body


async def test_a_get_has_no_body(wire: Wire) -> None:
    """Health checks and model lists."""
    async with raw_server(answering(whole(b"{}"))) as server:
        request = WireRequest("GET", f"{server.url}/health", {"Accept": "*/*"})
        assert await body_of(await wire.send(request)) == b"{}"
        assert server.exchanges[0].head.startswith(b"GET /health HTTP/1.1\r\n")
        assert server.exchanges[0].body == b""


@pytest.mark.parametrize("status", [200, 204, 400, 429, 503, 529])
async def test_any_status_is_an_answer(wire: Wire, status: int) -> None:
    """Nothing is raised for it: what it means is decided elsewhere."""
    body = b"" if status == 204 else b'{"error": {}}'
    head = b"HTTP/1.1 %d Whatever\r\nRetry-After: 7\r\n" % status
    answer = head + b"\r\n" if status == 204 else whole(body, head)
    async with raw_server(answering(answer)) as server:
        response = await wire.send(post(server.url))
        assert response.status == status
        for name in ("retry-after", "Retry-After", "RETRY-AFTER"):
            assert response.headers[name] == "7"
            assert response.headers.get(name) == "7"
        assert await body_of(response) == body


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        pytest.param([whole(b"x" * 1_000_000)], b"x" * 1_000_000, id="length-declared"),
        pytest.param(
            [JSON_HEAD, b"content-le", b"ngth: 5\r\n\r", b"\nhe", b"llo"], b"hello", id="in-bits"
        ),
        pytest.param(
            [STREAM_HEAD, chunk(b"one"), chunk(b"two") + chunk(b"")], b"onetwo", id="chunked"
        ),
        pytest.param(
            [STREAM_HEAD, b"3\r", b"\none\r\n0\r\n\r", b"\n"], b"one", id="chunked-in-bits"
        ),
        pytest.param([whole(b"")], b"", id="empty"),
    ],
)
async def test_a_body_arrives_as_it_was_sent(wire: Wire, pieces: list[bytes], body: bytes) -> None:
    """However it is framed and cut; after its end `chunk` goes on saying so."""
    async with raw_server(answering(*pieces)) as server:
        response = await wire.send(post(server.url))
        assert await body_of(response) == body
        assert await response.chunk() == b""
        await response.close(reusable=True)
        await response.close(reusable=False)


async def test_a_body_without_length_ends_with_its_connection(wire: Wire) -> None:
    """Old servers and proxies do so; it is a clean end."""

    async def play(exchange: Exchange) -> None:
        await exchange.write(JSON_HEAD + b"connection: close\r\n\r\nhello")
        exchange.fin()

    async with raw_server(play) as server:
        assert await body_of(await wire.send(post(server.url))) == b"hello"


async def test_a_piece_is_handed_out_as_soon_as_it_is_there(wire: Wire) -> None:
    """Head and first token are not held back until there is more."""
    seen_head, seen_first = asyncio.Event(), asyncio.Event()

    async def play(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        await seen_head.wait()
        await exchange.write(chunk(b"data: 1\n\n"))
        await seen_first.wait()
        await exchange.write(chunk(b"data: 2\n\n") + chunk(b""))

    async with raw_server(play) as server, asyncio.timeout(5):
        response = await wire.send(post(server.url))
        seen_head.set()
        assert await response.chunk() == b"data: 1\n\n"
        seen_first.set()
        assert await response.chunk() == b"data: 2\n\n"
        assert await response.chunk() == b""
        await response.close(reusable=True)


async def test_a_compressed_body_is_not_decompressed(wire: Wire) -> None:
    """We ask for none; a backend that compresses all the same is refused, not unpacked."""
    packed = gzip.compress(b"0" * 100_000)
    async with raw_server(
        answering(whole(packed, JSON_HEAD + b"Content-Encoding: gzip\r\n"))
    ) as server:
        response = await wire.send(post(server.url))
        assert response.headers["content-encoding"] == "gzip"
        assert await body_of(response) == packed


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(wire: Wire, status: int) -> None:
    """The other host sees no byte, not even a connection."""
    async with raw_server(answering(whole(b"{}"))) as other:
        head = b"HTTP/1.1 %d Moved\r\nlocation: %b/v1\r\n" % (status, other.url.encode())
        async with raw_server(answering(whole(b"", head))) as server:
            response = await wire.send(post(server.url))
            assert response.status == status
            assert response.headers["location"].startswith(other.url)
            await response.close(reusable=True)
            assert len(server.exchanges) == 1
        assert (other.connections, other.received) == (0, 0)


async def test_our_own_wire_knows_no_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy there would get prompt and key. A client of the user's has the proxies that he gave it."""
    async with (
        raw_server(answering(whole(b"{}"))) as proxy,
        raw_server(answering(whole(b"{}"))) as server,
    ):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        wire = AiohttpWire()
        assert await body_of(await wire.send(post(server.url))) == b"{}"
        await wire.close()
        assert (proxy.connections, len(server.exchanges)) == (0, 1)


async def test_a_refused_connection_is_told(wire: Wire) -> None:
    """Nothing was sent: another backend may be asked without a second thought."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert (await failure_of(wire, post(url))).kind is FailureKind.CONNECT


async def test_an_unknown_host_is_told(wire: Wire) -> None:
    """`.invalid` never resolves."""
    error = await failure_of(wire, post("http://backend.invalid"))
    assert error.kind is FailureKind.CONNECT


async def test_a_connection_that_is_not_made_in_time_is_given_up(wire: Wire) -> None:
    """A full backlog drops what comes, as a dead region does."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            url = f"http://127.0.0.1:{full.getsockname()[1]}"
            began = asyncio.get_running_loop().time()
            error = await failure_of(wire, post(url, connect_timeout_s=0.1))
            assert error.kind is FailureKind.CONNECT_TIMEOUT
            assert asyncio.get_running_loop().time() - began < 0.5
        finally:
            for filler in fillers:
                filler.close()


@pytest.mark.parametrize(
    ("head", "end", "kind"),
    [
        pytest.param(b"", "rst", FailureKind.RESET, id="reset"),
        pytest.param(b"", "fin", FailureKind.RESET, id="closed"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-", "rst", FailureKind.RESET, id="reset-in-head"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-", "fin", FailureKind.RESET, id="closed-in-head"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "fin", FailureKind.INVALID_RESPONSE, id="ssh"),
        pytest.param(b"<html></html>\r\n\r\n", "fin", FailureKind.INVALID_RESPONSE, id="no-http"),
    ],
)
async def test_no_head_is_told_by_its_kind(
    wire: Wire, head: bytes, end: str, kind: FailureKind
) -> None:
    """The request was sent, so it may have been worked on, and billed."""

    async def play(exchange: Exchange) -> None:
        await exchange.write(head)
        await asyncio.sleep(0.01)
        exchange.rst() if end == "rst" else exchange.fin()

    async with raw_server(play) as server:
        assert (await failure_of(wire, post(server.url))).kind is kind
        await until(lambda: server.open == 0)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(JSON_HEAD + b"content-length: 100\r\n\r\n{", id="length-declared"),
        pytest.param(STREAM_HEAD + chunk(b"data: 1\n\n"), id="chunked"),
        pytest.param(STREAM_HEAD + b"ff\r\nda", id="inside-a-chunk"),
    ],
)
@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_a_body_that_breaks_off_is_no_clean_end(wire: Wire, head: bytes, end: str) -> None:
    """Neither by a close nor by a reset; and the connection is not used again."""

    async def play(exchange: Exchange) -> None:
        await exchange.write(head)
        await asyncio.sleep(0.01)
        exchange.rst() if end == "rst" else exchange.fin()

    async with raw_server(play) as server:
        error = await failure_of(wire, post(server.url), in_body=True)
        assert error.kind is FailureKind.RESET
        await failure_of(wire, post(server.url), in_body=True)
        assert server.connections == 2


async def test_a_broken_body_stays_broken(wire: Wire) -> None:
    """Whoever asks once more does not take the break for the end."""

    async def play(exchange: Exchange) -> None:
        await exchange.write(JSON_HEAD + b"content-length: 100\r\n\r\n{")
        exchange.fin()

    async with raw_server(play) as server:
        response = await wire.send(post(server.url))
        assert await response.chunk() == b"{"
        for _ in range(3):
            with pytest.raises(WireError, match="reset"):
                await response.chunk()
        await response.close(reusable=False)


async def test_a_connection_kept_too_long_is_told_from_a_sick_backend(wire: Wire) -> None:
    """The server closes it just as the second request is on its way: nobody's fault, ask again."""

    async def play(exchange: Exchange) -> None:
        if exchange.served_before:
            exchange.fin()
        else:
            await exchange.write(whole(b"{}"))

    async with raw_server(play) as server:
        await body_of(await wire.send(post(server.url)))
        error = await failure_of(wire, post(server.url))
        assert error.kind is FailureKind.STALE_CONNECTION
        assert await body_of(await wire.send(post(server.url))) == b"{}"
        assert server.connections == 2
