"""What an answer says, taken from a completion or from the chunks of a stream, and what was asked for.

Reads anything with `choices` in the caller's types; a lenient answer's fields may be of any type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridllm._core.request.read import Call

_JSON_FORMATS = ("json_object", "json_schema")
_LOGPROB_FAR = 1e9  # no logarithm of any probability; beyond: a lie, or no float at all


@dataclass(slots=True)
class Choice:
    """One choice of an answer. Its repr shows no content.

    Attributes:
        tools: Of each call of a tool its name and its arguments, as JSON text.
        logprobs: Of its tokens, those that are known.
    """

    text: str = field(default="", repr=False)
    tools: list[list[str]] = field(default_factory=list, repr=False)
    logprobs: list[float] = field(default_factory=list, repr=False)


@dataclass(frozen=True, slots=True)
class CascadeAnswer:
    """What a check of the application's own is called with.

    Attributes:
        text: Of the first choice.
        parsed: The same read as JSON, where JSON was asked for; None: it was not, or it is none.
        task: Of the request; None: it has none.
        tool_calls: (name, arguments as JSON text) of each call of a tool.
    """

    text: str = field(repr=False)
    parsed: Any = field(default=None, repr=False)
    task: str | None = None
    tool_calls: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks of its answer's form.

    Attributes:
        wants_json: Whether the answer is to be JSON.
        schema: Of it; None: any JSON will do.
        tools: Schemas of the arguments of tools, by name.
    """

    task: str | None = None
    wants_json: bool = False
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    tools: Mapping[str, Any] = field(default_factory=dict, repr=False)


def asked_of(call: Call, task: str | None) -> Asked:
    """Return what a call asks of its answer's form."""
    form = call.body.get("response_format")
    kind = form.get("type") if isinstance(form, Mapping) else None
    schema = None
    if isinstance(form, Mapping) and kind == "json_schema":
        schema = _mapping(_mapping(form.get("json_schema")).get("schema")) or None
    tools = {}
    for tool in call.body.get("tools") or ():
        function = _mapping(_mapping(tool).get("function"))
        tools[str(function.get("name"))] = function.get("parameters")
    return Asked(task, kind in _JSON_FORMATS, schema, tools)


def said_in(answer: Any) -> tuple[Choice, ...]:
    """Return what a completion says."""
    found = []
    for choice in answer.choices:
        message = choice.message
        one = Choice(_text(message.content) or _text(getattr(message, "refusal", None)))
        _add_tools(one, message.tool_calls, apart=False)
        _add_logprobs(one, choice.logprobs)
        found.append(one)
    return tuple(found)


def said_in_chunks(chunks: Iterable[Any]) -> tuple[Choice, ...]:
    """Return what the chunks of a whole stream say together."""
    found: dict[int, Choice] = {}
    texts: dict[int, list[str]] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            one = found.setdefault(choice.index, Choice())
            delta = choice.delta
            said = _text(delta.content) or _text(getattr(delta, "refusal", None))
            texts.setdefault(choice.index, []).append(said)
            _add_tools(one, delta.tool_calls, apart=True)
            _add_logprobs(one, choice.logprobs)
    for index, one in found.items():
        one.text = "".join(texts[index])
    return tuple(found[index] for index in sorted(found))


def read_json(text: str) -> tuple[Any, bool]:
    """Return the JSON that a text is, and whether it is any."""
    try:
        return json.loads(text), True
    except (ValueError, RecursionError):
        return None, False


def _add_tools(one: Choice, calls: Any, *, apart: bool) -> None:
    """Add calls of tools; of a stream their pieces, told apart by their places."""
    for call in calls or ():
        function = getattr(call, "function", None)
        name = _text(getattr(function, "name", None))
        arguments = _text(getattr(function, "arguments", None))
        place = getattr(call, "index", None)
        if not apart or not isinstance(place, int) or place < 0:
            one.tools.append([name, arguments])
            continue
        while len(one.tools) <= min(place, 1_024):
            one.tools.append(["", ""])
        tool = one.tools[min(place, 1_024)]
        tool[0] += name
        tool[1] += arguments


def _add_logprobs(one: Choice, logprobs: Any) -> None:
    for token in getattr(logprobs, "content", None) or ():
        value = getattr(token, "logprob", None)
        if isinstance(value, int | float) and -_LOGPROB_FAR <= value <= _LOGPROB_FAR:
            one.logprobs.append(float(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
