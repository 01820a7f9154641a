"""What holds for every test: nothing but this machine is connected to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import settings

LOOPBACK = ("127.", "::1", "localhost", "/", "\0")

# One profile for everybody: the same examples on every run, and no limit per example, which a busy
# machine would break at random.
settings.register_profile("hybridllm", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("hybridllm")


class SocketWatch:
    """What this process does with sockets, told by Python's own audit events; nothing is patched.

    Attributes:
        events: Of every socket made, bound or connected while `watching`.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self._watching = 0

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
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
        self._watching += 1
        try:
            yield self.events
        finally:
            self._watching -= 1
            self.events = []


_WATCH = SocketWatch()
sys.addaudithook(_WATCH.hook)  # for the life of the process: a hook cannot be taken away


@pytest.fixture
def socket_watch() -> SocketWatch:
    """The process's sockets, to be watched."""
    return _WATCH
