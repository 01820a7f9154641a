"""The load report that a vLLM server puts into the head of an answer, if the request asks for it.

It is free, and as fresh as the answer; it comes with whole answers only, not with streams. It tells what
waits and how full the KV cache is, but not what runs; of several engines it does not say whose that is.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from hybridllm._core.telemetry.report import NOTHING_TOLD, LoadReport, TelemetryProblem

ASKED_WITH = ("endpoint-load-metrics-format", "JSON")
"""The header of a request that asks for a report."""
TOLD_IN = "endpoint-load-metrics"
"""The header of the answer that has it."""

_LENGTH_MAX = 4_096
_WAITING, _KV_USED = "num_requests_waiting", "kv_cache_usage_perc"


def read_header(value: str) -> LoadReport:
    """Return what a header tells, in either of its forms.

    Raises:
        TelemetryProblem: If it is in neither, or longer than 4,096 characters.
    """
    if len(value) > _LENGTH_MAX:
        raise TelemetryProblem(f"the load header is longer than {_LENGTH_MAX} characters")
    form, _, told = value.partition(" ")
    if form == "JSON":
        named = _from_json(told)
    elif form == "TEXT":
        named = _from_text(told)
    else:
        raise TelemetryProblem("the load header is neither JSON nor TEXT")
    waiting, kv_used = _figure(named.get(_WAITING)), _figure(named.get(_KV_USED))
    if kv_used is not None and kv_used > 1.0:
        kv_used = None
    if waiting is None and kv_used is None:
        return NOTHING_TOLD
    return LoadReport("vllm", waiting=waiting, kv_used=kv_used)


def _from_json(told: str) -> dict[str, Any]:
    try:
        named = json.loads(told)["named_metrics"]
    except (ValueError, KeyError, TypeError, RecursionError):
        named = None
    if not isinstance(named, dict):
        raise TelemetryProblem("the load header's JSON holds no named_metrics")
    return named


def _from_text(told: str) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for part in told.split(","):
        name, _, figure = part.strip().partition("=")
        try:
            named[name.removeprefix("named_metrics.")] = float(figure)
        except ValueError:
            continue
    return named


def _figure(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        figure = float(value)
    except OverflowError:
        return None
    return figure if isfinite(figure) and figure >= 0.0 else None
