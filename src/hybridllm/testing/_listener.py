"""A port that others connect to: opened, closed and opened again, at once and without awaiting."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import Callable

_HOST = "127.0.0.1"
_BACKLOG = 1024
_BLACKHOLE_FILLERS = (
    4  # a queue of length 0 takes one; the others wait for an answer that never comes
)


class Listener:
    """A loopback port, kept for the whole time, with or without somebody who listens on it."""

    def __init__(
        self, make_connection: Callable[[], asyncio.BaseProtocol], *, tls: ssl.SSLContext | None
    ) -> None:
        self._make_connection = make_connection
        self._tls = tls
        self._reserved = _reserve()
        self.port: int = self._reserved.getsockname()[1]
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._fillers: list[socket.socket] = []
        self._starting: set[asyncio.Task[None]] = set()

    @property
    def is_listening(self) -> bool:
        """True if one can connect."""
        return self._socket is not None and not self._fillers

    def open(self) -> None:
        """Listen. From here on clients can connect; nothing happens if they already can."""
        if self.is_listening:
            return
        self.close()
        self._socket = self._bound(_BACKLOG)
        # The kernel takes connections from now on; who answers them is ready a moment later.
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._start(self._socket), name="a simulated port opens")
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    def close(self) -> None:
        """Stop listening: who tries to connect is refused. Open connections stay."""
        if self._server is not None:
            self._server.close()
        elif self._socket is not None:
            # A server may be in the making: it watches the socket already, and cannot undo that later.
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        self._server = self._socket = None

    def blackhole(self) -> None:
        """Let every attempt to connect hang, by a queue that is full and that nobody empties."""
        if sys.platform != "linux":
            raise NotImplementedError("Fault.blackhole needs Linux: elsewhere a full queue refuses")
        self.close()
        self._socket = self._bound(0)
        for _ in range(_BLACKHOLE_FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect((_HOST, self.port))
            self._fillers.append(filler)

    async def release(self) -> None:
        """Stop listening and give the port back."""
        self.close()
        for task in tuple(self._starting):
            await task
        self._reserved.close()

    async def _start(self, listening: socket.socket) -> None:
        if listening is not self._socket:
            return  # closed again in the meantime
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            self._make_connection, sock=listening, ssl=self._tls, backlog=_BACKLOG
        )
        if listening is self._socket:
            self._server = server  # otherwise closed again in the meantime, and its socket with it

    def _bound(self, backlog: int) -> socket.socket:
        listening = socket.socket(proto=socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setblocking(False)
        listening.bind((_HOST, self.port))
        listening.listen(backlog)
        return listening


def _reserve() -> socket.socket:
    """Bind a port without listening, so that nobody else is given it while the backend is down."""
    reserved = socket.socket()
    reserved.bind((_HOST, 0))
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return reserved
