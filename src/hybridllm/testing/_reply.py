"""What a scripted backend answers, as a value.

Owns the bytes of a scripted answer and when each of them comes; sends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from hybridllm._core.resilience.outcome import FailureKind

CREATED = 1_795_183_738  # any fixed second: answers are the same on every run
_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream; charset=utf-8"}

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "abort", "error"]


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer. Made with the class methods; refined with `after`, `paced`, `then_*`.

    Attributes:
        status_code: HTTP status.
        headers: Header fields of the answer.
        chunks: Its body, in the pieces in which it comes.
        delay_s: Wait before the head.
        chunk_delay_s: Wait before each piece of the body.
        failure: Why the exchange breaks; None if it does not.
        hangs: True if nothing follows what was sent, for ever.
        headless: True if `failure` or `hangs` strikes before the head.
    """

    status_code: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    chunks: tuple[bytes, ...] = ()
    delay_s: float = 0.0
    chunk_delay_s: float = 0.0
    failure: FailureKind | None = None
    hangs: bool = False
    headless: bool = False

    @classmethod
    def raw(
        cls, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Exactly these bytes."""
        return cls(status, tuple((headers or {}).items()), (body,) if body else ())

    @classmethod
    def json(
        cls, value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Any JSON value as the body."""
        body = json.dumps(value).encode()
        return cls.raw(body, status=status, headers=_JSON | dict(headers or {}))

    @classmethod
    def status(
        cls,
        code: int,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        retry_after: float | str | None = None,
        error_code: str | None = None,
    ) -> Reply:
        """An answer with this status; without a `body`, with an error object in OpenAI's shape."""
        extra = dict(headers or {})
        if retry_after is not None:
            extra["retry-after"] = str(retry_after)
        if isinstance(body, bytes):
            return cls.raw(body, status=code, headers=extra)
        if body is None:
            message = f"scripted answer with status {code}"
            body = {
                "error": {"message": message, "type": "scripted", "param": None, "code": error_code}
            }
        return cls.json(body, status=code, headers=extra)

    @classmethod
    def chat(
        cls,
        text: str | None,
        *,
        usage: tuple[int, int] | None = (10, 5),
        model: str = "scripted",
        finish_reason: str | None = "stop",
        tool_calls: Sequence[Mapping[str, Any]] | None = None,
    ) -> Reply:
        """A chat completion. `usage` is (prompt tokens, completion tokens); None leaves it out."""
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if tool_calls is not None:
            message["tool_calls"] = list(tool_calls)
        answer = {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": CREATED,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        }
        if usage is not None:
            answer["usage"] = _usage(usage)
        return cls.json(answer)

    @classmethod
    def chat_stream(
        cls,
        tokens: Sequence[str],
        *,
        usage: tuple[int, int] | None = (10, 5),
        model: str = "scripted",
        finish_reason: str | None = "stop",
        done: bool = True,
    ) -> Reply:
        """A streamed chat completion: role, one event per token, finish, usage, `[DONE]`.

        Args:
            tokens: The text of each event.
            usage: (prompt tokens, completion tokens); None leaves the usage event out.
            model: Name in the answer.
            finish_reason: None leaves the finish event out: a broken stream.
            done: False leaves `[DONE]` out.
        """
        deltas: list[tuple[dict[str, Any], str | None]] = [
            ({"role": "assistant", "content": ""}, None)
        ]
        deltas += [({"content": token}, None) for token in tokens]
        if finish_reason is not None:
            deltas.append(({}, finish_reason))
        events: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
            for delta, reason in deltas
        ]
        if usage is not None:
            events.append({"choices": [], "usage": _usage(usage)})
        head = {
            "id": "chatcmpl-scripted",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": model,
        }
        chunks = [sse(head | event) for event in events]
        if done:
            chunks.append(b"data: [DONE]\n\n")
        return cls.stream(*chunks)

    @classmethod
    def stream(cls, *chunks: bytes | str | Mapping[str, Any]) -> Reply:
        """An event stream of these pieces: bytes and text as they are, an object as one event."""
        pieces = [
            chunk
            if isinstance(chunk, bytes)
            else chunk.encode()
            if isinstance(chunk, str)
            else sse(chunk)
            for chunk in chunks
        ]
        return cls(200, tuple(_SSE.items()), tuple(pieces))

    @classmethod
    def embeddings(
        cls,
        vectors: Sequence[Sequence[float]],
        *,
        prompt_tokens: int = 8,
        model: str = "scripted",
    ) -> Reply:
        """An embeddings answer with these vectors."""
        data = [
            {"object": "embedding", "index": index, "embedding": list(vector)}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
        return cls.json({"object": "list", "model": model, "data": data, "usage": usage})

    @classmethod
    def fail(cls, kind: FailureKind | str = FailureKind.RESET) -> Reply:
        """No answer: the wire raises `WireError` of this kind (`"connect"`, `"reset"`, `"tls"`, ...)."""
        return cls(failure=FailureKind(kind), headless=True)

    @classmethod
    def hang(cls) -> Reply:
        """No answer, ever; the caller has to give up."""
        return cls(hangs=True, headless=True)

    def after(self, seconds: float) -> Reply:
        """The same, `seconds` later."""
        return replace(self, delay_s=self.delay_s + seconds)

    def paced(self, seconds: float) -> Reply:
        """The same, with `seconds` before each piece of the body."""
        return replace(self, chunk_delay_s=seconds)

    def then_fail(self, kind: FailureKind | str = FailureKind.RESET) -> Reply:
        """The same, but the exchange breaks after the last piece of the body."""
        return replace(self, failure=FailureKind(kind))

    def then_hang(self) -> Reply:
        """The same, but nothing comes after the last piece of the body, not even its end."""
        return replace(self, hangs=True)


def sse(event: Mapping[str, Any]) -> bytes:
    """Return one server-sent event that holds a JSON object."""
    return (
        b"data: " + json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"
    )


def _usage(usage: tuple[int, int]) -> dict[str, int]:
    tokens_in, tokens_out = usage
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }
