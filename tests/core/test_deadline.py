"""How long a caller waits, by the headers of its request."""

from __future__ import annotations

import pytest

from hybridllm import context, deadline_from
from hybridllm._runtime.context import current_hints


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"X-Request-Timeout-Ms": "1500"}, 1.5, id="milliseconds-in-any-case"),
        pytest.param({"x-envoy-expected-rq-timeout-ms": "250.5"}, 0.2505, id="envoy"),
        pytest.param({"grpc-timeout": "5S"}, 5.0, id="grpc-seconds"),
        pytest.param({"grpc-timeout": "500m"}, 0.5, id="grpc-milliseconds"),
        pytest.param({"grpc-timeout": "2M"}, 120.0, id="grpc-minutes"),
        pytest.param({"x-stainless-timeout": " 30 "}, 30.0, id="openai"),
        pytest.param({"x-stainless-timeout": "600", "grpc-timeout": "2S"}, 2.0, id="the-shortest"),
        pytest.param({"x-request-timeout-ms": "86400000"}, 86_400.0, id="a-day"),
        pytest.param({"x-request-timeout-ms": "86400001"}, None, id="more-than-a-day"),
    ],
)
def test_what_a_header_says_is_the_deadline(headers: dict[str, str], seconds: float | None) -> None:
    assert deadline_from(headers) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    "value", ["", "0", "-5", "NaN", "inf", "1e3", "5", "soon", "9" * 5_000, "١", "5 S", "5s"]
)
def test_what_is_no_time_is_none(value: str) -> None:
    """Text from outside: no number is believed, and none raises."""
    assert deadline_from({"grpc-timeout": value}) is None
    if value != "5":
        assert deadline_from({"x-stainless-timeout": value}) is None


def test_it_is_meant_for_a_context() -> None:
    """Of a request that says nothing, the context sets nothing."""
    with context(deadline_s=deadline_from({"grpc-timeout": "3S"})):
        hints = current_hints()
        assert hints is not None
        assert hints.deadline_s == 3.0
    with context(deadline_s=deadline_from({})):
        hints = current_hints()
        assert hints is None or hints.deadline_s is None
