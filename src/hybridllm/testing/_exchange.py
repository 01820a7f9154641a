"""One answer on its way to the client, with the fault that strikes it.

Owns the bytes of the answer. What it says is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any

from hybridllm.testing import _cuts as cuts
from hybridllm.testing._faults import BEFORE_THE_ROLE, Fault, FaultKind
from hybridllm.testing._http1 import Connection, RecordedRequest
from hybridllm.testing._shapes import Event, Json, Shapes

SERVER = "hybridllm-simulated"
JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"

_BEFORE_BREAKING_S = 0.01
_TURNS_BEFORE_BREAKING = 10
_USAGE_MARK = "\x00usage\x00"
_NO_FAULT = Fault(FaultKind.NONE)


class Exchange:
    """Writes one answer, well or not."""

    def __init__(
        self,
        connection: Connection,
        request: RecordedRequest,
        shapes: Shapes,
        fault: Fault | None,
    ) -> None:
        self._connection = connection
        self._request = request
        self._shapes = shapes
        self._fault = fault or _NO_FAULT
        self._packer: _Packer | None = None
        if self._fault.kind is FaultKind.GZIP:
            self._packer = _Packer(self._fault.size)
        self.head_sent = False

    @property
    def will_cut(self) -> bool:
        """True if the answer will go wrong in its middle."""
        return self._fault.kind is FaultKind.CUT

    @property
    def text_size(self) -> int | None:
        """How long a line the answer's text must make; None is as it comes."""
        return self._fault.size if self._fault.kind is FaultKind.OVERSIZE_LINE else None

    async def strikes_first(self) -> bool:
        """Do what the fault does before any good answer. True if that was all."""
        fault = self._fault
        match fault.kind:
            case FaultKind.SLOW:
                await asyncio.sleep(fault.seconds)
                return False
            case FaultKind.HANG:
                await _forever()
            case FaultKind.RESET_BEFORE_HEAD:
                self._connection.rst()
            case FaultKind.FIN_BEFORE_HEAD:
                self._connection.fin()
            case FaultKind.RESET_MID_HEAD:
                await self._send(b"HTTP/1.1 200 OK\r\nserver: hybr")
                self._break("rst")
            case FaultKind.STALE_KEEP_ALIVE:
                self._break(fault.how)
            case FaultKind.GARBAGE:
                await self._send(fault.payload or b"")
                self._break("fin")
            case FaultKind.STATUS | FaultKind.BODY:
                await self._send_payload(fault)
            case _:
                return False
        return True

    async def send_json(
        self, status: int, value: Json, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Send a whole answer."""
        fault = self._fault
        if fault.kind is FaultKind.CUT:
            await self._send_cut_json(status, value, fault.how)
            return
        body = self._dumps(self._altered(value))
        await self.send_body(status, body, JSON_TYPE, headers)

    async def send_body(
        self,
        status: int,
        body: bytes,
        content_type: str,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Send a whole answer of any kind."""
        if self._packer is not None:
            body = self._packer.pack(body) + self._packer.end(b"")
        await self._head(status, content_type, headers, length=len(body))
        await self._send(body)

    async def begin_stream(self) -> None:
        """Send the head of a stream."""
        await self._head(200, SSE_TYPE, (), length=None)

    async def send_stream(
        self, events: Iterable[Event], *, before_token: Callable[[int], Awaitable[None]]
    ) -> None:
        """Send the events of a stream and its end.

        Args:
            events: All of them, without `[DONE]`.
            before_token: Is awaited with the number of tokens sent, before each further one.
        """
        cut = self._fault if self._fault.kind is FaultKind.CUT else None
        tokens = 0
        aborted = False
        if cut is not None and cut.size == BEFORE_THE_ROLE:
            await self._cut_stream(cut.how)
            return
        for event in events:
            if cut is not None and cuts.is_due(cut, event, tokens):
                if cut.how == "abort":
                    aborted = True
                elif cut.how not in cuts.NOT_CHUNKS:
                    await self._cut_stream(cut.how)
                    return
                else:
                    await self._chunk(cuts.NOT_CHUNKS[cut.how])
                cut = None
            if event.carries == "token":
                if aborted:
                    continue
                await before_token(tokens)
                tokens += 1
            data = cuts.aborted(event, tokens) if aborted else event.data
            if (data := self._altered(data)) or event.carries != "usage":
                await self._chunk(b"data: " + self._dumps(data) + b"\n\n")
        await self._chunk(cuts.DONE)
        await self._end()

    def give_up(self) -> None:
        """Break off an answer that cannot be brought to its end."""
        self._connection.rst()

    async def _cut_stream(self, how: str) -> None:
        """End, or never end, what was streamed so far."""
        if how in cuts.BREAKS:
            await _let_client_read()
            self._break(how)
            return
        if how == "stall":
            await _forever()
        while how == "pings":
            await self._chunk(cuts.PING)
            await asyncio.sleep(cuts.PING_INTERVAL_S)
        for data in cuts.last_events(how, error=self._error()):
            await self._chunk(data)
        await self._end()

    async def _send_cut_json(self, status: int, value: Json, how: str) -> None:
        """What `cut_after` does to an answer that is not streamed."""
        cut = cuts.cut_answer(status, value, how, error=self._error(), dumps=self._dumps)
        if cut.length == len(cut.body):
            await self.send_body(cut.status, cut.body, JSON_TYPE)
            return
        await self._head(cut.status, JSON_TYPE, (), length=cut.length)
        await self._send(cut.body)
        if how in cuts.HANGS:
            await _forever()
        await _let_client_read()
        self._break(how)

    async def _send_payload(self, fault: Fault) -> None:
        """An answer that the fault holds, or an error in the backend's own shape."""
        body = fault.payload
        if body is None:
            message = f"simulated failure with status {fault.status_code}"
            body = self._dumps(self._shapes.error(fault.status_code, message))
        headers = dict(fault.headers)
        content_type = headers.pop("content-type", JSON_TYPE)
        await self.send_body(fault.status_code, body, content_type, tuple(headers.items()))

    async def _head(
        self,
        status: int,
        content_type: str,
        headers: Sequence[tuple[str, str]],
        *,
        length: int | None,
    ) -> None:
        framing = ("transfer-encoding", "chunked")
        if length is not None:
            framing = ("content-length", str(length))
        fields = [("server", SERVER), framing, ("content-type", content_type), *headers]
        if self._packer is not None:
            fields.append(("content-encoding", "gzip"))
        if not self._request.keeps_alive:
            fields.append(("connection", "close"))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        self.head_sent = True
        await self._send(f"HTTP/1.1 {status} {_phrase(status)}\r\n{lines}\r\n".encode("latin-1"))
        if self._fault.kind is FaultKind.HANG_AFTER_HEAD:
            await _forever()

    async def _chunk(self, data: bytes) -> None:
        """One piece of a body whose length is not known."""
        if self._packer is not None:
            data = self._packer.pack(data)
        await self._send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def _end(self) -> None:
        if self._packer is not None:
            data = self._packer.end(b": ")
            await self._send(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self._send(b"0\r\n\r\n")

    async def _send(self, data: bytes) -> None:
        fault = self._fault
        if not fault.cuts_to_pieces:
            self._connection.write(data)
            await self._connection.drain()
            return
        for start in range(0, len(data), fault.size):
            self._connection.write(data[start : start + fault.size])
            await asyncio.sleep(fault.seconds)

    def _break(self, how: str) -> None:
        if how == "rst":
            self._connection.rst()
        else:
            self._connection.fin()

    def _error(self) -> Json:
        return self._shapes.error(500, cuts.ERROR_MESSAGE)

    def _altered(self, value: Json) -> Json:
        """The answer as the fault wants it; empty if nothing of it is left."""
        fault = self._fault
        if fault.kind is FaultKind.FINISH_REASON:
            return cuts.with_finish_reason(value, fault.how)
        if fault.kind is FaultKind.USAGE and value.get("usage") is not None:
            rest = {name: each for name, each in value.items() if name != "usage"}
            if fault.payload is not None:
                return {**value, "usage": _USAGE_MARK}
            return rest if rest.get("choices") or "data" in rest else {}
        return value

    def _dumps(self, value: Any) -> bytes:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        if self._fault.kind is FaultKind.USAGE and self._fault.payload is not None:
            # Written as given: `1e999` is no number that Python could hold and write again.
            text = text.replace(json.dumps(_USAGE_MARK), self._fault.payload.decode())
        return text.encode()


class _Packer:
    """Compresses a body, and pads it with white space up to a size if it is to be a bomb."""

    def __init__(self, decoded_bytes: int) -> None:
        self._missing = decoded_bytes
        # The quickest level: while a bomb is made, everybody else in this loop waits.
        self._gzip = zlib.compressobj(1, wbits=31)

    def pack(self, data: bytes) -> bytes:
        self._missing -= len(data)
        return self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)

    def end(self, before_padding: bytes) -> bytes:
        packed = bytearray()
        block = b" " * 65_536
        if self._missing > 0:
            packed += self._gzip.compress(before_padding)
        while self._missing > 0:
            packed += self._gzip.compress(block[: self._missing])
            self._missing -= len(block)
        return bytes(packed) + self._gzip.flush()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Simulated"


async def _let_client_read() -> None:
    """Give a client in the same event loop time to hand on what it got: a break makes it forget that."""
    await asyncio.sleep(_BEFORE_BREAKING_S)
    for _ in range(_TURNS_BEFORE_BREAKING):
        await asyncio.sleep(0)


async def _forever() -> None:
    """Wait until the client leaves or the backend is closed: both cancel the task."""
    await asyncio.get_running_loop().create_future()
