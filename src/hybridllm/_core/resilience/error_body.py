"""Reads what a backend says of its error, whatever shape it says it in.

Shapes seen from real servers: OpenAI's `{"error": {...}}`, vLLM's `{"error": "Unauthorized"}` and its
older flat `{"object": "error", ...}`, FastAPI's `{"detail": ...}`, DashScope's flat `{"code": ...}`,
Anthropic's `details.error_code`, Gemini's list of one, HTML of a proxy, plain text, nothing.

Never raises. What comes out is raw: it may echo a key or the prompt. `redact.safe_message` makes the
text that may be shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MESSAGE_MAX = 500
"""Characters kept of a message, and of every other text."""

_BODY_MAX = 64 * 1024  # an error is short; what is longer is read as text, from its start
_NAME_MAX = 100
_ITEMS_MAX = 3
_ENVELOPES_MAX = 3
_TITLE = re.compile(r"<title[^<>]{0,200}>([^<]{0,500})", re.IGNORECASE)
_HTML_START = re.compile(r"\s{0,100}<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """An error as the backend told it.

    Attributes:
        message: RAW, cut to 500 characters; empty if there is none.
        type: `insufficient_quota`, `BadRequestError`, ...
        code: `context_length_exceeded`, ...; a number that is an HTTP status is in `status` instead.
        param: The request's field that it is about.
        status: HTTP status that the body itself names; None: none.
        details: Codes found one level deeper, for vendors that hide the real one there.
        from_proxy: True if it is a page of HTML: the words of something in between, not of the API.
    """

    message: str = field(default="", repr=False)
    type: str | None = None
    code: str | None = None
    param: str | None = None
    status: int | None = None
    details: tuple[str, ...] = ()
    from_proxy: bool = False


def read_error(body: object) -> ErrorBody:
    """Return what can be made out of an error's body: bytes, text, or JSON that was already parsed."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        body = bytes(body[: _BODY_MAX + 1]).decode("utf-8", errors="replace")
    if isinstance(body, str):
        body = _parsed(body)
    if isinstance(body, str):
        return ErrorBody(message=_from_text(body), from_proxy=bool(_HTML_START.match(body)))
    if isinstance(body, list):  # Gemini wraps its error into a list
        body = body[0] if body else None
    if not isinstance(body, Mapping):
        return ErrorBody()
    return _from_object(body)


def _parsed(text: str) -> Any:
    """Return the JSON that `text` holds, or `text` itself."""
    if len(text) > _BODY_MAX or text.lstrip()[:1] not in {"{", "[", '"'}:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _from_object(body: Mapping[Any, Any]) -> ErrorBody:
    error: Any = body
    for _ in range(_ENVELOPES_MAX):
        inner = next((error[key] for key in ("error", "detail", "errors") if error.get(key)), None)
        if not isinstance(inner, Mapping):
            break
        error = inner
    else:
        inner = None
    code, status = _code(error.get("code"))
    return ErrorBody(
        message=_message(inner)
        or _message(error.get("message"))
        or _message(error.get("msg"))
        or _message(body.get("message")),
        type=_name(error.get("type")),
        code=code,
        param=_name(error.get("param")),
        status=status or _status(error.get("status")) or _status(body.get("raw_status_code")),
        details=_details(error),
    )


def _code(value: object) -> tuple[str | None, int | None]:
    status = _status(value)
    return (None, status) if status else (_name(value), None)


def _status(value: object) -> int | None:
    """Return an HTTP error status, given as a number or as its digits."""
    if isinstance(value, str) and re.fullmatch("[45][0-9]{2}", value):
        return int(value)
    if type(value) is int and 400 <= value <= 599:
        return value
    return None


def _details(error: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return codes one level down: Anthropic's `details.error_code`, OpenRouter's moderation."""
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping) and "flagged_input" in metadata:
        return ("content_filter",)
    inner = error.get("details")
    if not isinstance(inner, Mapping):
        return ()
    names = (_name(inner.get(key)) for key in ("error_code", "code", "reason"))
    return tuple(name for name in names if name)


def _name(value: object) -> str | None:
    """Return a short word; numbers become text, anything else is none."""
    if isinstance(value, str):
        return value[:_NAME_MAX] or None
    if type(value) is int and abs(value) < 10**18:
        return str(value)
    return None


def _message(value: object) -> str:
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, list):
        return _from_list(value)
    if isinstance(value, Mapping):
        return _message(
            next((value[k] for k in ("message", "msg") if _is_text(value.get(k))), None)
        )
    return ""


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _from_list(items: list[Any]) -> str:
    """Return FastAPI's list of problems as one line: where and what, never the `input` it echoes."""
    lines = []
    for item in items[:_ITEMS_MAX]:
        if isinstance(item, Mapping):
            place = item.get("loc")
            where = (
                ".".join(str(p)[:_NAME_MAX] for p in place[:8]) if isinstance(place, list) else ""
            )
            what = next((item[k] for k in ("msg", "message") if _is_text(item.get(k))), "")
            lines.append(f"{where}: {what}" if where else what)
        elif isinstance(item, str):
            lines.append(item)
    return "; ".join(line[:MESSAGE_MAX] for line in lines if line)[:MESSAGE_MAX]


def _from_text(text: str) -> str:
    """Return text as it is; of a page of HTML, only its title."""
    if _HTML_START.match(text):
        title = _TITLE.search(text[: 8 * 1024])
        return f"HTML page: {' '.join(title[1].split())}"[:MESSAGE_MAX] if title else "HTML page"
    return text[: 4 * MESSAGE_MAX].strip()[:MESSAGE_MAX]
