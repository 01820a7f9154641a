"""The load report in the head of an answer."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captures import captures
from hybridllm._core.telemetry.load_header import TOLD_IN, read_header
from hybridllm._core.telemetry.report import LoadReport, TelemetryProblem


@pytest.mark.parametrize(
    ("name", "kv_used"),
    [
        ("default/chat_orca_json", 0.0),
        ("default/chat_orca_text", 0.0),
        ("dp/chat_orca_under_load", 0.007874015748031482),
    ],
)
def test_recorded_headers_are_read_in_both_forms(name: str, kv_used: float) -> None:
    """What waits, and how full the KV cache is; of what runs it says nothing."""
    told = dict(captures()[name].headers)[TOLD_IN]
    assert read_header(told) == LoadReport("vllm", waiting=0.0, kv_used=kv_used)


def test_streams_have_none() -> None:
    """Recorded: asked for all the same."""
    assert TOLD_IN not in dict(captures()["default/chat_stream_orca"].headers)


@pytest.mark.parametrize(
    "told",
    [
        "",
        "JSON",
        "JSON []",
        'JSON {"named_metrics": 1}',
        "JSON {",
        "BIN x",
        "JSON " + "[" * 4_000,
        "TEXT" * 2_000,
    ],
)
def test_what_is_no_report_is_a_problem(told: str) -> None:
    """One kind of error, whatever is wrong."""
    with pytest.raises(TelemetryProblem):
        read_header(told)


@pytest.mark.parametrize(
    "told",
    [
        'JSON {"named_metrics": {}}',
        'JSON {"named_metrics": {"num_requests_waiting": true, "kv_cache_usage_perc": "0.5"}}',
        'JSON {"named_metrics": {"num_requests_waiting": NaN, "kv_cache_usage_perc": -1}}',
        f'JSON {{"named_metrics": {{"num_requests_waiting": {"9" * 400}, "kv_cache_usage_perc": 54}}}}',
        "TEXT named_metrics.num_requests_waiting=, named_metrics.kv_cache_usage_perc=inf",
        "TEXT x",
    ],
)
def test_figures_without_sense_are_unknown(told: str) -> None:
    """Nothing is told, which is not zero."""
    assert not read_header(told).tells


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["JSON ", "TEXT ", ""]), st.text(string.printable, max_size=40))
def test_nothing_else_is_raised(form: str, rest: str) -> None:
    """Whatever a backend says."""
    try:
        read_header(form + rest)
    except TelemetryProblem:
        pass
