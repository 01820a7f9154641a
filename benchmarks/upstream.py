"""A mock upstream that costs its clients as little as possible: prebuilt bytes, keep-alive, no parsing.

Runs as a process of its own. The first line on stdout names its ports; then each JSON line on stdin is
one order, answered by one JSON line:

    {"tokens": 200, "every_s": 0.0}   shape of the streams from now on; 0: all in one write
    {"stats": true}                   connections and requests since the last time this was asked

`port` answers well, `sick_port` answers 503 to everything, `dead_port` is bound but does not listen,
so that the kernel refuses connections to it at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from typing import Any

from bench.load import MODEL
from bench.machine import pin, raise_file_limit

ANSWER = (
    "The customer was charged twice for one order; please refund the second charge of 2026-11-03."
)
# Five letters each, so that lengths can be checked; not all alike, because litellm breaks off a stream
# that repeats itself.
WORDS = (" this", " that", " then", " when", " here", " also", " even", " more", " less", " much")
USAGE = {
    "prompt_tokens": 42,
    "completion_tokens": 21,
    "total_tokens": 63,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _response(status: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nx-request-id: req-bench\r\n\r\n"
    )
    return head.encode() + body


CHAT = _response(
    "200 OK",
    _json(
        {
            "id": "chatcmpl-8f14e45fceea167a5a36dedd4bea2543",
            "object": "chat.completion",
            "created": 1795100000,
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": ANSWER, "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": USAGE,
            "system_fingerprint": "fp_44709d6fcb",
        }
    ),
)
SICK = _response("503 Service Unavailable", _json({"error": {"message": "overloaded"}}))
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def _event(data: bytes) -> bytes:
    """One SSE event as one HTTP chunk, as uvicorn would send it."""
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


def _chunk(choices: list[dict[str, Any]], **more: object) -> bytes:
    head = {
        "id": "chatcmpl-8f14e45fceea167a5a36dedd4bea2543",
        "object": "chat.completion.chunk",
        "created": 1795100000,
        "model": MODEL,
    }
    return _event(_json({**head, "choices": choices, **more}))


def _choice(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


ROLE = _chunk([_choice({"role": "assistant", "content": ""})])
TOKENS = tuple(_chunk([_choice({"content": word})]) for word in WORDS)
STOP = _chunk([_choice({}, "stop")])
USAGE_CHUNK = _chunk([], usage=USAGE)
DONE = _event(b"[DONE]") + b"0\r\n\r\n"


def _tokens(start: int, count: int) -> bytes:
    return b"".join(TOKENS[number % len(TOKENS)] for number in range(start, start + count))


class Shape:
    """What the next streams look like, and what was counted."""

    def __init__(self) -> None:
        self.tokens = 200
        self.every_s = 0.0
        self.burst = _tokens(0, self.tokens)
        self.connections = 0
        self.requests = 0
        self.streams = 0

    def set(self, tokens: int, every_s: float) -> None:
        self.tokens, self.every_s, self.burst = tokens, every_s, _tokens(0, tokens)

    def stats(self) -> dict[str, int]:
        seen = {"connections": self.connections, "requests": self.requests}
        self.connections = self.requests = 0
        return seen


class Upstream(asyncio.Protocol):
    """One connection: reads requests by their content-length, writes prebuilt bytes."""

    def __init__(self, shape: Shape, *, sick: bool = False) -> None:
        self.shape = shape
        self.sick = sick
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # TCP: always a Transport
        self.shape.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            self.answer(body)

    def answer(self, body: bytes) -> None:
        assert self.transport is not None
        self.shape.requests += 1
        if self.sick:
            self.transport.write(SICK)
        elif b'"stream":true' in body or b'"stream": true' in body:
            tail = STOP + (USAGE_CHUNK if b'"include_usage"' in body else b"") + DONE
            self.stream(tail)
        else:
            self.transport.write(CHAT)

    def stream(self, tail: bytes) -> None:
        assert self.transport is not None
        shape = self.shape
        if shape.every_s == 0.0:
            self.transport.write(STREAM_HEAD + ROLE + shape.burst + tail)
            return
        self.transport.write(STREAM_HEAD + ROLE + TOKENS[0])
        shape.streams += 1
        # Streams that began together must not tick together: one wake-up would serve them all.
        phase_s = shape.every_s * (shape.streams * 0.37 % 1.0)
        loop = asyncio.get_running_loop()
        first_s = loop.time() + shape.every_s + phase_s
        loop.call_at(first_s, self.tick, 1, first_s, tail)

    def tick(self, sent: int, now_s: float, tail: bytes) -> None:
        if self.transport is None:
            return
        token = _tokens(sent, 1)
        if sent + 1 >= self.shape.tokens:
            self.transport.write(token + tail)
            return
        self.transport.write(token)
        next_s = now_s + self.shape.every_s
        asyncio.get_running_loop().call_at(next_s, self.tick, sent + 1, next_s, tail)


def _obey(shape: Shape, order: dict[str, Any]) -> dict[str, Any]:
    if order.get("stats"):
        return shape.stats()
    shape.set(int(order["tokens"]), float(order["every_s"]))
    return {"ok": True}


async def serve() -> None:
    loop = asyncio.get_running_loop()
    shape = Shape()
    good = await loop.create_server(lambda: Upstream(shape), "127.0.0.1", 0, backlog=2048)
    sick = await loop.create_server(lambda: Upstream(shape, sick=True), "127.0.0.1", 0)
    dead = socket.socket()
    dead.bind(("127.0.0.1", 0))
    ports = {
        "port": good.sockets[0].getsockname()[1],
        "sick_port": sick.sockets[0].getsockname()[1],
        "dead_port": dead.getsockname()[1],
        "pid": os.getpid(),
    }
    print(json.dumps(ports), flush=True)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        print(json.dumps(_obey(shape, json.loads(line))), flush=True)
    dead.close()


if __name__ == "__main__":
    pin("upstream")
    raise_file_limit()
    asyncio.run(serve())
