"""Vendors' words for one thing are one thing."""

from __future__ import annotations

import pytest

from hybridllm._core.resilience.error_body import ErrorBody, read_error
from hybridllm._core.resilience.error_codes import is_context_overflow, status_of, words


def error(message: str = "m", **fields: object) -> dict[str, object]:
    return {"error": {"message": message, **fields}}


NO_ROOM = "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)"
OVERFLOWS = {
    "vllm-prompt": "This model's maximum context length is 2048 tokens. However, your prompt ...",
    "vllm-max-tokens": "max_tokens=5000 cannot be greater than max_model_len=2048. Please ...",
    "vllm-no-room": NO_ROOM,
    "anthropic": "prompt is too long: 215000 tokens > 200000 maximum",
    "anthropic-both": "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    "llama-cpp": "the request exceeds the available context size, try increasing it",
    "gemini": "The input token count (1100000) exceeds the maximum number of tokens allowed",
    "dashscope": "Range of input length should be [1, 30720]",
    "mistral": "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
}


@pytest.mark.parametrize("message", OVERFLOWS.values(), ids=OVERFLOWS)
def test_a_context_overflow_is_one_thing(message: str) -> None:
    """Whoever says it, and however."""
    assert is_context_overflow(ErrorBody(message))


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ErrorBody(code="context_length_exceeded"), id="openai-code"),
        pytest.param(ErrorBody(type="exceed_context_size_error"), id="llama-cpp-type"),
        pytest.param(ErrorBody(param="input_tokens"), id="vllm-param"),
    ],
)
def test_a_context_overflow_may_be_told_by_name(error: ErrorBody) -> None:
    assert is_context_overflow(error)


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens must be at least 2, got 0.",
        "temperature must be in [0, 2], got 9.0. (parameter=temperature, value=9.0)",
        "the context is missing",
        "prompt is too long",
        "",
    ],
)
def test_what_is_no_context_overflow(message: str) -> None:
    assert not is_context_overflow(ErrorBody(message, param="max_tokens"))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(error(code=500, type="InternalServerError"), 500, id="vllm-dead"),
        pytest.param(error(code=503), 503, id="number"),
        pytest.param(error(code="429"), 429, id="digits"),
        pytest.param(error(code="rate_limit_exceeded"), 429, id="word"),
        pytest.param(error(type="overloaded_error"), 529, id="anthropic"),
        pytest.param(error(code="insufficient_quota"), 429, id="quota"),
        pytest.param(error(type="invalid_request_error"), 400, id="bad-request"),
        pytest.param(error(type="invalid_request_error", code="invalid_api_key"), 401, id="key"),
        pytest.param(error(code="model_not_found"), 404, id="model"),
        pytest.param(error("prompt is too long: 9 tokens > 8 maximum"), 400, id="overflow"),
        pytest.param(error(code="content_filter"), 400, id="filter"),
        pytest.param(
            {"object": "error", "message": "m", "type": "BadRequestError", "code": 400},
            400,
            id="flat",
        ),
        pytest.param({"error": "something"}, 500, id="a-mere-string"),
        pytest.param(error(code="E1234"), 500, id="unknown-word"),
        pytest.param(error(code=200), 500, id="200-is-no-error"),
        pytest.param(error(code=307), 500, id="nor-is-307"),
    ],
)
def test_an_error_without_a_status_has_one(body: object, status: int) -> None:
    """In digits, in words, the code before the type; 500 if it does not tell."""
    assert status_of(read_error(body)) == status


def test_the_most_telling_word_comes_first() -> None:
    error = ErrorBody(code="In_Valid-Key", type="Some Error", details=("x.Y",))
    assert words(error) == ("invalidkey", "xy", "someerror")
