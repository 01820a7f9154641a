"""Whether what a backend sent with a 200 is an answer at all.

Owns the rules for parsed bodies and stream chunks; nothing here ever raises, whatever JSON comes.
A problem is told in words, without content: it may be logged and shown. The rule a newcomer would
break first: `200` and `[DONE]` prove nothing; only a known finish reason for every choice does.
"""

from __future__ import annotations

import struct
from binascii import a2b_base64
from math import isfinite

# `abort` (vLLM shutting down), `error` and everything unknown are failures, whatever the status.
FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "function_call", "content_filter"})

# What may stand in for `content: null`. vLLM writes `reasoning`, others `reasoning_content`.
_OTHER_OUTPUT = ("refusal", "reasoning", "reasoning_content", "function_call", "audio")
_INDEX_MAX = 1_000_000
_SHOWN_MAX = 24


def completion_problem(answer: object) -> str | None:
    """Return in words why `answer` is no valid chat completion, or None if it is one."""
    if not isinstance(answer, dict):
        return f"not an object but {_shown(answer)}"
    choices = answer.get("choices")
    if not isinstance(choices, list):
        return "no choices" if choices is None else f"choices is not a list but {_shown(choices)}"
    if not choices:
        return "choices is empty"
    for place, choice in enumerate(choices):
        problem = _choice_problem(choice)
        if problem is not None:
            return f"choice {place}: {problem}"
    if len(choices) == 1 and choices[0].get("index") is None:
        return None  # some servers number nothing where there is nothing to tell apart
    return _indexes_problem([choice.get("index") for choice in choices])


def embeddings_problem(
    answer: object, *, inputs: int | None = None, dimensions: int | None = None
) -> str | None:
    """Return in words why `answer` is no valid embeddings answer, or None if it is one.

    Args:
        answer: The parsed body.
        inputs: How many texts were sent; None: not known.
        dimensions: How long each vector has to be; None: all alike is enough.
    """
    if not isinstance(answer, dict):
        return f"not an object but {_shown(answer)}"
    data = answer.get("data")
    if not isinstance(data, list):
        return "no data" if data is None else f"data is not a list but {_shown(data)}"
    if not data:
        return "data is empty"
    if inputs is not None and len(data) != inputs:
        return f"{len(data)} embeddings for {inputs} inputs"
    length = dimensions
    for place, item in enumerate(data):
        if not isinstance(item, dict):
            return f"embedding {place}: not an object but {_shown(item)}"
        found = _vector_length(item.get("embedding"))
        if isinstance(found, str):
            return f"embedding {place}: {found}"
        if length is None:
            length = found
        elif found != length:
            return f"embedding {place}: {found} dimensions, expected {length}"
    problem = _indexes_problem([item.get("index") for item in data])
    if problem is None and max(item["index"] for item in data) != len(data) - 1:
        return f"the indexes of {len(data)} embeddings are not 0 to {len(data) - 1}"
    return problem


def chunk_problem(chunk: object) -> str | None:
    """Return in words why `chunk` is no chunk of a chat completion stream, or None if it is one.

    An unknown finish reason is no problem of the chunk: the stream ends badly with it.
    """
    if not isinstance(chunk, dict):
        return f"not an object but {_shown(chunk)}"
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        return "no choices" if choices is None else f"choices is not a list but {_shown(choices)}"
    for choice in choices:
        if not isinstance(choice, dict):
            return f"a choice is not an object but {_shown(choice)}"
        index = choice.get("index")
        if type(index) is not int or not 0 <= index <= _INDEX_MAX:
            return f"the index of a choice is {_shown(index)}"
        delta = choice.get("delta")
        if isinstance(delta, dict):
            content = delta.get("content")
            if content is not None and not isinstance(content, str):
                return f"content is not text but {_shown(content)}"
        elif delta is not None:  # the last chunk of some servers has none
            return f"delta is not an object but {_shown(delta)}"
        reason = choice.get("finish_reason")
        if reason is not None and not isinstance(reason, str):
            return f"finish_reason is not text but {_shown(reason)}"
    return None


def error_in_answer(answer: object, *, event: bytes = b"") -> object | None:
    """Return the error that `answer`, a body or the data of a stream event, tells of; else None.

    Three shapes are known: `{"error": ...}` with an object or a text, the flat `{"object": "error",
    ...}` of older vLLM, and a frame named `event: error`, whose data is the error whatever it looks
    like. An error that says nothing (null, false, empty) is none.
    """
    if isinstance(answer, dict):
        error: object = answer.get("error")
        if error:
            return error
        if answer.get("object") == "error":
            return answer
    if event == b"error":
        return "" if answer is None else answer
    return None


def _choice_problem(choice: object) -> str | None:
    if not isinstance(choice, dict):
        return f"not an object but {_shown(choice)}"
    message = choice.get("message")
    if not isinstance(message, dict):
        return "no message" if message is None else f"message is {_shown(message)}"
    reason = choice.get("finish_reason")
    if reason is None:
        return "no finish_reason"
    if not isinstance(reason, str) or reason not in FINISH_REASONS:
        return f"unknown finish_reason {_shown(reason)}"
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        return f"content is not text but {_shown(content)}"
    calls = message.get("tool_calls")
    if calls:
        return _tool_calls_problem(calls)
    if content is not None or reason == "content_filter":  # a filter may take everything away
        return None
    if any(message.get(name) for name in _OTHER_OUTPUT):
        return None
    return "content is null, and there is nothing in its place"


def _tool_calls_problem(calls: object) -> str | None:
    if not isinstance(calls, list):
        return f"tool_calls is not a list but {_shown(calls)}"
    for place, call in enumerate(calls):
        if not isinstance(call, dict):
            return f"tool call {place} is not an object but {_shown(call)}"
        if call.get("type") == "custom":
            continue
        function = call.get("function")
        if not isinstance(function, dict):
            return f"tool call {place} has no function"
        name, arguments = function.get("name"), function.get("arguments")
        if not isinstance(name, str) or not name:
            return f"the name of tool call {place} is {_shown(name)}"
        if not isinstance(arguments, str):
            return f"the arguments of tool call {place} are not text but {_shown(arguments)}"
    return None


def _indexes_problem(indexes: list[object]) -> str | None:
    seen: set[int] = set()
    for index in indexes:
        if type(index) is not int or not 0 <= index <= _INDEX_MAX:
            return f"an index is {_shown(index)}"
        if index in seen:
            return f"index {index} comes twice"
        seen.add(index)
    return None


def _vector_length(vector: object) -> int | str:
    """How many dimensions `vector` has, or in words why it is none."""
    if isinstance(vector, str):
        try:
            raw = a2b_base64(vector, strict_mode=True)
        except ValueError:
            return "not base64"
        if len(raw) % 4:
            return f"{len(raw)} bytes are no whole number of 32-bit floats"
        vector = list(struct.unpack(f"<{len(raw) // 4}f", raw))
    elif not isinstance(vector, list):
        return "no vector" if vector is None else f"the vector is {_shown(vector)}"
    if not vector:
        return "the vector is empty"
    if not {float, int}.issuperset(map(type, vector)):
        return "the vector holds something that is no number"
    try:
        finite = isfinite(sum(vector)) or all(map(isfinite, vector))
    except OverflowError:  # an integer beyond any float
        finite = False
    return len(vector) if finite else "the vector holds a number that is not finite"


def _shown(value: object) -> str:
    """`value`, short and safe to print: one plain word or a small number, never content."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return repr(value) if value.isidentifier() and len(value) <= _SHOWN_MAX else "text"
    if isinstance(value, (int, float)):
        return repr(value) if -_INDEX_MAX <= value <= _INDEX_MAX else "a huge number"
    return "an object" if isinstance(value, dict) else "a list"
