"""Answers of a wire, spoilt on their way through a `FaultTransport`."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._core.wire.sse import SseDecoder
from hybridllm._runtime.ports import WireError, WireResponse
from hybridllm.testing import _cuts as cuts
from hybridllm.testing._faults import BEFORE_THE_ROLE, Fault
from hybridllm.testing._played import forever, wait
from hybridllm.testing._reply import sse
from hybridllm.testing._shapes import Event, Json

_TOKENS = ("content", "reasoning", "reasoning_content", "refusal", "tool_calls")


class _Spoilt:
    """The head of an answer as it is, its body not quite."""

    def __init__(self, response: WireResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers


class Trickle(_Spoilt):
    """A body in small pieces, with a wait before each."""

    def __init__(self, response: WireResponse, *, piece_bytes: int, interval_s: float) -> None:
        super().__init__(response)
        self._piece_bytes = piece_bytes
        self._interval_s = interval_s
        self._rest = b""

    async def chunk(self) -> bytes:
        self._rest = self._rest or await self._response.chunk()
        if self._rest:
            await wait(self._interval_s)
        piece, self._rest = self._rest[: self._piece_bytes], self._rest[self._piece_bytes :]
        return piece

    async def close(self, *, reusable: bool) -> None:
        await self._response.close(reusable=reusable and not self._rest)


class CutStream(_Spoilt):
    """A stream of events that goes wrong after some tokens."""

    def __init__(self, response: WireResponse, cut: Fault, *, error: Json) -> None:
        super().__init__(response)
        self._cut = cut
        self._error = error
        self._decoder = SseDecoder()
        self._out: deque[bytes] = deque()
        self._tokens = 0
        self._due = cut.size == BEFORE_THE_ROLE
        self._aborted = False
        self._spoilt = False
        self._over = False
        if self._due:
            self._begin_end()

    async def chunk(self) -> bytes:
        while not self._out:
            if self._over:
                return await self._end()
            piece = await self._response.chunk()
            if not piece:
                return b""
            for name, data in self._decoder.feed(piece):
                if not self._over:
                    self._take(name, data)
        return self._out.popleft()

    async def close(self, *, reusable: bool) -> None:
        await self._response.close(reusable=reusable and not self._over)

    def _take(self, name: bytes, data: bytes) -> None:
        """Hand on one event, unless the stream is cut before it, or it is to be another one."""
        event = _event(data)
        if not self._spoilt and event is not None and cuts.is_due(self._cut, event, self._tokens):
            self._begin_end()
            if self._over:
                return
        if event is not None and event.carries == "token":
            if self._aborted:
                return
            self._tokens += 1
        if self._aborted and event is not None:
            self._out.append(sse(cuts.aborted(event, self._tokens)))
        else:
            prefix = b"event: " + name + b"\n" if name else b""
            self._out.append(prefix + b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n")

    def _begin_end(self) -> None:
        self._spoilt = True
        how = self._cut.how
        if how == "abort":
            self._aborted = True
        elif how in cuts.NOT_CHUNKS:
            self._out.append(cuts.NOT_CHUNKS[how])
        else:
            self._over = True
            self._out += cuts.last_events(how, error=self._error)

    async def _end(self) -> bytes:
        how = self._cut.how
        if how in cuts.BREAKS:
            raise WireError(FailureKind.RESET, f"fault: cut, {how}")
        if how == "stall":
            await forever()
        if how == "pings":
            await asyncio.sleep(cuts.PING_INTERVAL_S)
            return cuts.PING
        return b""


async def whole_body(response: WireResponse) -> bytes:
    """Read an answer to its end, and give its connection back."""
    pieces: list[bytes] = []
    whole = False
    try:
        while piece := await response.chunk():
            pieces.append(piece)
        whole = True
    finally:
        await response.close(reusable=whole)
    return b"".join(pieces)


def _event(data: bytes) -> Event | None:
    """An event by what it carries; None if it is no chunk, such as `[DONE]`."""
    try:
        value: Any = json.loads(data)
        choices = value["choices"]
        return Event(value, _carries(choices))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _carries(choices: list[Any]) -> Literal["role", "token", "finish", "usage"]:
    if not choices:
        return "usage"
    if any(choice.get("finish_reason") for choice in choices):
        return "finish"
    deltas = [choice.get("delta") or {} for choice in choices]
    return "token" if any(delta.get(name) for delta in deltas for name in _TOKENS) else "role"
