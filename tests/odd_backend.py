"""Backends that answer oddly, byte for byte, behind a real router: for tests of what it makes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from hybridllm import Router
from hybridllm._runtime.ports import Wire
from raw_server import STREAM_HEAD, Exchange, RawServer, chunk, raw_server, until, whole

KEY = "sk-canary-0123456789"
MESSAGES = [{"role": "user", "content": "canary prompt"}]


def completion(**choice: Any) -> bytes:
    choice = {
        "index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop",
    } | choice  # fmt: skip
    return json.dumps(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    ).encode()


def event(data: bytes, name: bytes = b"") -> bytes:
    return (b"event: %b\n" % name if name else b"") + b"data: " + data + b"\n\n"


def piece(*, finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event(
        json.dumps(
            {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
             "choices": [choice]}
        ).encode()
    )  # fmt: skip


ROLE = piece(role="assistant", content="")
HEL, LO = piece(content="hel"), piece(content="lo")
STOP, DONE = piece(finish="stop"), event(b"[DONE]")
Odd = Callable[[Exchange], Any]


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> Odd:
    head = b"\r\n".join([b"HTTP/1.1 " + status, *(headers or [b"content-type: application/json"])])

    async def play(exchange: Exchange) -> None:
        await exchange.write(whole(body, head + b"\r\n"))

    return play


TRICKLES = {"stall": b"", "pings": chunk(b": ping\n\n"), "roles": chunk(ROLE)}


async def _trickle(exchange: Exchange, data: bytes) -> None:
    """Keep the connection busy, with nothing that is an answer, until the client leaves."""
    async with asyncio.TaskGroup() as group:
        left = group.create_task(exchange.peer_left())
        while not left.done():
            await asyncio.sleep(0.02)
            exchange.writer.write(data)


def stream(*pieces: bytes, end: str = "clean") -> Odd:
    """A stream of events, each in a chunk of its own, that ends so: clean, fin, rst, a trickle.

    Or not yet: open.
    """

    async def play(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        for data in pieces:
            await exchange.write(chunk(data))
        if end == "clean":
            await exchange.write(chunk(b""))
        elif end == "open":
            return
        elif end in TRICKLES:
            await _trickle(exchange, TRICKLES[end])
        else:
            await asyncio.sleep(0.01)
            exchange.rst() if end == "rst" else exchange.fin()

    return play


async def good(exchange: Exchange) -> None:
    """What a healthy backend answers."""
    if json.loads(exchange.body).get("stream"):
        await stream(ROLE, HEL, LO, STOP, DONE)(exchange)
    else:
        await exchange.write(whole(completion()))


def begun(odd: Odd, seen: asyncio.Event) -> Odd:
    """The same oddity, after two tokens that the caller has `seen`."""

    async def play(exchange: Exchange) -> None:
        write = exchange.write

        async def after_tokens(data: bytes) -> None:
            await write(data)
            if data == chunk(ROLE):
                await write(chunk(HEL) + chunk(LO))
                await seen.wait()

        exchange.write = after_tokens  # type: ignore[method-assign]
        await odd(exchange)

    return play


@dataclass
class Fleet:
    router: Router
    odd: RawServer
    good: RawServer


def policy(odd: RawServer, fallback: RawServer | None, attempt: str = "300ms") -> str:
    servers = {"odd": odd} | ({"good": fallback} if fallback else {})
    backends = "\n".join(
        f"  {name}: {{kind: api, base_url: '{server.url}/v1', api_key_env: KEY, region: eu, "
        "operator: self}"
        for name, server in servers.items()
    )
    places = ", ".join(f"{name}: m" for name in servers)
    return f"""
version: 1
retries: {{same_backend_max: 0}}
backends:
{backends}
models:
  m: {{on: {{{places}}}}}
  vectors: {{capabilities: [embeddings], on: {{{places}}}}}
tasks:
  chat: {{bucket: bandwidth, timeouts: {{total: 20s, first_token: 300ms, idle: 300ms, attempt: {attempt}}}}}
  index: {{bucket: bandwidth}}
routes:
  - {{name: vectors, when: {{task: index}}, use: [vectors]}}
  - {{name: all, use: [{{model: m, on: [{", ".join(servers)}]}}]}}
"""


@asynccontextmanager
async def fleet(
    odd: Odd, *, alone: bool = False, wire: Wire | None = None, attempt: str = "300ms"
) -> AsyncIterator[Fleet]:
    """A router over an odd backend and, behind it, a good one; at the end nothing is left.

    Args:
        odd: What the first backend does.
        alone: Whether there is no other.
        wire: How requests travel.
        attempt: How long a whole answer may take.
    """
    async with raw_server(odd) as first, raw_server(good) as second:
        text = policy(first, None if alone else second, attempt)
        async with Router.from_text(text, environ={"KEY": KEY}, wire=wire) as router:
            yield Fleet(router, first, second)
            await until(lambda: first.busy == second.busy == 0)
        if wire is None:  # the router's own is closed with it
            await until(lambda: first.open == second.open == 0)


async def text_of(stream: Any, *, then: asyncio.Event | None = None) -> str:
    """Read a stream to its end; `then` is set once its second token is here."""
    pieces: list[str] = []
    async with stream:
        async for part in stream:
            pieces += [part.choices[0].delta.content or ""]
            if then is not None and "".join(pieces) == "hello":
                then.set()
    return "".join(pieces)


DEEP = b"[" * 100_000
HTML = b"<!doctype html><html><body>Sign in to the hotel's network</body></html>"
ERROR = {"message": "no", "type": "Nope", "param": None, "code": 500}
INVALID = "invalid_response"
