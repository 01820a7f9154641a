"""What a simulated model says to a chat request: the words, not yet their form on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hybridllm.testing._schema import example_of
from hybridllm.testing._tokens import hex_id, last_text, prompt_tokens, tokenize

AnswerText = str | Callable[[Mapping[str, Any]], str]
"""A text, or a function that makes one of the request's JSON body."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool, its arguments in tokens."""

    id: str
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers to a request, in tokens."""

    index: int
    reasoning: tuple[str, ...]
    text: tuple[str, ...]
    call: ToolCall | None
    finish_reason: str
    stop_reason: str | None

    @property
    def tokens(self) -> int:
        """How many tokens it has."""
        return len(self.reasoning) + len(self.text) + (len(self.call.arguments) if self.call else 0)


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """The answer to a chat request."""

    id: str
    model: str
    choices: tuple[Choice, ...]
    prompt_tokens: int
    cached_tokens: int | None
    top_logprobs: int | None  # None: no logprobs were asked for

    @property
    def completion_tokens(self) -> int:
        """Tokens of all choices."""
        return sum(choice.tokens for choice in self.choices)

    @property
    def reasoning_tokens(self) -> int:
        """Those of them that are reasoning."""
        return sum(len(choice.reasoning) for choice in self.choices)


def chat_answer(
    body: Mapping[str, Any],
    *,
    answer_id: str,
    model: str,
    answer: AnswerText,
    reasoning: str | None,
    cached_tokens: int | None,
    room: int | None,
) -> ChatAnswer:
    """Answer a chat request.

    Args:
        body: The request's JSON.
        answer_id: The answer's `id`.
        model: Name in the answer.
        answer: What to say where the request asks for no form. A function is always believed.
        reasoning: What to think before.
        cached_tokens: How many prompt tokens to report as cached, at most; None: nothing is reported.
        room: How many tokens fit into the context besides the prompt; None is no limit.
    """
    tokens_in = prompt_tokens(body["messages"], body.get("tools"))
    limits = [n for n in (body.get("max_completion_tokens", body.get("max_tokens")), room) if n]
    said = _rest(_say(body, answer), body)
    choices = tuple(
        _choice(body, index, said, reasoning=reasoning, tokens_max=min(limits, default=None))
        for index in range(body.get("n") or 1)
    )
    return ChatAnswer(
        id=answer_id,
        model=model,
        choices=choices,
        prompt_tokens=tokens_in,
        cached_tokens=None if cached_tokens is None else min(cached_tokens, tokens_in),
        top_logprobs=(body.get("top_logprobs") or 0) if body.get("logprobs") else None,
    )


def in_one_token(text: str, answer: ChatAnswer) -> ChatAnswer:
    """Return the answer with another text, which comes in one piece."""
    choices = tuple(replace(choice, text=(text,), call=None) for choice in answer.choices)
    return replace(answer, choices=choices)


def _say(body: Mapping[str, Any], answer: AnswerText) -> str:
    if not isinstance(answer, str):
        return answer(body)
    form = body.get("response_format") or {}
    match form.get("type"):
        case "json_schema":
            return json.dumps(example_of(form["json_schema"].get("schema", {})))
        case "json_object":
            return json.dumps({"answer": answer})
        case _:
            return answer


def _rest(said: str, body: Mapping[str, Any]) -> str:
    """What is left to say, if the request brings the beginning of the answer; else all of it.

    The model does not look at the prompt: it goes on with what it would have said itself, and says all of it
    after anything else. Chat templates may strip the white space at the end of what was begun.
    """
    if not body.get("continue_final_message"):
        return said
    begun = last_text(body["messages"])
    for prefix in (begun, begun.strip()):
        if said.startswith(prefix):
            return said[len(prefix) :]
    return said


def _choice(
    body: Mapping[str, Any], index: int, said: str, *, reasoning: str | None, tokens_max: int | None
) -> Choice:
    forced = _forced_tool(body)
    thoughts = tuple(tokenize(reasoning or ""))
    stop_reason: str | None = None
    reason = "stop"
    if forced is not None:
        said = json.dumps(example_of(forced.get("parameters") or {"type": "object"}))
        # As OpenAI and vLLM both do: a tool that was named is no decision of the model.
        reason = "tool_calls" if body.get("tool_choice") == "required" else "stop"
    else:
        said, stop_reason = _cut_at_stop(said, body.get("stop"))
    words = tuple(tokenize(said))
    if tokens_max is not None and len(thoughts) + len(words) > tokens_max:
        thoughts = thoughts[:tokens_max]
        words = words[: tokens_max - len(thoughts)]
        reason, stop_reason = "length", None
    call = None
    if forced is not None:
        call_id = hex_id(index, said, json.dumps(body, sort_keys=True, default=str))
        call, words = ToolCall(call_id, forced["name"], words), ()
    return Choice(index, thoughts, words, call, reason, stop_reason)


def _forced_tool(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The function that the request forces the model to call."""
    functions = [tool["function"] for tool in body.get("tools") or () if "function" in tool]
    choice = body.get("tool_choice")
    if choice == "required" and functions:
        first: Mapping[str, Any] = functions[0]
        return first
    if isinstance(choice, Mapping):
        name = choice.get("function", {}).get("name")
        return next((each for each in functions if each["name"] == name), None)
    return None


def _cut_at_stop(text: str, stop: Any) -> tuple[str, str | None]:
    words = [stop] if isinstance(stop, str) else stop or []
    found = [(at, word) for word in words if (at := text.find(word)) >= 0]
    if not found:
        return text, None
    at, word = min(found)
    return text[:at], word
