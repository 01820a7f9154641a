"""Which failures may have cost something, and how much of a backend's words is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from hybridllm._core.resilience.classify import classify_status, classify_wire
from hybridllm._core.resilience.outcome import Failure, FailureKind

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


def answered(status: int, **error: object) -> Failure:
    body = json.dumps({"error": error}).encode() if error else b""
    return classify_status(status, headers={}, body=body, now_utc=NOW, jitter=0.0)


@pytest.mark.parametrize(
    ("statuses", "billed"),
    [
        pytest.param((408, 502, 504, 520, 524), True, id="the-answer-was-lost-not-the-work"),
        pytest.param((499,), True, id="somebody-between-us-cut-the-line"),
        pytest.param(
            (407, 409, 500, 501, 503, 505, 519, 521, 523, 525, 529), False, id="nothing-was-done"
        ),
    ],
)
def test_a_status_after_which_work_may_be_charged(statuses: tuple[int, ...], billed: bool) -> None:
    """Both sides of each: a receipt calls itself incomplete for these, and for no others."""
    for status in statuses:
        assert answered(status).maybe_billed is billed, status


@pytest.mark.parametrize("detail", ["", "in words of ours"])
def test_a_refused_address_costs_nothing(detail: str) -> None:
    """Nothing was sent. With and without words it is the same failure."""
    failure = classify_wire(FailureKind.ADDRESS_REFUSED, detail)
    assert (failure.kind, failure.message) == (FailureKind.ADDRESS_REFUSED, detail)
    assert failure.maybe_billed is False


@pytest.mark.parametrize(("length", "kept"), [(99, 99), (100, 100), (101, 100), (5_000, 100)])
def test_a_code_of_theirs_is_cut_at_a_hundred(length: int, kept: int) -> None:
    """It goes into spans."""
    failure = answered(500, message="m", code="x" * length)
    assert failure.code is not None
    assert len(failure.code) == kept


def test_our_own_words_are_redacted_all_the_same() -> None:
    """A library's message may hold a key; the failure stays what it is."""
    failure = classify_wire(
        FailureKind.CONNECT, "no route for sk-secret-1", secrets=["sk-secret-1"]
    )
    assert failure.kind is FailureKind.CONNECT
    assert "sk-secret-1" not in failure.message
    assert failure.message.startswith("no route for")
