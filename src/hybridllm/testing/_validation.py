"""What makes a request a bad one, in vLLM's words; hosted APIs refuse the same things."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hybridllm.testing._schema import example_of
from hybridllm.testing._tokens import prompt_tokens

_LOGPROBS_MAX = 20
_MALFORMED = "Bad Request"  # vLLM's type for what is no valid JSON of a request at all


class BadRequest(Exception):
    """The request is refused with 400.

    Attributes:
        message: For people.
        param: The field at fault; None if the answer names none.
        code: The error's type (vLLM) or code (hosted); empty for the usual one.
    """

    def __init__(self, message: str, param: str | None = None, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code

    @classmethod
    def malformed(cls, problem: str, place: str) -> BadRequest:
        """The request is not even of the right form."""
        message = f"1 validation error:\n  {{'loc': {place!r}, 'msg': {problem!r}}}"
        return cls(message, place, _MALFORMED)

    @property
    def is_malformed(self) -> bool:
        """True if the request is not even of the right form."""
        return self.code == _MALFORMED


@dataclass(frozen=True, slots=True)
class _Rule:
    """A field, the test that its value must pass, and what is said if it does not."""

    field: str
    holds: Callable[[Any], bool]
    message: str
    named: bool = True


_RULES = (
    _Rule("temperature", lambda t: t >= 0, "temperature must be non-negative, got {}."),
    _Rule("temperature", lambda t: t <= 2, "temperature must be in [0, 2], got {}."),
    _Rule("top_p", lambda p: 0 < p <= 1, "top_p must be in (0, 1], got {}."),
    _Rule("n", lambda n: n >= 1, "n must be at least 1, got {}.", named=False),
    _Rule("max_tokens", lambda n: n >= 1, "max_tokens must be at least 1, got {}."),
    _Rule("max_completion_tokens", lambda n: n >= 1, "max_tokens must be at least 1, got {}."),
    _Rule(
        "top_logprobs",
        lambda n: n <= _LOGPROBS_MAX,
        f"Requested sample logprobs of {{}}, which is greater than max allowed: {_LOGPROBS_MAX}",
    ),
)
_NUMBERS = {
    "temperature": float,
    "top_p": float,
    "n": int,
    "max_tokens": int,
    "max_completion_tokens": int,
    "top_logprobs": int,
}


def check_chat(body: Mapping[str, Any]) -> None:
    """Check a chat request, but for its model and its length.

    Raises:
        BadRequest: If a backend would refuse it.
    """
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise BadRequest.malformed("Field required", "body.messages")
    if not messages:
        raise BadRequest(
            "Cannot apply chat template to an empty conversation. Provide at least one message."
        )
    for field, kind in _NUMBERS.items():
        value = body.get(field)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kind | int)):
            raise BadRequest.malformed("Input should be a valid number", f"body.{field}")
    for rule in _RULES:
        value = body.get(rule.field)
        if value is not None and not rule.holds(value):
            raise BadRequest(rule.message.format(value), rule.field if rule.named else None)
    if body.get("top_logprobs") and not body.get("logprobs"):
        message = "when using `top_logprobs`, `logprobs` must be set to true."
        raise BadRequest(message, "top_logprobs")
    if body.get("stream_options") and not body.get("stream"):
        message = "Stream options can only be defined when `stream=True`."
        raise BadRequest(message, "stream_options")
    _check_prefill(body)
    _check_form(body)
    _check_tools(body)


def refuse_fields_of_vllm(body: Mapping[str, Any]) -> None:
    """Refuse, as OpenAI does, what would make a hosted model go on with a message.

    Raises:
        BadRequest: If it is there.
    """
    for field in ("continue_final_message", "add_generation_prompt"):
        if field in body:
            raise BadRequest(f"Unknown parameter: '{field}'.", field, "unknown_parameter")


def _check_prefill(body: Mapping[str, Any]) -> None:
    """The words are those of vLLM 0.32 and, the second, of the transformers 5 in it."""
    if not body.get("continue_final_message"):
        return
    if body.get("add_generation_prompt"):
        raise BadRequest(
            "Cannot set both `continue_final_message` and `add_generation_prompt` to True."
        )
    if body.get("add_generation_prompt") is None:  # its default is true, and only this refuses it
        raise BadRequest(
            "continue_final_message and add_generation_prompt are not compatible. Use "
            "continue_final_message when you want the model to continue the final message, and "
            "add_generation_prompt when you want to add a header that will prompt it to start a new "
            "assistant message instead."
        )
    if body["messages"][-1].get("content") is None:
        raise BadRequest(
            'continue_final_message is set but the final message has no "content" to continue!'
        )


def _check_form(body: Mapping[str, Any]) -> None:
    form = body.get("response_format")
    if not isinstance(form, Mapping) or form.get("type") != "json_schema":
        return
    schema = form.get("json_schema")
    if not isinstance(schema, Mapping):
        message = (
            "When response_format type is 'json_schema', the 'json_schema' field must be provided."
        )
        raise BadRequest(message, "response_format")
    try:
        example_of(schema.get("schema", {}))
    except ValueError as error:
        raise BadRequest(f"Grammar error: {error}") from None


def _check_tools(body: Mapping[str, Any]) -> None:
    choice = body.get("tool_choice")
    if not isinstance(choice, Mapping):
        return
    name = choice.get("function", {}).get("name")
    if name not in {tool.get("function", {}).get("name") for tool in body.get("tools") or ()}:
        raise BadRequest(
            "The tool specified in `tool_choice` does not match any of the specified `tools`",
            "tool_choice",
        )


def room_for_answer(
    body: Mapping[str, Any], *, context_tokens: int | None, tokens_in: int | None = None
) -> int | None:
    """Return how many tokens the answer may have by the context; None is no limit.

    Args:
        body: The request's JSON.
        context_tokens: The context; None is no limit.
        tokens_in: Of the prompt, if they are counted already.

    Raises:
        BadRequest: If the prompt leaves no room. Its `code` is OpenAI's.
    """
    context = context_tokens
    if context is None:
        return None
    asked = body.get("max_completion_tokens", body.get("max_tokens"))
    if asked is not None and asked > context:
        message = (
            f"max_tokens={asked} cannot be greater than max_model_len={context}."
            " Please request fewer output tokens."
        )
        raise BadRequest(message, "max_tokens")
    if tokens_in is None:
        tokens_in = prompt_tokens(body["messages"], body.get("tools"))
    room = room_left(tokens_in, context_tokens=context)
    if room == 0:  # vLLM's words, though it is the prompt that is too long
        raise BadRequest("max_tokens must be at least 1, got 0.", "max_tokens")
    return room


def room_left(tokens: int, *, context_tokens: int | None) -> int:
    """Return how many tokens of the context a prompt leaves; without a limit, some.

    Raises:
        BadRequest: If it does not fit. Its `code` is OpenAI's.
    """
    if context_tokens is None:
        return 1
    if tokens > context_tokens:
        message = (
            f"This model's maximum context length is {context_tokens} tokens. However, your prompt "
            f"contains at least {context_tokens + 1} input tokens, which exceeds this limit even "
            "without any output tokens. Please reduce the length of the input prompt."
        )
        raise BadRequest(message, "input_tokens", "context_length_exceeded")
    return context_tokens - tokens
