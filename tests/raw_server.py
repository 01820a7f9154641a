"""A loopback HTTP server that plays raw bytes, for faults that no HTTP library would make."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def whole(body: bytes, head: bytes = JSON_HEAD) -> bytes:
    """An answer with its length declared."""
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body; of no bytes: its end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass
class Exchange:
    """One request as it came, and the means to answer it."""

    head: bytes
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    served_before: int
    over: bool = False  # no further request is read from this connection

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}

    async def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    def fin(self) -> None:
        """Close the connection in good order, whatever was promised."""
        self.over = True
        self.writer.close()

    def rst(self) -> None:
        """Break the connection: the peer gets a reset."""
        self.over = True
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def peer_left(self) -> None:
        """Return when the client closes its end."""
        self.over = True
        try:
            await self.reader.read()
        except ConnectionError:
            pass


Play = Callable[[Exchange], Awaitable[None]]


@dataclass
class RawServer:
    """What the server saw.

    Attributes:
        connections: How many were ever accepted.
        open: How many are open now.
        busy: How many requests are being played now.
        received: Bytes received, over all connections.
    """

    play: Play
    port: int = 0
    scheme: str = "http"
    connections: int = 0
    open: int = 0
    busy: int = 0
    received: int = 0
    exchanges: list[Exchange] = field(default_factory=list)
    _tasks: set[asyncio.Task[None] | None] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self._tasks.add(asyncio.current_task())
        try:
            for served_before in range(1_000_000):
                exchange = await self._next(reader, writer, served_before)
                if exchange is None:
                    break
                self.busy += 1
                try:
                    await self.play(exchange)
                finally:
                    self.busy -= 1
                if exchange.over:
                    break
        except (ConnectionError, EOFError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            self.open -= 1
            self._tasks.discard(asyncio.current_task())
            writer.close()

    async def _next(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, served_before: int
    ) -> Exchange | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            self.received += len(error.partial)
            return None
        self.received += len(head)
        exchange = Exchange(head.removesuffix(b"\r\n\r\n"), b"", reader, writer, served_before)
        exchange.body = await reader.readexactly(int(exchange.headers.get("content-length", 0)))
        self.received += len(exchange.body)
        self.exchanges.append(exchange)
        return exchange

    def stop(self) -> None:
        """Drop every connection that is still open."""
        for task in self._tasks:
            if task is not None:
                task.cancel()


@asynccontextmanager
async def raw_server(play: Play, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serve on a free loopback port for the length of the block; nothing is left behind."""
    server = RawServer(play, scheme="https" if tls else "http")
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        server.stop()
        await until(lambda: server.open == 0)
        await listener.wait_closed()


async def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> float:
    """Wait for `condition`, and return after how many seconds it held; fail if it does not in time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not condition():
        assert loop.time() - began < within_s, "it did not come to pass in time"
        await asyncio.sleep(0.001)
    return loop.time() - began
