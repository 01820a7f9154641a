"""Vendors' words for one thing are one thing."""

from __future__ import annotations

import pytest

from hybridllm._core.resilience.error_body import ErrorBody, read_error
from hybridllm._core.resilience.error_codes import is_context_overflow, is_quota, status_of, words


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


VENDOR_WORDS = {
    400: "bad_request BadRequestError invalid_request invalid_request_error InvalidParameter"
    " invalid_prompt validation_error content_filter context_length_exceeded",
    422: "UnprocessableEntityError",
    401: "authentication_error invalid_api_key InvalidApiKey Unauthorized",
    403: "permission_denied PermissionDeniedError permission_error AccessDenied Forbidden",
    404: "not_found NotFoundError model_not_found ModelNotFound",
    408: "request_timeout",
    413: "request_too_large",
    429: "rate_limit rate_limited rate_limit_error rate_limit_exceeded slow_down Throttling"
    " Throttling.RateQuota Throttling.AllocationQuota too_many_requests RESOURCE_EXHAUSTED"
    " insufficient_quota credit_balance_exhausted Arrearage project_spend_limit_exceeded",
    500: "internal_error InternalServerError server_error api_error",
    502: "bad_gateway",
    503: "engine_overloaded service_unavailable ServiceUnavailableError UNAVAILABLE",
    504: "gateway_timeout timeout_error",
    529: "overloaded overloaded_error",
}


@pytest.mark.parametrize(
    ("word", "status"),
    [(word, status) for status, line in VENDOR_WORDS.items() for word in line.split()],
)
def test_a_vendors_word_stands_for_a_status(word: str, status: int) -> None:
    """As a code, whatever the type; and as a type, where there is no code."""
    assert status_of(ErrorBody(code=word, type="tokens")) == status
    assert status_of(ErrorBody(type=word)) == status


def test_the_real_code_may_hide_in_the_details() -> None:
    error = ErrorBody(type="rate_limit_error", details=("enforced_spend_limit_reached",))
    assert is_quota(error)
    assert not is_quota(ErrorBody(type="rate_limit_error"))
