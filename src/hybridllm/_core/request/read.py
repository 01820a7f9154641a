"""Reading a call: what goes on the wire, what only we are told, and what a policy may look at.

Owns the border between a caller's keywords and the rest: after it nothing of a call is looked at
again. The caller's own objects are never changed. Errors name the parameter, never its content.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from hybridllm._core.affinity.key import prefix_of
from hybridllm._core.decide.match import fits
from hybridllm._core.policy.compiled import Capability, Policy
from hybridllm._core.request.facts import NO_METADATA, Facts, Hints
from hybridllm._core.request.fields import NOT_EXTRA
from hybridllm._core.request.hints import shown
from hybridllm._core.request.prompt import read_input, read_messages, read_tools
from hybridllm._core.request.smuggled import smuggled
from hybridllm._core.request.tokens import value_tokens
from hybridllm.errors import InvalidRequest

# What a caller may add to a request; nothing that could carry a key, change the host or the framing.
HEADERS_ALLOWED = frozenset(
    {"idempotency-key", "openai-beta", "x-data-parallel-rank", "x-request-id", "x-vllm-priority"}
)
N_MAX = 1_024

_NUMERIC = re.compile("[0-9]")
_NO_TAGS: frozenset[str] = frozenset()
_NO_NEEDS: frozenset[Capability] = frozenset()
_EMBEDDING_NEEDS = frozenset({Capability.EMBEDDINGS})


@dataclass(slots=True)
class Call:
    """One call, read. Its repr shows no content: it stands in the frames of tracebacks.

    Attributes:
        input_tokens_estimate: Of the prompt that must fit a context: of many inputs the longest.
        input_tokens_total: Of all inputs together, for money.
        answers: How many choices are wanted (`n`).
    """

    operation: str
    body: dict[str, Any] = field(repr=False)
    headers: Mapping[str, str] | None = field(repr=False)
    hints: Hints
    model: str | None
    stream: bool
    input_tokens_estimate: int
    input_tokens_total: int
    output_tokens_max: int | None
    max_cost_usd: Decimal | None
    needs: frozenset[Capability]
    answers: int = 1


def read_chat(params: dict[str, Any], hints: Hints) -> Call:
    """Read the keywords of `chat.completions.create`, hints already taken out.

    Raises:
        InvalidRequest: If messages are missing or a parameter cannot be sent.
    """
    body, headers, model, stream = _read_common(params)
    if "messages" not in body:
        raise InvalidRequest("messages: missing; a chat completion needs a list of messages")
    needs: set[Capability] = set()
    body["messages"], tokens = read_messages(body["messages"], needs)
    if "tools" in body or "functions" in body:
        tokens += read_tools(body, needs)
    response_format = body.get("response_format")
    if isinstance(response_format, Mapping) and response_format.get("type") == "json_schema":
        needs.add(Capability.JSON_SCHEMA)
        tokens += value_tokens(response_format)
    if body.get("logprobs") or body.get("top_logprobs"):
        needs.add(Capability.LOGPROBS)
    if body.get("audio") or "audio" in (body.get("modalities") or ()):
        needs.add(Capability.AUDIO)
    options = body.get("stream_options")
    if options is not None and not isinstance(options, Mapping):
        raise InvalidRequest(f"stream_options: must be a mapping, got {type(options).__name__}")
    _check_interrupt(hints, stream=stream)
    return Call(
        "chat",
        body,
        headers,
        hints,
        model,
        stream,
        tokens,
        tokens,
        _output_tokens_max(body),
        _money("max_cost_usd", hints.max_cost_usd),
        frozenset(needs) if needs else _NO_NEEDS,
        _answers(body),
    )


def read_embeddings(params: dict[str, Any], hints: Hints) -> Call:
    """Read the keywords of `embeddings.create`, hints already taken out.

    Raises:
        InvalidRequest: If the input is missing or a parameter cannot be sent.
    """
    body, headers, model, stream = _read_common(params)
    if stream:
        raise InvalidRequest("stream: embeddings cannot be streamed; leave it out")
    _check_interrupt(hints, stream=False)
    if "input" not in body:
        raise InvalidRequest("input: missing; embeddings need a text, a list of texts, or tokens")
    body["input"], longest, total = read_input(body["input"])
    dimensions = body.get("dimensions")
    if dimensions is not None and (dimensions.__class__ is not int or dimensions < 1):
        raise InvalidRequest(f"dimensions: must be a whole number above 0, got {shown(dimensions)}")
    return Call(
        "embeddings",
        body,
        headers,
        hints,
        model,
        False,
        longest,
        total,
        0,
        _money("max_cost_usd", hints.max_cost_usd),
        _EMBEDDING_NEEDS,
    )


def facts_of(call: Call, policy: Policy, taints: tuple[str, ...] = ()) -> Facts:
    """Return what a policy may look at of a call; `taints` are the tags that its session keeps."""
    hints = call.hints
    task, model = hints.task, call.model
    if task is None and model is not None:
        # `model="classify"`: a task's name in openai's place. One that is a model's name too pins the
        # model, and what the task says of data holds as well.
        if model in policy.tasks:
            task = model
        if model not in policy.candidates and fits(policy.known_tasks, (model,)):
            task, model = model, None
    return Facts(
        call.operation,
        task,
        hints.residency,
        hints.tenant,
        hints.feature,
        hints.session,
        hints.priority,
        policy.environment,
        model,
        call.stream,
        call.input_tokens_estimate,
        call.input_tokens_total,
        call.output_tokens_max,
        call.answers,
        call.max_cost_usd,
        call.needs,
        hints.tags or _NO_TAGS,
        NO_METADATA if hints.metadata is None else hints.metadata,
        hints.vector_space,
        taints,
        _prefix(call, policy),
        hints.user_id,
    )


def _prefix(call: Call, policy: Policy) -> int | None:
    """What the call's prefix is known by, if anybody asks; an embedding's input is read by nobody else."""
    if not policy.prefixes or call.operation != "chat":
        return None
    return prefix_of(call.hints.session, call.body.get("messages") or ())


def _read_common(
    params: dict[str, Any],
) -> tuple[dict[str, Any], Mapping[str, str] | None, str | None, bool]:
    """Merge `extra_body`, take headers, `model` and `stream` out, check what may not pass."""
    body = dict(params)
    headers = None
    if "extra_headers" in body:
        headers = _checked_headers(body.pop("extra_headers"))
    if "extra_query" in body:
        raise InvalidRequest("extra_query: not supported; URLs come from the policy only")
    if "extra_body" in body:
        body |= _checked_extra_body(body.pop("extra_body"))
    for name, value in body.items():
        if value.__class__ is float and not math.isfinite(value):
            raise InvalidRequest(f"{name}: {value} is not a finite number")
    model = body.pop("model", None)
    if model is not None and not isinstance(model, str):
        raise InvalidRequest(f"model: must be a text, got {type(model).__name__}")
    stream = body.pop("stream", None)
    if stream not in (None, False, True):
        raise InvalidRequest(f"stream: must be True or False, got {type(stream).__name__}")
    return body, headers, model or None, bool(stream)


def _check_interrupt(hints: Hints, *, stream: bool) -> None:
    if hints.on_interrupt is not None and not stream:
        raise InvalidRequest("on_interrupt: only a stream can be interrupted; set stream=True too")


def _output_tokens_max(body: dict[str, Any]) -> int | None:
    """The longest answer that a backend may read out of a call: it knows one name, or the other."""
    first, second = _count(body, "max_completion_tokens"), _count(body, "max_tokens")
    return second if first is None else first if second is None else max(first, second)


def _answers(body: dict[str, Any]) -> int:
    """How many answers are wanted."""
    return min(_count(body, "n") or 1, N_MAX)


def _count(body: dict[str, Any], name: str) -> int | None:
    """A count that length and money are judged by. One that backends may read as something else is refused.

    Raises:
        InvalidRequest: If it is no whole number of 0 or more: `"100"` and -1 have a meaning somewhere.
    """
    value = body.get(name)
    if value is None:
        return None
    if value.__class__ is float and value.is_integer():
        value = int(value)
    if value.__class__ is int and value >= 0:
        return int(value)
    if not isinstance(value, int | float) and not _NUMERIC.search(str(value)[:64]):
        return None  # nobody reads a number out of it; the backend will refuse it in its own words
    raise InvalidRequest(f"{name}: must be a whole number of 0 or more, got {shown(body[name])}")


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
        out[name.lower()] = value
    return out


def _checked_extra_body(extra: Any) -> dict[str, Any]:
    if not isinstance(extra, Mapping):
        raise InvalidRequest(f"extra_body: must be a mapping, got {type(extra).__name__}")
    for name in extra:
        if name in NOT_EXTRA:
            raise InvalidRequest(
                f"extra_body: {name!r} may not stand there; pass it as a keyword of the call, if it is one"
            )
    where = smuggled(extra)
    if where is not None:
        raise InvalidRequest(
            f"extra_body: {where!r} may not stand there, at no depth; places and keys come from the policy"
        )
    return dict(extra)


def _money(name: str, value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        money = Decimal(str(value)) if not isinstance(value, bool) else Decimal("nan")
    except InvalidOperation:
        money = Decimal("nan")
    if not money.is_finite() or money < 0:
        raise InvalidRequest(f"{name}: must be an amount in USD of 0 or more, got {shown(value)}")
    return money
