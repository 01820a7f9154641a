"""HTTP/1.1 from the server's side: requests out of bytes, and a connection that can be broken.

Hand-written, because a library would refuse to send what the faults have to send. Knows nothing of
models or faults.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from hybridllm.testing._headers import Headers

HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 64 * 1024 * 1024

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST, not FIN


def reset_on_close(transport: asyncio.BaseTransport) -> None:
    """Have the peer be told of a break, not of an end, when the connection is closed."""
    peer: socket.socket | None = transport.get_extra_info("socket")
    if peer is not None and peer.fileno() >= 0:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


class MalformedRequest(Exception):
    """The client's bytes are not an HTTP/1.1 request."""


@dataclass(slots=True)
class RecordedRequest:
    """One request as it arrived.

    Attributes:
        method: HTTP method.
        path: Path with query, as sent.
        headers: Header fields; names in any case.
        raw: The body's bytes.
        keeps_alive: False if the client asked for the connection to be closed after the answer.
        connection: Number of the connection it came on, from 1.
        number_on_connection: 1 for the first request of a connection; more: it was kept alive.
        received_at_s: The event loop's time.
        client_left: True if the client went away before the whole answer was sent.
    """

    method: str
    path: str
    headers: Headers = field(repr=False)
    raw: bytes = field(repr=False)
    keeps_alive: bool = True
    connection: int = 0
    number_on_connection: int = 0
    received_at_s: float = 0.0
    client_left: bool = False

    @property
    def json(self) -> Any:
        """The body, decoded from JSON; None if there is none, or it is not JSON."""
        try:
            return json.loads(self.raw)
        except ValueError:
            return None


class RequestParser:
    """Makes requests of the bytes of one connection, however they are cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: RecordedRequest | None = None
        self._body_bytes: int | None = 0  # None: chunked
        self._expects_continue = False

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        self._buffer += data

    def take_expectation(self) -> bool:
        """Return True, once, if the client waits for leave to send the body."""
        expected, self._expects_continue = self._expects_continue, False
        return expected

    def next_request(self) -> RecordedRequest | None:
        """Return the next whole request; None if more bytes are needed.

        Raises:
            MalformedRequest: If the bytes are not HTTP.
        """
        if self._head is None and not self._parse_head():
            return None
        body = self._take_chunked() if self._body_bytes is None else self._take(self._body_bytes)
        if body is None:
            return None
        request, self._head = self._head, None
        if request is not None:
            request.raw = body
        return request

    def _parse_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise MalformedRequest(f"head of more than {HEAD_BYTES_MAX} bytes")
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise MalformedRequest("request line is not `METHOD path HTTP/1.1`")
        headers = Headers(_field(line) for line in lines[1:])
        close = headers.get("connection", "").lower() == "close" or words[2] == "HTTP/1.0"
        self._head = RecordedRequest(words[0], words[1], headers, b"", keeps_alive=not close)
        self._body_bytes = _body_bytes(headers)
        self._expects_continue = headers.get("expect", "").lower() == "100-continue"
        return True

    def _take(self, count: int) -> bytes | None:
        if len(self._buffer) < count:
            return None
        body = bytes(self._buffer[:count])
        del self._buffer[:count]
        return body

    def _take_chunked(self) -> bytes | None:
        """Return a chunked body once its last chunk is there; trailers are not supported."""
        body, position = bytearray(), 0
        while True:
            line_end = self._buffer.find(b"\r\n", position)
            if line_end < 0:
                return None
            try:
                size = int(self._buffer[position:line_end].split(b";")[0], 16)
            except ValueError:
                raise MalformedRequest("size of a chunk is not a hexadecimal number") from None
            start, position = line_end + 2, line_end + 4 + size
            if len(self._buffer) < position:
                return None
            if size == 0:
                del self._buffer[:position]
                return bytes(body)
            body += self._buffer[start : start + size]


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise MalformedRequest("header line without a colon")
    return name.strip(), value.strip()


def _body_bytes(headers: Headers) -> int | None:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return None
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
        raise MalformedRequest(f"content-length {length[:20]!r}; allowed: 0 to {BODY_BYTES_MAX}")
    return int(length)


class Connection(asyncio.Protocol):
    """One connection of a client. An idle one has no task; each request in progress has one."""

    def __init__(
        self,
        number: int,
        *,
        answer: Callable[[Connection, RecordedRequest], Awaitable[None]],
        opened: Callable[[Connection], None],
        closed: Callable[[Connection], None],
        idle_timeout_s: float | None,
    ) -> None:
        self.number = number
        self._answer = answer
        self._opened = opened
        self._closed = closed
        self._parser = RequestParser()
        self._requests = 0
        self._current: RecordedRequest | None = None
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._idle_timeout_s = idle_timeout_s
        self._idle_timer: asyncio.TimerHandle | None = None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task of the request in progress."""
        return self._task

    @property
    def is_open(self) -> bool:
        """False once either side has begun to close."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what TCP and TLS servers hand out
        self._transport = transport
        self._opened(self)
        self._set_idle_timer()

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._may_write.set()
        self._cancel_idle_timer()
        if self._task is not None:
            if self._current is not None:
                self._current.client_left = True
            self._task.cancel()  # As vLLM does: who has left is not served any further.
        self._closed(self)

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def write(self, data: bytes) -> None:
        """Send, as soon as may be; to a client who has left, nothing."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written."""
        await self._may_write.wait()

    def fin(self) -> None:
        """Close after what was written, as a process does that ends in order."""
        if self._transport is not None:
            self._transport.close()

    def rst(self) -> None:
        """Break the connection off, as a process or a machine does that dies."""
        if self._transport is None:
            return
        reset_on_close(self._transport)
        self._transport.abort()

    def _go_on(self) -> None:
        """Begin with the next request, if it is there and the last one is answered."""
        if self._task is not None or not self.is_open:
            return
        try:
            request = self._parser.next_request()
        except MalformedRequest as error:
            self.write(f"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n{error}".encode())
            self.fin()
            return
        if request is None:
            if self._parser.take_expectation():
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        loop = asyncio.get_running_loop()
        self._cancel_idle_timer()
        self._requests += 1
        request.connection = self.number
        request.number_on_connection = self._requests
        request.received_at_s = loop.time()
        self._current = request
        name = f"simulated answer {self.number}.{self._requests}"
        # No TaskGroup: it would belong to one task, and fixtures open and close in different ones.
        self._task = loop.create_task(self._serve(request), name=name)

    async def _serve(self, request: RecordedRequest) -> None:
        try:
            await self._answer(self, request)
        finally:
            self._task = self._current = None
        if request.keeps_alive:
            self._set_idle_timer()
            self._go_on()
        else:
            self.fin()

    def _set_idle_timer(self) -> None:
        if self._idle_timeout_s is not None and self.is_open:
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(self._idle_timeout_s, self.fin)

    def _cancel_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
