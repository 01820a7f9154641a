"""Recorded answers of a real vLLM server, as values. Nothing here is hand-made; see index.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "data" / "captures"


@dataclass(frozen=True)
class Capture:
    """One recorded exchange.

    Attributes:
        name: `default/chat`, as in index.json.
        path: Of the request.
        request: Its parsed body; None if there was none, or it was no JSON, or only parts were kept.
        status: None if the connection closed before any head.
        body: The answer's bytes after chunked decoding; of long streams the first and last events.
        complete: Whether the answer came to its declared end.
    """

    name: str
    path: str
    request: Any
    status: int | None
    headers: tuple[tuple[str, str], ...]
    body: bytes
    sizes: tuple[int, ...]
    complete: bool
    note: str

    @property
    def is_stream(self) -> bool:
        return any(value.startswith("text/event-stream") for _, value in self.headers)

    @property
    def pieces(self) -> list[bytes]:
        """The body as it was cut by the server, where the recording tells."""
        pieces, start = [], 0
        for size in self.sizes:
            pieces.append(self.body[start : start + size])
            start += size
        pieces.append(self.body[start:])
        return [piece for piece in pieces if piece]


@cache
def captures() -> dict[str, Capture]:
    """Every recorded exchange by its name."""
    index = json.loads((DIRECTORY / "index.json").read_text())
    return {entry["name"]: _load(entry["name"]) for entry in index["captures"]}


def _load(name: str) -> Capture:
    file = DIRECTORY / f"{name}.json"
    record = json.loads(file.read_text())
    request, response = record["request"], record["response"] or {}
    body = response.get("body", "").encode()
    if response.get("body_file", "").endswith(".sse"):
        body = (file.parent / response["body_file"]).read_bytes()
    cut = "body_cut" in response
    return Capture(
        name=name,
        path=request["path"],
        request=_parsed(request.get("body")),
        status=response.get("status"),
        headers=tuple((key.lower(), value) for key, value in response.get("headers", ())),
        body=body,
        sizes=() if cut else tuple(size for _, size in response.get("chunks_ms_bytes", ())),
        complete=record["end"] == "complete",
        note=record.get("note", ""),
    )


def _parsed(body: str | None) -> Any:
    try:
        return json.loads(body or "")
    except ValueError:
        return None
