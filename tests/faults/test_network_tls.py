"""The row of the fault catalogue about a backend's certificate: N10, on real sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import trustme

from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm.testing import SimulatedBackend
from lab.three import THREE, TIMEOUTS
from lab.traffic import calls
from runtime.world import KEY, MESSAGES, MODEL, World, world

# What a server that knows no more than TLS 1.0 sends: its choice of that version, or that ours is too new.
SERVER_HELLO_1_0 = (
    b"\x02\x00\x00\x26\x03\x01" + bytes(32) + b"\x00\x00\x2f\x00"
)  # version, random, no session, a cipher, no compression
TLS_1_0 = {
    "tls-1.0": b"\x16\x03\x01" + len(SERVER_HELLO_1_0).to_bytes(2, "big") + SERVER_HELLO_1_0,
    "tls-1.0-alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "no-tls": b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n",
}


def certified(how: str, trusted: trustme.CA) -> ssl.SSLContext:
    """What a server shows, good or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    past = datetime(2020, 1, 1, tzinfo=UTC)
    authority = trustme.CA() if how == "self-signed" else trusted
    host = "elsewhere.example" if how == "wrong-host" else "localhost"
    authority.issue_cert(host, not_after=past if how == "expired" else None).configure_cert(context)
    return context


@asynccontextmanager
async def ordered_after(first_url: str, trusted: trustme.CA) -> AsyncIterator[World]:
    """Three backends in their order, in the place of the first one something else."""
    trust = ssl.create_default_context()
    trusted.configure_trust(trust)
    async with world(
        *THREE,
        ordered=True,
        timeouts=TIMEOUTS.replace("connect: 200ms", "connect: 2s"),
        backends={"tls": certified("good", trusted)},
        url_of=lambda backend: first_url if backend.name == "eu-1" else backend.base_url,
        make_wire=lambda: AiohttpWire(ssl_context=trust),
    ) as here:
        yield here


async def elsewhere_after_tls(here: World) -> None:
    """Each of three requests has failed at the first backend, once, and was answered by the second."""
    told = await calls(3, lambda: here.chat(deadline_s=10.0))
    assert told.success == 1.0
    for each in told.all:
        first, last = each.receipt.attempts
        assert (first.backend, first.error, first.maybe_billed) == ("eu-1", "tls", False)
        assert last.backend == "eu-2"


@pytest.mark.parametrize("how", ["expired", "wrong-host", "self-signed"])
async def test_n10_a_backend_with_a_bad_certificate_is_never_asked(how: str) -> None:
    """A TLS error, one attempt there, another backend answers; and not a byte of the request is sent."""
    trusted = trustme.CA()
    async with (
        SimulatedBackend(models=[MODEL], tls=certified(how, trusted)) as bad,
        ordered_after(bad.base_url, trusted) as here,
    ):
        await elsewhere_after_tls(here)
        assert bad.requests == []


@pytest.mark.parametrize("how", TLS_1_0)
async def test_n10_a_server_without_a_tls_of_today_gets_no_plain_text(how: str) -> None:
    """Behind an https URL is one that speaks TLS 1.0, or none: it sees a handshake begin, and no more."""
    seen = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await reader.read(65_536))
        writer.write(TLS_1_0[how])
        try:
            seen.extend(await reader.read())
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with ordered_after(f"https://localhost:{port}/v1", trustme.CA()) as here:
            await elsewhere_after_tls(here)
    assert seen.startswith(b"\x16\x03")
    for canary in (b"POST", b"Bearer", KEY.encode(), MESSAGES[0]["content"].encode()):
        assert canary not in seen
