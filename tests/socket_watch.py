"""What this process does with sockets, told by Python's own audit events; nothing is patched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LOOPBACK = ("127.", "::1", "localhost", "/", "\0")


class SocketWatch:
    """Refuses to connect to anything but this machine, and records what happens while it is asked to.

    Attributes:
        events: Of every socket made, bound or connected while `watching`.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self._watching = 0

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """For `sys.addaudithook`."""
        if not event.startswith("socket."):
            return
        if self._watching:
            self.events.append(f"{event} {arguments[1:]}")
        if event in ("socket.connect", "socket.sendto"):
            address = arguments[-1]
            host = address[0] if isinstance(address, tuple) else address
            if isinstance(host, str) and host and not host.startswith(LOOPBACK):
                raise PermissionError(f"a test may not reach {address!r}: only loopback")

    @contextmanager
    def watching(self) -> Iterator[list[str]]:
        """Record every socket event of the block."""
        self.events = []
        self._watching += 1
        try:
            yield self.events
        finally:
            self._watching -= 1


WATCH = SocketWatch()
