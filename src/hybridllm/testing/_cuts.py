"""What becomes of an answer that goes wrong in its middle, as bytes; see `Fault.cut_after`.

Sends nothing. `_exchange.py` puts it on the wire, `_transport.py` into an answer in process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hybridllm.testing._faults import Fault
from hybridllm.testing._shapes import Event, Json

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
PING_INTERVAL_S = 0.05
BREAKS = frozenset({"fin", "rst"})  # the connection ends before the answer does
HANGS = frozenset({"stall", "pings"})  # nothing more comes that is an answer
NOT_CHUNKS: Mapping[str, bytes] = {  # what comes between the chunks; then all goes on well
    "bad_json": b'data: {"id": "chatcmpl-broken", "choices": [{"ind\n\n',
    "bad_utf8": b'data: {"id": "chatcmpl-broken", "choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n',
    "list": b"data: [1, 2]\n\n",
    "null": b"data: null\n\n",
}
ERROR_MESSAGE = (
    "EngineCore encountered an issue. See stack trace (above) for the root cause."
    " (simulated by hybridllm.testing)"
)
_ERRORS = frozenset({"error_event", "named_error_event", "flat_error"})


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """An answer that is not streamed, gone wrong.

    Attributes:
        body: What is sent of it.
        length: How long it was declared to be; with more than there is, it breaks or hangs.
    """

    status: int
    body: bytes
    length: int


def cut_answer(
    status: int, value: Json, how: str, *, error: Json, dumps: Callable[[Json], bytes]
) -> CutAnswer:
    """Return what is left of a whole answer.

    Args:
        status: Of the good answer.
        value: Its JSON.
        how: A `Cut`.
        error: The backend's error object, for those cuts that are one.
        dumps: Writes JSON.
    """
    match how:
        case "done_without_finish":
            value = with_finish_reason(value, None)
        case "abort":
            value = with_finish_reason(value, "abort")
        case _ if how in _ERRORS:
            status, value = 500, as_error(error, how)
    body = dumps(value)
    half = body[: len(body) // 2]
    if how in BREAKS or how in HANGS:
        return CutAnswer(status, half, len(body))
    match how:
        case "eof" | "partial_event" | "bad_json":
            body = half
        case "list":
            body = b"[1, 2]"
        case "null":
            body = b"null"
        case "bad_utf8":
            body = half + b"\xff\xfe" + body[len(half) :]
    return CutAnswer(status, body, len(body))


def last_events(how: str, *, error: Json) -> tuple[bytes, ...]:
    """Return what a stream that is cut, but neither breaks nor hangs, still brings before its end."""
    match how:
        case "partial_event":
            return (b'data: {"id": "chatcmpl-broken", "choi',)
        case "done_without_finish":
            return (DONE,)
        case _ if how in _ERRORS:
            name = b"event: error\n" if how == "named_error_event" else b""
            text = json.dumps(as_error(error, how)).encode()
            return (name + b"data: " + text + b"\n\n", DONE)
    return ()


def as_error(error: Json, how: str) -> Json:
    """Return an error object, or the flat one of older versions of vLLM."""
    return {"object": "error", **error["error"], "code": 500} if how == "flat_error" else error


def is_due(cut: Fault, event: Event, tokens: int) -> bool:
    """Tell if the stream is to be cut before this event."""
    if event.carries == "token":
        return tokens >= cut.size
    # No tokens are left: it is cut all the same, before it finishes.
    return event.carries != "role"


def aborted(event: Event, tokens: int) -> Json:
    """An event after vLLM gave up the request: finish reason `abort`, usage up to here."""
    if event.carries != "usage":
        return with_finish_reason(event.data, "abort")
    usage = event.data["usage"]
    total = usage["prompt_tokens"] + tokens
    return {**event.data, "usage": {**usage, "total_tokens": total, "completion_tokens": tokens}}


def with_finish_reason(value: Json, reason: str | None) -> Json:
    """Replace every finish reason that is set."""
    choices = value.get("choices")
    if not isinstance(choices, list):
        return value
    changed: list[Mapping[str, Any]] = [
        {**choice, "finish_reason": reason} if choice.get("finish_reason") else choice
        for choice in choices
    ]
    return {**value, "choices": changed}
