"""What each way to fail means: what is done next, what the breaker hears, who is left alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.resilience.classify import (
    classify_error_body,
    classify_status,
    classify_wire,
    interrupted,
    invalid_response,
)
from hybridllm._core.resilience.error_body import read_error
from hybridllm._core.resilience.outcome import BreakerEffect, Failure, FailureKind, Next

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
STOP, ELSEWHERE, RETRY = Next.STOP, Next.ELSEWHERE, Next.RETRY
FAIL, NEUTRAL = BreakerEffect.FAILURE, BreakerEffect.ABANDONED


def answered(status: int, body: object = "", **headers: str) -> Failure:
    """An error answer; a body that is no text is sent as JSON; jitter is 0, so that gates are exact."""
    raw = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify_status(status, headers=named, body=raw.encode(), now_utc=NOW, jitter=0.0)


def error(message: str = "m", **fields: object) -> dict[str, object]:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("statuses", "then", "breaker", "cool_off_s", "whole_backend"),
    [
        pytest.param(
            (400, 405, 406, 411, 413, 415, 422, 451), STOP, NEUTRAL, None, False, id="4xx"
        ),
        pytest.param((401, 403), ELSEWHERE, FAIL, 60.0, True, id="credential"),
        pytest.param((402,), ELSEWHERE, NEUTRAL, 300.0, True, id="quota"),
        pytest.param((404, 410), ELSEWHERE, NEUTRAL, 60.0, False, id="missing"),
        pytest.param((407, 421), ELSEWHERE, NEUTRAL, None, False, id="misdirected"),
        pytest.param((408, 424), RETRY, FAIL, None, False, id="timeout-of-theirs"),
        pytest.param((409, 425, 499), RETRY, NEUTRAL, None, False, id="lock"),
        pytest.param((429,), RETRY, BreakerEffect.THROTTLED, 1.0, False, id="rate"),
        pytest.param(
            (500, 502, 503, 504, 507, 520, 521, 522, 523, 524, 529, 530, 599),
            RETRY,
            FAIL,
            None,
            False,
            id="5xx",
        ),
        pytest.param((501, 505), ELSEWHERE, NEUTRAL, None, False, id="not-implemented"),
        pytest.param((300, 301, 302, 303, 304, 307, 308), ELSEWHERE, FAIL, None, False, id="3xx"),
        pytest.param((101, 201, 204, 206, 299, 600, 0), ELSEWHERE, FAIL, None, False, id="odd"),
    ],
)
def test_a_status_alone_decides(
    statuses: tuple[int, ...],
    then: Next,
    breaker: BreakerEffect,
    cool_off_s: float | None,
    *,
    whole_backend: bool,
) -> None:
    """The table of reliability.md 1.4, with an empty body."""
    for status in statuses:
        failure = answered(status)
        found = (failure.next, failure.breaker, failure.cool_off_s, failure.cool_off_backend)
        assert found == (then, breaker, cool_off_s, whole_backend), status
        assert failure.status_code == status
        assert failure.label == str(status)
        assert failure.message == "" or failure.kind is FailureKind.INVALID_RESPONSE


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (204, FailureKind.INVALID_RESPONSE),
        (299, FailureKind.INVALID_RESPONSE),
        (300, FailureKind.REDIRECT),
        (399, FailureKind.REDIRECT),
        (400, FailureKind.STATUS),
        (599, FailureKind.STATUS),
        (600, FailureKind.INVALID_RESPONSE),
    ],
)
def test_a_status_has_a_kind(status: int, kind: FailureKind) -> None:
    assert answered(status).kind is kind


@pytest.mark.parametrize("status", [400, 405, 413, 415, 422])
def test_a_header_cannot_make_us_repeat_a_bad_request(status: int) -> None:
    """`x-should-retry: true` on a 400 makes the openai client send it three times."""
    failure = answered(status, x_should_retry="true", retry_after="1", retry_after_ms="1")
    assert failure.next is STOP
    assert failure.cool_off_s is None


QUOTA = (ELSEWHERE, NEUTRAL, 300.0, True)
RATE = (RETRY, BreakerEffect.THROTTLED, 1.0, False)
BAD = (STOP, NEUTRAL, None, False)
CANDIDATE_OFF = (ELSEWHERE, NEUTRAL, 60.0, False)
PER_MINUTE = "You exceeded your current quota. See https://help.aliyun.com/zh/model-studio/x"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param(429, error(code="insufficient_quota"), QUOTA, id="openai"),
        pytest.param(429, error(type="insufficient_quota", code="x"), QUOTA, id="openai-type"),
        pytest.param(429, error(code="credit_balance_exhausted"), QUOTA, id="openai-credit"),
        pytest.param(429, error(code="project_spend_limit_exceeded"), QUOTA, id="openai-project"),
        pytest.param(429, error(code="organization_usage_limit_exceeded"), QUOTA, id="openai-org"),
        pytest.param(
            429,
            error(type="rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
            QUOTA,
            id="anthropic-cap",
        ),
        pytest.param(
            400, error("You have reached your specified API usage limits."), QUOTA, id="anthropic"
        ),
        pytest.param(402, error(type="billing_error"), QUOTA, id="anthropic-billing"),
        pytest.param(400, error(code="Arrearage", type="Arrearage"), QUOTA, id="dashscope-400"),
        pytest.param(403, error(code="AllocationQuota.FreeTierOnly"), QUOTA, id="dashscope-403"),
        pytest.param(429, error("Free allocated quota exceeded."), QUOTA, id="dashscope-free"),
        pytest.param(429, error(code="Throttling.RateQuota"), RATE, id="dashscope-rate"),
        pytest.param(429, error(code="Throttling.AllocationQuota"), RATE, id="dashscope-tokens"),
        pytest.param(
            429, error(PER_MINUTE, code="insufficient_quota"), RATE, id="dashscope-per-minute"
        ),
        pytest.param(
            429,
            error("Allocated quota exceeded, please increase.", code="insufficient_quota"),
            RATE,
            id="dashscope-allocated",
        ),
        pytest.param(429, error(code="rate_limit_exceeded"), RATE, id="openai-rate"),
        pytest.param(429, error(code="slow_down"), RATE, id="openai-slow-down"),
        pytest.param(429, error(type="rate_limit_error"), RATE, id="anthropic-rate"),
        pytest.param(
            400, error("bad: 'Free allocated quota exceeded'"), BAD, id="a-prompt-is-no-quota"
        ),
        pytest.param(
            400, error("bad: you have reached your specified API usage limits"), BAD, id="nor-this"
        ),
        pytest.param(422, error(code="insufficient_quota"), BAD, id="not-with-a-422"),
    ],
)
def test_a_quota_is_told_from_a_rate(status: int, body: object, expected: object) -> None:
    """Money does not come back in a second; and no prompt that is echoed can feign it."""
    failure = answered(status, body)
    found = (failure.next, failure.breaker, failure.cool_off_s, failure.cool_off_backend)
    assert found == expected
    if "details" in str(body):
        assert failure.code == "enforced_spend_limit_reached"


MODEL_404 = "The model `nope` does not exist. Valid aliases: tiny."


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param(404, error(code="model_not_found"), CANDIDATE_OFF, id="openai"),
        pytest.param(
            404, error("m", type="NotFoundError", param="model", code=404), CANDIDATE_OFF, id="vllm"
        ),
        pytest.param(
            404,
            error(MODEL_404, type="NotFoundError", param=None, code=404),
            CANDIDATE_OFF,
            id="vllm-embeddings-names-no-param",
        ),
        pytest.param(404, {"detail": "Not Found"}, CANDIDATE_OFF, id="no-such-endpoint"),
        pytest.param(404, "<html><title>404</title></html>", CANDIDATE_OFF, id="proxy"),
        pytest.param(404, "404 page not found", CANDIDATE_OFF, id="plain-text"),
        pytest.param(403, error(code="model_not_found"), CANDIDATE_OFF, id="403-not-for-us"),
        pytest.param(403, error(code="Model.AccessDenied"), CANDIDATE_OFF, id="dashscope-403"),
        pytest.param(
            404,
            error("No endpoints found that support image input", code=404, type="x"),
            (ELSEWHERE, NEUTRAL, None, False),
            id="what-the-request-names-is-missing",
        ),
        pytest.param(
            404,
            error("Loading lora third failed", type="NotFoundError", code=404),
            (ELSEWHERE, NEUTRAL, None, False),
            id="another-thing-is-missing",
        ),
        pytest.param(400, error(MODEL_404, code=400), BAD, id="a-400-stays-a-400"),
    ],
)
def test_a_missing_model_or_endpoint_puts_one_candidate_aside(
    status: int, body: object, expected: object
) -> None:
    """Not the backend: its other models answer. Nor for a thing that only this request names."""
    failure = answered(status, body)
    found = (failure.next, failure.breaker, failure.cool_off_s, failure.cool_off_backend)
    assert found == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            error(code=403, metadata={"flagged_input": "x", "reasons": []}), BAD, id="moderation"
        ),
        pytest.param(error(code="content_policy_violation"), BAD, id="filter"),
        pytest.param(
            "<html><title>Attention Required!</title></html>",
            (ELSEWHERE, FAIL, None, False),
            id="firewall-page",
        ),
        pytest.param(error(code="permission_denied"), (ELSEWHERE, FAIL, 60.0, True), id="key"),
    ],
)
def test_one_prompt_cannot_take_a_backend_from_everybody(body: object, expected: object) -> None:
    """A 403 that the prompt caused is not the credential's fault; a filter is never shopped around."""
    failure = answered(403, body)
    found = (failure.next, failure.breaker, failure.cool_off_s, failure.cool_off_backend)
    assert found == expected


NO_ROOM = "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        pytest.param(None, "context_length_exceeded", id="none-asked"),
        pytest.param(1, "context_length_exceeded", id="one-asked"),
        pytest.param(0, None, id="zero-asked"),
        pytest.param(-1, None, id="negative-asked"),
    ],
)
def test_no_room_for_an_answer_is_an_overflow_unless_none_was_wanted(
    asked: int | None, code: str | None
) -> None:
    """vLLM says the very same of a prompt that fills the context and of `max_tokens: 0`."""
    failure = classify_status(
        400,
        headers={},
        body=json.dumps(error(NO_ROOM, param="max_tokens")).encode(),
        now_utc=NOW,
        jitter=0.0,
        output_tokens_max=asked,
    )
    assert failure.code == code
    assert failure.param == "max_tokens"
    assert failure.message == NO_ROOM


@pytest.mark.parametrize(
    ("status", "header", "then", "retry_after_s", "cool_off_s"),
    [
        pytest.param(429, "2", RETRY, 2.0, 2.0, id="rate"),
        pytest.param(429, "60", RETRY, 60.0, 60 / 1.1, id="at-cap"),
        pytest.param(429, "61", ELSEWHERE, 60.0, 60 / 1.1, id="over-cap-is-like-a-quota"),
        pytest.param(429, "277403", ELSEWHERE, 60.0, 60 / 1.1, id="days"),
        pytest.param(429, "NaN", RETRY, None, 1.0, id="nan"),
        pytest.param(429, "Fri, 20 Nov 2026 12:00:03 GMT", RETRY, 3.0, 3.0, id="date"),
        pytest.param(429, "Fri, 20 Nov 2026 11:00:00 GMT", RETRY, None, 1.0, id="past"),
        pytest.param(503, "2", RETRY, 2.0, 2.0, id="503"),
        pytest.param(503, "900", ELSEWHERE, 60.0, 60 / 1.1, id="503-maintenance"),
        pytest.param(529, "2", RETRY, 2.0, 2.0, id="529"),
        pytest.param(500, "2", RETRY, 2.0, None, id="500-gates-nobody"),
    ],
)
def test_retry_after_gates_the_candidate(
    status: int, header: str, then: Next, retry_after_s: float | None, cool_off_s: float | None
) -> None:
    """For as long as it asks, up to a cap; beyond the cap nobody waits in line."""
    failure = answered(status, retry_after=header)
    assert failure.next is then
    assert failure.retry_after_s == retry_after_s
    assert failure.cool_off_s == (None if cool_off_s is None else pytest.approx(cool_off_s))
    assert not failure.cool_off_backend


def test_a_line_that_somebody_cut_is_not_the_requests_fault() -> None:
    """vLLM answers a client that left with a 400; if we read it, we did not leave."""
    body = error("Client disconnected", type="BadRequestError", code=400)
    assert (answered(400, body).next, answered(400, body).breaker) == (RETRY, NEUTRAL)
    assert answered(400, error("Client disconnected?")).next is STOP


@pytest.mark.parametrize(
    ("kind", "then", "breaker", "maybe_billed"),
    [
        (FailureKind.CONNECT, RETRY, FAIL, False),
        (FailureKind.CONNECT_TIMEOUT, RETRY, FAIL, False),
        (FailureKind.TLS, ELSEWHERE, FAIL, False),
        (FailureKind.RESET, RETRY, FAIL, True),
        (FailureKind.STALE_CONNECTION, Next.SAME_ONCE, NEUTRAL, False),
        (FailureKind.ATTEMPT_TIMEOUT, ELSEWHERE, FAIL, True),
        (FailureKind.FIRST_TOKEN_TIMEOUT, ELSEWHERE, FAIL, True),
        (FailureKind.IDLE_TIMEOUT, ELSEWHERE, FAIL, True),
        (FailureKind.INVALID_RESPONSE, ELSEWHERE, FAIL, True),
        (FailureKind.STREAM_INTERRUPTED, ELSEWHERE, FAIL, True),
        (FailureKind.REDIRECT, ELSEWHERE, FAIL, False),
        (FailureKind.LOCAL, ELSEWHERE, NEUTRAL, False),
    ],
)
def test_a_broken_exchange_is_classified(
    kind: FailureKind, then: Next, breaker: BreakerEffect, *, maybe_billed: bool
) -> None:
    failure = classify_wire(kind, "it broke")
    assert failure == Failure(
        kind, then, breaker, kind.value, message="it broke", maybe_billed=maybe_billed
    )


def test_every_kind_but_a_status_is_a_broken_exchange() -> None:
    for kind in set(FailureKind) - {FailureKind.STATUS}:
        assert classify_wire(kind).kind is kind


def test_words_for_what_a_backend_did() -> None:
    assert invalid_response("empty body").kind is FailureKind.INVALID_RESPONSE
    assert interrupted("no finish_reason").kind is FailureKind.STREAM_INTERRUPTED


def test_an_error_inside_a_200_is_treated_as_its_code() -> None:
    """As if the status had said so; but the backend had begun to work, and may charge for it."""
    told = classify_error_body(read_error(error(code=503)), jitter=0.0)
    assert (told.status_code, told.label, told.next, told.breaker) == (503, "503", RETRY, FAIL)
    bad = classify_error_body(read_error(error(type="invalid_request_error")), jitter=0.0)
    assert (bad.status_code, bad.next, bad.breaker) == (400, STOP, NEUTRAL)
    untold = classify_error_body(read_error({"error": "something"}), jitter=0.0)
    assert (untold.status_code, untold.next, untold.message) == (500, RETRY, "something")
    assert told.maybe_billed
    assert bad.maybe_billed
    assert untold.maybe_billed


@pytest.mark.parametrize(
    ("status", "maybe_billed"),
    [
        (400, False),
        (401, False),
        (429, False),
        (500, False),
        (503, False),
        (502, True),
        (504, True),
    ],
)
def test_a_gateway_that_lost_the_answer_may_have_cost_money(
    status: int, *, maybe_billed: bool
) -> None:
    assert answered(status).maybe_billed is maybe_billed


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_a_body_that_echoes_the_key_does_not_show_it(status: int) -> None:
    """Wherever it stands: message, code, type or field name."""
    key = "acme-0123456789"
    body = error(f"bad key {key}", code=f"x-{key}", type=f"t {key}", param=key)
    failure = classify_status(
        status,
        headers={},
        body=json.dumps(body).encode(),
        now_utc=NOW,
        jitter=0.0,
        secrets=(key,),
    )
    assert key not in repr(failure) + failure.message
    assert failure.message == "bad key [redacted]"
    assert failure.message not in repr(failure)  # a repr ends up in logs


@given(
    st.integers(-1, 1000),
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(("retry-after", "retry-after-ms")), st.text(max_size=40)),
    st.floats(0, 1),
)
def test_any_answer_is_classified(
    status: int, body: bytes, headers: dict[str, str], jitter: float
) -> None:
    """Never an error; a cool-off is finite; what stops is neutral, what cools a backend goes elsewhere."""
    failure = classify_status(status, headers=headers, body=body, now_utc=NOW, jitter=jitter)
    assert failure.cool_off_s is None or 0 < failure.cool_off_s <= 300
    assert failure.retry_after_s is None or 0 < failure.retry_after_s <= 60
    assert failure.breaker is not BreakerEffect.SUCCESS
    if failure.next is STOP:
        assert failure.breaker is NEUTRAL
        assert failure.cool_off_s is None
    if failure.cool_off_backend:
        assert failure.next is ELSEWHERE
