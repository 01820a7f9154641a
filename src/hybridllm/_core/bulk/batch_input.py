"""The lines of a batch file, as OpenAI's batch API takes them, read into requests.

    {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {...},
     "hybridllm": {"task": "classify", "residency": "eu"}}

The last key is ours: hints for the router alone, which no body may hold. What is wrong with a line is told
with what is allowed, and never with its content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hybridllm._core.policy.problems import nearest
from hybridllm._core.request.fields import FIELDS
from hybridllm._core.request.hints import HINTS, shown

OPERATIONS = {"/v1/chat/completions": "chat", "/v1/embeddings": "embeddings"}
URLS = {operation: url for url, operation in OPERATIONS.items()}
KEYS = ("custom_id", "method", "url", "body", "hybridllm")
LINE_BYTES_MAX = 32 << 20
CUSTOM_ID_CHARS_MAX = 512

_NOT_IN_BODY = (HINTS - {"metadata"}) | {"timeout", "extra_headers", "extra_query"}


class BadLine(Exception):
    """A line that cannot be sent.

    Attributes:
        code: Which of its kinds, in one word.
        number: Of the line in its file, from 1.
        custom_id: If it could be read.
    """

    def __init__(self, code: str, message: str, *, number: int, custom_id: str | None) -> None:
        super().__init__(message)
        self.code = code
        self.number = number
        self.custom_id = custom_id


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One good line. Its repr shows no content.

    Attributes:
        request: Keywords of a call, hints included.
    """

    number: int
    custom_id: str
    request: dict[str, Any] = field(repr=False)


class LineReader:
    """Reads the lines of one file, and remembers which ids it has seen (about 70 bytes each).

    Args:
        operation: Of the whole batch; a line of another one is refused, as OpenAI does.
        hints: For lines that do not say better.
        ignore_model: Whether to forget the model that a body names, so that the policy chooses.
    """

    def __init__(self, operation: str, *, hints: Mapping[str, Any], ignore_model: bool) -> None:
        self._operation = operation
        self._hints = hints
        self._ignore_model = ignore_model
        self._seen: set[int] = set()

    def read(self, number: int, line: bytes | None) -> BatchLine | BadLine:
        """Return what a line says; None stands for one that is too large to be read."""
        custom_id: str | None = None
        try:
            said = _object(line)
            custom_id = _custom_id(said)
            self._once(custom_id)
            return BatchLine(number, custom_id, self._request(said))
        except _Wrong as wrong:
            return BadLine(wrong.code, str(wrong), number=number, custom_id=custom_id)

    def _once(self, custom_id: str) -> None:
        digest = hashlib.blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=8)
        number = int.from_bytes(digest.digest())
        if number in self._seen:
            raise _Wrong(
                "duplicate_custom_id",
                f"custom_id {shown(custom_id)} stands on a line above already",
            )
        self._seen.add(number)

    def _request(self, said: dict[str, Any]) -> dict[str, Any]:
        unknown = next((key for key in said if key not in KEYS), None)
        if unknown is not None:
            raise _Wrong(
                "unknown_key",
                f"unknown key {shown(unknown)}{nearest(unknown, KEYS)}; allowed: {', '.join(KEYS)}",
            )
        if said.get("method", "POST") != "POST":
            raise _Wrong("invalid_method", f"method: {shown(said['method'])} is not 'POST'")
        self._check_url(said.get("url"))
        body = said.get("body")
        if not isinstance(body, dict):
            kind = "missing" if body is None else f"must be an object, got {type(body).__name__}"
            raise _Wrong("invalid_body", f"body: {kind}; it is what a call would send")
        fields = FIELDS[self._operation]
        for name in body:
            if name in _NOT_IN_BODY and name not in fields:
                raise _Wrong(
                    "invalid_body",
                    f"body: {name!r} may not stand there; a hint for the router goes under 'hybridllm', "
                    "beside 'body'",
                )
        hints = {**self._hints, **_hints(said.get("hybridllm"))}
        request = {name: value for name, value in body.items() if value is not None}
        if self._ignore_model:
            request.pop("model", None)
        return {**hints, **request}

    def _check_url(self, url: Any) -> None:
        expected = URLS[self._operation]
        if not isinstance(url, str) or url not in OPERATIONS:
            raise _Wrong("invalid_url", f"url: {shown(url)} is not one of {', '.join(OPERATIONS)}")
        if url != expected:
            raise _Wrong(
                "mismatched_url",
                f"url: {url!r} is not that of this batch, {expected!r} (its first line decides); put the "
                "others into a file of their own",
            )


def operation_in(line: bytes | None) -> str | None:
    """Return the operation of a line; None if it names none."""
    try:
        url = _object(line).get("url")
    except _Wrong:
        return None
    return OPERATIONS.get(url) if isinstance(url, str) else None


class _Wrong(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _object(line: bytes | None) -> dict[str, Any]:
    if line is None:
        raise _Wrong("line_too_large", f"the line has more than {LINE_BYTES_MAX >> 20} MiB")
    try:
        said = json.loads(line.rstrip().decode())
    except json.JSONDecodeError as error:
        raise _Wrong(
            "invalid_json_line", f"the line is not JSON: {error.msg} at column {error.colno}"
        ) from None
    except UnicodeDecodeError:
        raise _Wrong("invalid_json_line", "the line is not UTF-8") from None
    except ValueError:  # Python's limit; others are told above
        raise _Wrong(
            "invalid_json_line", "the line has a number with too many digits (more than 4,300)"
        ) from None
    except RecursionError:
        raise _Wrong("invalid_json_line", "the line is nested too deeply") from None
    if not isinstance(said, dict):
        raise _Wrong(
            "invalid_json_line", f"the line is a JSON {type(said).__name__}, not an object"
        )
    return said


def _custom_id(said: dict[str, Any]) -> str:
    custom_id = said.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= CUSTOM_ID_CHARS_MAX:
        raise _Wrong(
            "invalid_custom_id",
            f"custom_id: must be a text of 1 to {CUSTOM_ID_CHARS_MAX} characters, unique in the file; got "
            f"{type(custom_id).__name__} {shown(custom_id)}",
        )
    return custom_id


def _hints(said: Any) -> Mapping[str, Any]:
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise _Wrong(
            "invalid_hint", f"hybridllm: must be an object of hints, got {type(said).__name__}"
        )
    for name in said:
        if name not in HINTS:
            allowed = ", ".join(sorted(HINTS))
            raise _Wrong(
                "invalid_hint",
                f"hybridllm: unknown hint {shown(name)}{nearest(name, HINTS)}; allowed: {allowed}",
            )
    return {name: value for name, value in said.items() if value is not None}
