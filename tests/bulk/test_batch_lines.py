"""The lines of batch files: what is taken, what is refused and how that is told, what comes out."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm import BulkResult, Paid, errors
from hybridllm._core.bulk.batch_input import BadLine, BatchLine, LineReader, operation_in
from hybridllm._core.bulk.batch_output import output_line

MESSAGES = [{"role": "user", "content": "hello"}]
CHAT = "/v1/chat/completions"


def line(**changed: Any) -> bytes:
    """A good line, or one with something else in it."""
    whole = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"messages": MESSAGES}}
    kept = {name: value for name, value in (whole | changed).items() if value is not ...}
    return json.dumps(kept).encode() + b"\n"


def read(*lines: bytes | None, **options: Any) -> list[BatchLine | BadLine]:
    reader = LineReader("chat", **({"hints": {}, "ignore_model": False} | options))
    return [reader.read(number, text) for number, text in enumerate(lines, start=1)]


def test_a_line_as_openai_has_it_is_a_request() -> None:
    """The body's fields are its keywords; what is null is left out."""
    body = {"model": "m", "messages": MESSAGES, "max_tokens": 5, "stop": None}
    (found,) = read(line(body=body))
    assert isinstance(found, BatchLine)
    assert (found.number, found.custom_id) == (1, "a")
    assert found.request == {"model": "m", "messages": MESSAGES, "max_tokens": 5}
    assert "hello" not in repr(found)


def test_hints_stand_beside_the_body_and_go_before_the_options() -> None:
    """A line that says nothing is given those of the command."""
    own = line(hybridllm={"task": "classify", "residency": None, "tags": ["x"]})
    options = {"task": "chat", "residency": "eu", "model": "m"}
    first, second = read(
        own, line(custom_id="b", body={"messages": [], "model": "n"}), hints=options
    )
    assert isinstance(first, BatchLine)
    assert isinstance(second, BatchLine)
    hints = {name: first.request[name] for name in ("task", "residency", "tags", "model")}
    assert hints == {"task": "classify", "residency": "eu", "tags": ["x"], "model": "m"}
    assert (second.request["task"], second.request["model"]) == ("chat", "n")


def test_the_models_of_a_file_can_be_forgotten() -> None:
    """It was written for one provider; the policy knows others."""
    text = line(body={"messages": [], "model": "gpt-4o-mini"})
    (found,) = read(text, ignore_model=True, hints={"model": "m"})
    assert isinstance(found, BatchLine)
    assert found.request["model"] == "m"


BAD = [
    pytest.param(b"{\n", "invalid_json_line", "not JSON: .* at column 2", id="cut-off"),
    pytest.param(b"hello\n", "invalid_json_line", "not JSON: .* at column 1", id="no-json"),
    pytest.param(b"[1]\n", "invalid_json_line", "a JSON list, not an object", id="a-list"),
    pytest.param(b"\xff\n", "invalid_json_line", "not UTF-8", id="bytes"),
    pytest.param(b"[" * 100_000, "invalid_json_line", "nested too deeply", id="deep"),
    pytest.param(
        b'{"n": ' + b"1" * 5_000 + b"}", "invalid_json_line", "too many digits", id="digits"
    ),
    pytest.param(None, "line_too_large", "more than 32 MiB", id="large"),
    pytest.param(line(custom_id=...), "invalid_custom_id", "got NoneType", id="no-id"),
    pytest.param(line(custom_id=7), "invalid_custom_id", "got int 7", id="a-number"),
    pytest.param(line(custom_id=""), "invalid_custom_id", "1 to 512 characters", id="empty-id"),
    pytest.param(line(custom_id="a" * 513), "invalid_custom_id", "got str 'aaa", id="long-id"),
    pytest.param(line(method="GET"), "invalid_method", "'GET' is not 'POST'", id="method"),
    pytest.param(line(url=...), "invalid_url", "None is not one of /v1/chat", id="no-url"),
    pytest.param(line(url="/v1/images"), "invalid_url", "'/v1/images' is not one of", id="url"),
    pytest.param(line(url=["x"]), "invalid_url", "is not one of", id="url-list"),
    pytest.param(
        line(url="/v1/embeddings"), "mismatched_url", "not that of this batch", id="mixed"
    ),
    pytest.param(line(body=...), "invalid_body", "body: missing", id="no-body"),
    pytest.param(line(body=[]), "invalid_body", "must be an object, got list", id="body-list"),
    pytest.param(
        line(body={"messages": [], "residency": "eu"}),
        *("invalid_body", "'residency' may not stand there; .* goes under 'hybridllm'"),
        id="a-hint-in-the-body",
    ),
    pytest.param(
        line(body={"extra_headers": {}}), "invalid_body", "'extra_headers' may not", id="headers"
    ),
    pytest.param(line(bodi={}), "unknown_key", "unknown key 'bodi'; did you mean 'body'", id="key"),
    pytest.param(line(hybridllm=["x"]), "invalid_hint", "an object of hints, got list", id="hints"),
    pytest.param(
        line(hybridllm={"residenci": "eu"}),
        *("invalid_hint", "unknown hint 'residenci'; did you mean 'residency'"),
        id="an-unknown-hint",
    ),
]


@pytest.mark.parametrize(("text", "code", "words"), BAD)
def test_a_bad_line_is_told_with_what_is_allowed(text: bytes | None, code: str, words: str) -> None:
    """Under its number; the line after it is read as if it were not there."""
    _, bad, good = read(line(custom_id="first"), text, line(custom_id="last"))
    assert isinstance(good, BatchLine)
    assert isinstance(bad, BadLine)
    assert (bad.code, bad.number) == (code, 2)
    with pytest.raises(BadLine, match=words):
        raise bad
    assert "hello" not in str(bad)


def test_an_id_may_stand_once() -> None:
    """The first keeps it, also where it could not be sent; ids are compared as they are written."""
    found = read(
        line(), line(), line(custom_id="A"), line(custom_id="b", body=[]), line(custom_id="b")
    )
    codes = [one.code if isinstance(one, BadLine) else None for one in found]
    assert codes == [
        None, "duplicate_custom_id", None, "invalid_body", "duplicate_custom_id",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        pytest.param(line(), "chat", id="chat"),
        pytest.param(line(url="/v1/embeddings"), "embeddings", id="embeddings"),
        pytest.param(line(url="/v1/images"), None, id="another"),
        pytest.param(b"{", None, id="no-json"),
        pytest.param(None, None, id="large"),
    ],
)
def test_a_line_tells_what_the_batch_is_of(text: bytes | None, operation: str | None) -> None:
    """The first one that does decides."""
    assert operation_in(text) == operation


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_nothing_that_a_file_may_hold_raises(text: bytes) -> None:
    """Every line is a request or a bad line."""
    (found,) = read(text)
    assert isinstance(found, BadLine)


# Output


PAID = Paid("abc", "eu", "m", Decimal("0.00012"), True, 10, 5)


def written(result: BulkResult, answer: bytes | None = None) -> dict[str, Any]:
    text = output_line(result, number=7, answer=answer)
    assert text.count(b"\n") == 1
    assert text.endswith(b"\n")
    return dict(json.loads(text))


def test_an_answer_comes_out_as_openai_has_it() -> None:
    """With its cost beside it, exact."""
    told = written(BulkResult(6, "a", object(), paid=PAID), b'{"id":"chatcmpl-1"}')
    assert told == {
        "id": "batch_req_abc",
        "custom_id": "a",
        "response": {"status_code": 200, "request_id": "abc", "body": {"id": "chatcmpl-1"}},
        "error": None,
        "hybridllm": {
            "line": 7, "backend": "eu", "model": "m", "cost_usd": "0.00012", "tokens_in": 10, "tokens_out": 5,
        },
    }  # fmt: skip


REJECTED = errors.RequestRejected("too long", status_code=400, code="context_length_exceeded")
FAILURES = [
    pytest.param(REJECTED, 400, "request_rejected", id="a-backend-said-so"),
    pytest.param(
        errors.RouteExhausted("all failed", route="r", failures=[], status_code=503),
        *(503, "route_exhausted"),
        id="all-of-them",
    ),
    pytest.param(
        errors.RouteExhausted("x", route="r", failures=[]), None, "route_exhausted", id="c"
    ),
    pytest.param(errors.PolicyDenied("no", rule="r"), None, "policy_denied", id="denied"),
    pytest.param(errors.OutcomeUnknown("?"), None, "outcome_unknown", id="unknown"),
    pytest.param(
        BadLine("invalid_url", "no", number=7, custom_id=None), None, "invalid_url", id="a-bad-line"
    ),
    pytest.param(LookupError("x"), None, "lookup_error", id="another"),
]


@pytest.mark.parametrize(("error", "status", "code"), FAILURES)
def test_an_error_comes_out_as_openai_has_it(
    error: Exception, status: int | None, code: str
) -> None:
    """What a backend said is a response with its status; anything else is an error."""
    told = written(BulkResult(6, "a", error=error, unknown_paid=True))
    assert told["id"] == "batch_req_7"
    assert told["hybridllm"] == {"line": 7, "unknown_paid": True}
    if status is None:
        assert told["response"] is None
        assert told["error"] == {"code": code, "message": str(error)}
    else:
        assert told["error"] is None
        assert told["response"]["status_code"] == status
        body = told["response"]["body"]["error"]
        assert (body["type"], body["message"]) == (code, str(error))
        assert body["code"] == getattr(error, "code", None)
