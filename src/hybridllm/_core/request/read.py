"""Reading a call: what goes on the wire, what only we are told, and what a policy may look at.

Owns the border between a caller's keywords and the rest: after it nothing of a call is looked at
again. The caller's own objects are never changed. Errors name the parameter, never its content.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from hybridllm._core.policy.compiled import Capability
from hybridllm._core.policy.problems import nearest
from hybridllm._core.request.facts import Hints
from hybridllm._core.request.tokens import (
    MESSAGE_TOKENS,
    PICTURE_TOKENS,
    SOUND_TOKENS,
    text_tokens,
    value_tokens,
)
from hybridllm.errors import InvalidRequest

HINTS = frozenset(Hints.__dataclass_fields__)
TEXT_HINTS = frozenset({"task", "residency", "tenant", "feature", "session", "priority"})
PRIORITIES = ("interactive", "batch", "background")
HINT_CHARS_MAX = 256
# What a caller may add to a request; nothing that could carry a key, change the host or the framing.
HEADERS_ALLOWED = frozenset(
    {"idempotency-key", "openai-beta", "x-data-parallel-rank", "x-request-id", "x-vllm-priority"}
)
DEADLINE_S_MAX = 86_400.0
_OPENAI_EXTRAS = frozenset({"extra_headers", "extra_query", "extra_body", "timeout"})
_GIVEN_CLASSES = frozenset({str, int, float, bool, list, dict, type(None)})
_NO_HINTS = Hints()
_RESERVED_BODY = frozenset({"messages", "input", "model", "stream"})

_NO_NEEDS: frozenset[Capability] = frozenset()
_PART_NEEDS = {
    "image_url": Capability.VISION,
    "input_image": Capability.VISION,
    "video_url": Capability.VISION,
    "input_audio": Capability.AUDIO,
    "audio_url": Capability.AUDIO,
}


@dataclass(slots=True)
class Call:
    """One call, read. Its repr shows no content: it stands in the frames of tracebacks."""

    operation: str
    body: dict[str, Any] = field(repr=False)
    headers: Mapping[str, str] | None = field(repr=False)
    hints: Hints
    model: str | None
    stream: bool
    input_tokens_estimate: int
    output_tokens_max: int | None
    max_cost_usd: Decimal | None
    needs: frozenset[Capability]


def read_chat(params: dict[str, Any], hints: Hints) -> Call:
    """Read the keywords of `chat.completions.create`, hints already taken out.

    Raises:
        InvalidRequest: If messages are missing or a parameter cannot be sent.
    """
    body, headers, model, stream, hints = _read_common(params, hints)
    if "messages" not in body:
        raise InvalidRequest("messages: missing; a chat completion needs a list of messages")
    needs: set[Capability] = set()
    body["messages"], tokens = _read_messages(body["messages"], needs)
    if "tools" in body or "functions" in body:
        tokens += _read_tools(body, needs)
    response_format = body.get("response_format")
    if isinstance(response_format, Mapping) and response_format.get("type") == "json_schema":
        needs.add(Capability.JSON_SCHEMA)
        tokens += value_tokens(response_format)
    if body.get("logprobs") or body.get("top_logprobs"):
        needs.add(Capability.LOGPROBS)
    if "audio" in body or "audio" in (body.get("modalities") or ()):
        needs.add(Capability.AUDIO)
    return Call(
        "chat",
        body,
        headers,
        hints,
        model,
        stream,
        tokens,
        _output_tokens_max(body),
        _money("max_cost_usd", hints.max_cost_usd),
        frozenset(needs) if needs else _NO_NEEDS,
    )


def read_embeddings(params: dict[str, Any], hints: Hints) -> Call:
    """Read the keywords of `embeddings.create`, hints already taken out.

    Raises:
        InvalidRequest: If the input is missing or a parameter cannot be sent.
    """
    body, headers, model, stream, hints = _read_common(params, hints)
    if stream:
        raise InvalidRequest("stream: embeddings cannot be streamed; leave it out")
    if "input" not in body:
        raise InvalidRequest("input: missing; embeddings need a text, a list of texts, or tokens")
    given = body["input"]
    if not isinstance(given, str | list):
        given = body["input"] = list(given)
    longest = given if isinstance(given, str) else max(given, key=_length, default="")
    tokens = len(longest) if isinstance(longest, list) else value_tokens(longest)
    if isinstance(given, list) and given and isinstance(given[0], int):
        tokens = len(given)
    needs = frozenset({Capability.EMBEDDINGS})
    max_cost = _money("max_cost_usd", hints.max_cost_usd)
    return Call("embeddings", body, headers, hints, model, False, tokens, None, max_cost, needs)


def split_hints(params: dict[str, Any], context: Hints | None) -> tuple[dict[str, Any], Hints]:
    """Take our keywords out of a call's, and what was not given; the call's go before the context's.

    Raises:
        InvalidRequest: If a hint is not of its type.
    """
    given: dict[str, Any] = {}
    body: dict[str, Any] = {}
    for name, value in params.items():
        if value.__class__ not in _GIVEN_CLASSES and _absent(value):
            continue
        if name not in HINTS:
            body[name] = value
        elif value is not None:
            given[name] = value
    if context is not None:
        given = {n: v for n in HINTS if (v := getattr(context, n)) is not None} | given
    return body, checked_hints(given) if given else _NO_HINTS


def checked_hints(given: dict[str, Any]) -> Hints:
    """Make hints of keywords.

    Raises:
        InvalidRequest: If a hint is unknown or not of its type.
    """
    for name, value in given.items():
        if name in TEXT_HINTS:
            if value.__class__ is str and 0 < len(value) <= HINT_CHARS_MAX:
                continue
            if not isinstance(value, str) or not 0 < len(value) <= HINT_CHARS_MAX:
                raise InvalidRequest(
                    f"{name}: must be a text of 1 to {HINT_CHARS_MAX} characters, "
                    f"got {type(value).__name__} {_shown(value)}"
                )
        elif name not in HINTS:
            allowed = ", ".join(sorted(HINTS))
            raise InvalidRequest(f"unknown hint {name!r}; allowed: {allowed}{nearest(name, HINTS)}")
    priority = given.get("priority")
    if priority is not None and priority not in PRIORITIES:
        allowed = ", ".join(PRIORITIES)
        raise InvalidRequest(f"priority: {priority!r} is not one of {allowed}")
    if "deadline_s" in given:
        given["deadline_s"] = _deadline_s(given["deadline_s"])
    metadata = given.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidRequest(f"metadata: must be a mapping, got {type(metadata).__name__}")
    return Hints(**given)


def _read_common(
    params: dict[str, Any], hints: Hints
) -> tuple[dict[str, Any], Mapping[str, str] | None, str | None, bool, Hints]:
    """Merge `extra_body`, take `model`, `stream` and `timeout` out, check what may not pass."""
    body: dict[str, Any] = {}
    headers = None
    for name, value in params.items():
        if name in _OPENAI_EXTRAS:
            if value is None:
                continue
            if name == "extra_headers":
                headers = _checked_headers(value)
            elif name == "extra_body":
                body.update(_checked_extra_body(value))
            elif name == "extra_query":
                raise InvalidRequest("extra_query: not supported; URLs come from the policy only")
            elif hints.deadline_s is None:
                hints = _with_deadline(hints, value)
            continue
        if value.__class__ is float and not math.isfinite(value):
            raise InvalidRequest(f"{name}: {value} is not a finite number")
        body[name] = value
    model = body.pop("model", None)
    if model is not None and not isinstance(model, str):
        raise InvalidRequest(f"model: must be a text, got {type(model).__name__}")
    stream = body.pop("stream", None)
    if stream not in (None, False, True):
        raise InvalidRequest(f"stream: must be True or False, got {type(stream).__name__}")
    return body, headers, model or None, bool(stream), hints


def _read_messages(messages: Any, needs: set[Capability]) -> tuple[list[Any], int]:
    if messages.__class__ is not list and (
        isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable)
    ):
        kind = type(messages).__name__
        raise InvalidRequest(f"messages: must be a list of messages, got {kind}")
    out: list[Any] = []
    tokens = 0
    for message in messages:
        if message.__class__ is not dict:
            message = _plain(message, "messages")  # noqa: PLW2901 - an answer handed back as it came
        content = message.get("content")
        if content.__class__ is str:
            tokens += text_tokens(content) + MESSAGE_TOKENS
        elif content is not None:
            parts = content if isinstance(content, list) else list(content)
            if parts is not content:
                message = {**message, "content": parts}  # noqa: PLW2901 - a generator is read once
            tokens += _parts_tokens(parts, needs) + MESSAGE_TOKENS
        if len(message) > 2:  # more than role and content
            tool_calls = message.get("tool_calls")
            if tool_calls:
                tokens += value_tokens(tool_calls)
        out.append(message)
    return out, tokens


def _parts_tokens(parts: list[Any], needs: set[Capability]) -> int:
    tokens = 0
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        need = _PART_NEEDS.get(kind) if isinstance(kind, str) else None
        if need is not None:
            needs.add(need)
            tokens += PICTURE_TOKENS if need is Capability.VISION else SOUND_TOKENS
        else:
            tokens += value_tokens(part)
    return tokens


def _read_tools(body: dict[str, Any], needs: set[Capability]) -> int:
    tokens = 0
    for name in ("tools", "functions"):
        tools = body.get(name)
        if tools is not None:
            if not isinstance(tools, list):
                tools = body[name] = list(tools)
            if tools:
                needs.add(Capability.TOOLS)
                tokens += value_tokens(tools)
    return tokens


def _output_tokens_max(body: dict[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value.__class__ is int:
            return int(value)
    return None


def _checked_headers(headers: Any) -> Mapping[str, str]:
    if not isinstance(headers, Mapping):
        raise InvalidRequest(f"extra_headers: must be a mapping, got {type(headers).__name__}")
    out = {}
    for name, value in headers.items():
        if not isinstance(name, str) or name.lower() not in HEADERS_ALLOWED:
            allowed = ", ".join(sorted(HEADERS_ALLOWED))
            raise InvalidRequest(f"extra_headers: {name!r} may not be set; allowed: {allowed}")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise InvalidRequest(f"extra_headers: the value of {name!r} is not printable ASCII")
        out[name] = value
    return out


def _checked_extra_body(extra: Any) -> Mapping[str, Any]:
    if not isinstance(extra, Mapping):
        raise InvalidRequest(f"extra_body: must be a mapping, got {type(extra).__name__}")
    reserved = sorted(_RESERVED_BODY & set(extra))
    if reserved:
        raise InvalidRequest(
            f"extra_body: {reserved[0]!r} is a keyword of the call itself; pass it there"
        )
    return extra


def _with_deadline(hints: Hints, value: Any) -> Hints:
    """`timeout=` is openai's word; here it is the deadline of the whole request."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = type(value).__name__
        raise InvalidRequest(f"timeout: must be a number of seconds, got {kind}; see deadline_s")
    given = {n: v for n in HINTS if (v := getattr(hints, n)) is not None}
    return Hints(**given | {"deadline_s": _deadline_s(value)})


def _deadline_s(value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 < value <= DEADLINE_S_MAX
    ):
        raise InvalidRequest(
            f"deadline_s: must be seconds above 0 and up to {DEADLINE_S_MAX:g}, got {_shown(value)}"
        )
    return float(value)


def _money(name: str, value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        money = Decimal(str(value)) if not isinstance(value, bool) else Decimal("nan")
    except InvalidOperation:
        money = Decimal("nan")
    if not money.is_finite() or money < 0:
        raise InvalidRequest(f"{name}: must be an amount in USD of 0 or more, got {_shown(value)}")
    return money


def _absent(value: Any) -> bool:
    """`NOT_GIVEN` and `omit` of openai, known by name so that openai need not be loaded."""
    return value.__class__.__name__ in ("NotGiven", "Omit")


def _plain(value: Any, name: str) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise InvalidRequest(f"{name}: an entry is a {type(value).__name__}, not a mapping")
    plain: dict[str, Any] = dump(exclude_unset=True, mode="json", by_alias=True)
    return plain


def _length(value: Any) -> int:
    return len(value) if hasattr(value, "__len__") else 1


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
