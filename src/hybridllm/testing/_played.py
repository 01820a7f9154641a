"""A `Reply` played as the answer of a wire, in the event loop's time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import WireError
from hybridllm.testing._headers import Headers
from hybridllm.testing._reply import Reply


class PlayedResponse:
    """The head and the body of a reply, as a `WireResponse`.

    Args:
        reply: What is played; its delay before the head is over.
        closed: Is told once, when the router gives the connection back, what it said of it.
    """

    def __init__(self, reply: Reply, closed: Callable[[bool], None] = lambda _: None) -> None:
        self._reply = reply
        self._tell_closed = closed
        self._closed = False
        self._next = 0
        self._headers = Headers(reply.headers)

    @property
    def status(self) -> int:
        return self._reply.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    async def chunk(self) -> bytes:
        if self._closed:
            raise WireError(FailureKind.LOCAL, "the answer was closed before it was read")
        if self._next < len(self._reply.chunks):
            await wait(self._reply.chunk_delay_s)
            self._next += 1
            return self._reply.chunks[self._next - 1]
        await strike(self._reply)
        return b""

    async def close(self, *, reusable: bool) -> None:
        if not self._closed:
            self._closed = True
            self._tell_closed(reusable)


async def wait(seconds: float) -> None:
    """Wait, if there is something to wait for."""
    if seconds > 0:
        await asyncio.sleep(seconds)


async def forever() -> None:
    """Wait until the request is cancelled."""
    await asyncio.get_running_loop().create_future()


async def strike(reply: Reply) -> None:
    """Hang or fail, if the reply says so."""
    if reply.failure is not None:
        raise WireError(reply.failure, "scripted failure")
    if reply.hangs:
        await forever()
