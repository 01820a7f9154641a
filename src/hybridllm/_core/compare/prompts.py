"""Lines of a file of prompts: what is asked, and what is expected, if that is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_OURS = ("id", "custom_id", "expected", "prompt", "body", "method", "url", "hybridllm")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt.

    Attributes:
        key: Its `id` or `custom_id`, else its line's number, as text.
        request: The keywords of a call, without `model` and `stream`.
        expected: The right answer, if the file says it.
    """

    key: str
    request: Mapping[str, Any] = field(repr=False)
    expected: str | None = field(default=None, repr=False)


def read_prompt(line: str, *, number: int) -> Prompt | str:
    """Return the prompt of a line, or what is wrong with it.

    A line is `{"prompt": "..."}`, `{"messages": [...]}` with any other keywords of a call (our hints too), or
    a line of OpenAI's batch files; `id` and `expected` may stand beside.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return "is no JSON"
    if not isinstance(found, dict):
        return f"is no JSON object but {type(found).__name__}"
    request = {name: value for name, value in found.items() if name not in _OURS}
    if isinstance(found.get("body"), dict):
        request |= found["body"]
    if isinstance(found.get("hybridllm"), dict):
        request |= found["hybridllm"]
    if isinstance(found.get("prompt"), str):
        request["messages"] = [{"role": "user", "content": found["prompt"]}]
    if not isinstance(request.get("messages"), list) or not request["messages"]:
        return 'has neither a text as "prompt" nor a list as "messages"'
    expected = found.get("expected")
    if expected is not None and not isinstance(expected, str):
        expected = json.dumps(expected, ensure_ascii=False)
    for name in ("model", "stream", "stream_options"):
        request.pop(name, None)
    key = found.get("id", found.get("custom_id"))
    return Prompt(str(number if key is None else key), request, expected)
