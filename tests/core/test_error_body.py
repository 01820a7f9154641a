"""Errors in every shape that servers say them in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.resilience.error_body import MESSAGE_MAX, ErrorBody, read_error

FLAGGED = {"reasons": ["violence"], "flagged_input": "the prompt"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            b'{"error":{"message":"busy","type":"Service Unavailable","param":null,"code":503}}',
            ErrorBody("busy", type="Service Unavailable", status=503),
            id="vllm",
        ),
        pytest.param(b'{"error":"Unauthorized"}', ErrorBody("Unauthorized"), id="vllm-401"),
        pytest.param(b'{"detail":"Not Found"}', ErrorBody("Not Found"), id="vllm-route"),
        pytest.param(
            b'{"object":"error","message":"no","type":"NotFoundError","param":"model","code":404}',
            ErrorBody("no", type="NotFoundError", param="model", status=404),
            id="vllm-flat",
        ),
        pytest.param(
            b'{"error":{"message":"m","type":"insufficient_quota","param":null,'
            b'"code":"credit_balance_exhausted"}}',
            ErrorBody("m", type="insufficient_quota", code="credit_balance_exhausted"),
            id="openai",
        ),
        pytest.param(
            b'{"type":"error","error":{"type":"rate_limit_error","message":"m",'
            b'"details":{"error_code":"enforced_spend_limit_reached"}},"request_id":"req_1"}',
            ErrorBody("m", type="rate_limit_error", details=("enforced_spend_limit_reached",)),
            id="anthropic",
        ),
        pytest.param(
            b'{"code":"Throttling.RateQuota","message":"m","request_id":"r"}',
            ErrorBody("m", code="Throttling.RateQuota"),
            id="dashscope-native",
        ),
        pytest.param(
            b'[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]',
            ErrorBody("m", status=429),
            id="gemini-list-of-one",
        ),
        pytest.param(
            json.dumps({"error": {"code": 403, "message": "m", "metadata": FLAGGED}}).encode(),
            ErrorBody("m", status=403, details=("content_filter",)),
            id="openrouter-moderation",
        ),
        pytest.param(
            b'{"object":"error","message":"m","type":"rate_limited","code":"1300",'
            b'"raw_status_code":429}',
            ErrorBody("m", type="rate_limited", code="1300", status=429),
            id="mistral",
        ),
        pytest.param(
            b'{"detail":[{"loc":["body","n",0],"msg":"too big","input":"THE PROMPT"},'
            b'{"msg":"second"},"third",{"msg":"fourth is left out"}]}',
            ErrorBody("body.n.0: too big; second; third"),
            id="fastapi-list-without-input",
        ),
        pytest.param(
            b'{"detail":{"error":{"message":"deep","code":"x"}}}',
            ErrorBody("deep", code="x"),
            id="envelope-in-envelope",
        ),
        pytest.param(b'{"message":"m"}', ErrorBody("m"), id="message-only"),
        pytest.param(b'{"error":{"code":"429"}}', ErrorBody(status=429), id="digits-as-text"),
        pytest.param(b'{"error":{"code":200}}', ErrorBody(code="200"), id="200-is-no-error-status"),
        pytest.param(b'{"error":{"code":true}}', ErrorBody(), id="bool-is-no-code"),
        pytest.param(b'{"error":null,"message":"m"}', ErrorBody("m"), id="null-error"),
        pytest.param(b'{"error":7,"message":"m"}', ErrorBody("m"), id="number-for-an-error"),
        pytest.param(b"{}", ErrorBody(), id="empty-object"),
        pytest.param(b"[]", ErrorBody(), id="empty-list"),
        pytest.param(b"null", ErrorBody("null"), id="null"),
        pytest.param(b"", ErrorBody(), id="empty"),
        pytest.param(b"   \r\n ", ErrorBody(), id="blanks"),
        pytest.param(b"upstream connect error", ErrorBody("upstream connect error"), id="text"),
        pytest.param(
            b"<html>\r\n<head><title>502 Bad\n Gateway</title></head><body>secret</body></html>",
            ErrorBody("HTML page: 502 Bad Gateway", from_proxy=True),
            id="html",
        ),
        pytest.param(
            b"\n<!DOCTYPE html><body>hi", ErrorBody("HTML page", from_proxy=True), id="no-title"
        ),
        pytest.param(b'{"error":{"mess', ErrorBody('{"error":{"mess'), id="cut-off-json"),
        pytest.param(b'{"error":"\xff\xfe"}', ErrorBody("��"), id="invalid-utf8"),
    ],
)
def test_an_error_is_read_in_any_shape(body: bytes, expected: ErrorBody) -> None:
    """Every shape seen from a real server, and the broken ones."""
    assert read_error(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 100_000, id="100k-deep"),
        pytest.param(b'{"a":' * 50_000, id="50k-deep-objects"),
        pytest.param(b'{"error":{"message":"' + b"x" * 10_000_000 + b'"}}', id="10-mb"),
        pytest.param(b'{"error":{"code":' + b"9" * 5000 + b"}}", id="5000-digits"),
        pytest.param(b"<title>" * 20_000, id="many-titles"),
        pytest.param(b"<html" + b"<title " * 20_000, id="html-many-open-titles"),
        pytest.param(json.dumps({"detail": ["x" * 9000] * 5000}).encode(), id="long-list"),
        pytest.param(b'{"error":{"error":{"error":{"error":{"error":"x"}}}}}', id="russian-doll"),
        pytest.param("😀".encode() * 20_000, id="emoji"),
    ],
)
def test_hostile_bodies_are_read_within_limits(body: bytes) -> None:
    """No RecursionError, no long text, whatever comes."""
    error = read_error(body)
    assert len(error.message) <= MESSAGE_MAX


@pytest.mark.parametrize(
    ("code", "status"),
    [(399, None), (400, 400), ("400", 400), (599, 599), ("599", 599), (600, None), ("600", None)],
)
def test_a_number_is_a_status_if_it_is_one_of_an_error(code: int | str, status: int | None) -> None:
    """Any other number is a code like a word."""
    error = read_error({"error": {"code": code}})
    assert (error.status, error.code) == (status, None if status else str(code))


@pytest.mark.parametrize(("length", "kept"), [(500, 500), (501, 500)])
def test_a_message_keeps_500_characters(length: int, kept: int) -> None:
    assert read_error({"error": {"message": "x" * length}}).message == "x" * kept
    assert read_error(b"x" * length).message == "x" * kept


def test_parsed_json_is_read_like_bytes() -> None:
    """An event of a stream has been parsed already."""
    parsed = {"error": {"message": "dead", "type": "InternalServerError", "code": 500}}
    assert read_error(parsed) == read_error(json.dumps(parsed).encode())


def test_the_repr_shows_no_message() -> None:
    """A raw message may hold a key or the prompt; a repr ends up in logs."""
    assert "canary" not in repr(read_error(b'{"error":{"message":"canary","code":"x"}}'))


FIELDS = (
    "error",
    "detail",
    "errors",
    "message",
    "msg",
    "code",
    "type",
    "param",
    "loc",
    "details",
    "x",
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "detail",
                    "errors",
                    "message",
                    "msg",
                    "code",
                    "type",
                    "param",
                    "loc",
                    "details",
                    "metadata",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_read(value: Any) -> None:
    """Never an error; every text short, every code a text."""
    error = read_error(value)
    for text in (error.message, error.type or "", error.code or "", error.param or ""):
        assert isinstance(text, str)
        assert len(text) <= MESSAGE_MAX
    assert error.status is None or 400 <= error.status <= 599
    if not isinstance(value, (str, bytes)):
        assert read_error(json.dumps(value).encode()).status == error.status


@given(st.binary(max_size=300))
def test_any_bytes_are_read(body: bytes) -> None:
    assert len(read_error(body).message) <= MESSAGE_MAX
