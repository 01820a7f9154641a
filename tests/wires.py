"""The wires that there are, and how the tests use them."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest

from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm._adapters.httpx_wire import HttpxWire
from hybridllm._runtime.ports import Wire, WireError, WireRequest, WireResponse
from raw_server import STREAM_HEAD, Exchange, chunk

MakeWire = Callable[..., Wire]
KEY = "sk-canary-0123456789"
PROMPT = b'{"messages": "canary prompt"}'
HEADERS = {
    "Authorization": f"Bearer {KEY}",
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "hybridllm",
}


def aiohttp_wire(trust: ssl.SSLContext | None = None) -> Wire:
    return AiohttpWire(ssl_context=trust)


def httpx_wire(trust: ssl.SSLContext | None = None) -> Wire:
    client = httpx.AsyncClient(verify=trust or True, trust_env=False)
    return HttpxWire(client, owns_client=True)


def httpx2_wire(trust: ssl.SSLContext | None = None) -> Wire:
    client = httpx2.AsyncClient(verify=trust or True, trust_env=False)
    return HttpxWire(client, owns_client=True)


WIRES: list[MakeWire] = [aiohttp_wire, httpx_wire, httpx2_wire]


def post(url: str, **others: Any) -> WireRequest:
    return WireRequest("POST", f"{url}/v1/chat/completions", HEADERS, PROMPT, **others)


async def body_of(response: WireResponse) -> bytes:
    """The whole body; the connection is given back."""
    pieces = []
    while piece := await response.chunk():
        pieces.append(piece)
    await response.close(reusable=True)
    return b"".join(pieces)


async def failure_of(wire: Wire, request: WireRequest, *, in_body: bool = False) -> WireError:
    """The error that `request` ends with, at its head or in its body; it holds nothing of ours."""
    response = await wire.send(request) if in_body else None
    with pytest.raises(WireError) as caught:
        await (wire.send(request) if response is None else body_of(response))
    if response is not None:
        await response.close(reusable=False)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "canary" not in f"{error!r} {error} {error.detail}"
    return error


def answering(*pieces: bytes) -> Callable[[Exchange], Any]:
    async def play(exchange: Exchange) -> None:
        for piece in pieces:
            await exchange.write(piece)

    return play


async def stream_on(exchange: Exchange) -> None:
    """A stream that has begun and does not end by itself."""
    await exchange.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
    await exchange.peer_left()


async def silent(exchange: Exchange) -> None:
    """No answer at all."""
    await exchange.peer_left()
