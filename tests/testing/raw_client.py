"""A client that shows every byte: no library that could forgive or hide anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hybridllm.testing import SimulatedBackend


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What came back, and how it ended: `fin`, `rst`, or `silence` (nothing more within the wait)."""

    raw: bytes
    end: str

    @property
    def head(self) -> str:
        return self.raw.partition(b"\r\n\r\n")[0].decode("latin-1")

    @property
    def status(self) -> int:
        return int(self.head.split(" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.split("\r\n")[1:]
        return {line.split(": ", 1)[0]: line.split(": ", 1)[1] for line in lines}

    @property
    def payload(self) -> bytes:
        """The bytes after the head, still chunked if they were."""
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def body(self) -> bytes:
        return dechunked(self.payload) if "transfer-encoding" in self.headers else self.payload

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> list[str]:
        """What stands behind `data: `, line by line."""
        lines = self.body.decode().splitlines()
        return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]

    @property
    def events(self) -> list[Any]:
        """The events of a stream, decoded, without `[DONE]`."""
        return [json.loads(data) for data in self.data if data != "[DONE]"]

    @property
    def text(self) -> str:
        """The text of the first choice of a stream."""
        deltas = [event["choices"][0]["delta"] for event in self.events if event.get("choices")]
        return "".join(delta.get("content") or "" for delta in deltas)


def dechunked(payload: bytes) -> bytes:
    """Join the chunks that are there; the last one may be missing."""
    body = b""
    while payload:
        size, _, rest = payload.partition(b"\r\n")
        count = int(size or b"0", 16)
        body += rest[:count]
        payload = rest[count + 2 :]
    return body


def request_bytes(
    method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return a request; anything but bytes becomes JSON."""
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"host": "simulated", "content-length": str(len(raw)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + raw


async def ask(
    backend: SimulatedBackend,
    body: Any = None,
    *,
    path: str = "/v1/chat/completions",
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    wait_s: float = 2.0,
) -> RawAnswer:
    """Send one request on a connection of its own and collect what comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
    method = method or ("GET" if body is None else "POST")
    fields = {"connection": "close", **(headers or {})}
    writer.write(request_bytes(method, path, body, fields))
    try:
        return await collect(reader, wait_s=wait_s)
    finally:
        writer.close()
        await asyncio.wait([asyncio.ensure_future(_closed(writer))])


async def collect(reader: asyncio.StreamReader, *, wait_s: float) -> RawAnswer:
    """Read until the connection ends, or nothing came for `wait_s`."""
    raw = b""
    while True:
        try:
            async with asyncio.timeout(wait_s):
                piece = await reader.read(65_536)
        except TimeoutError:
            return RawAnswer(raw, "silence")
        except ConnectionResetError:
            return RawAnswer(raw, "rst")
        if not piece:
            return RawAnswer(raw, "fin")
        raw += piece


async def _closed(writer: asyncio.StreamWriter) -> None:
    try:
        await writer.wait_closed()
    except ConnectionError:
        pass


def chat(content: str = "I was charged twice", **fields: Any) -> dict[str, Any]:
    """Return the body of a chat request."""
    messages = [{"role": "user", "content": content}]
    return {"model": "qwen3-8b", "messages": messages, **fields}


def stream(content: str = "I was charged twice", **fields: Any) -> dict[str, Any]:
    """Return the body of a request for a stream with usage."""
    return chat(content, stream=True, stream_options={"include_usage": True}, **fields)
