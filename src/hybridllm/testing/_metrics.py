"""The `/metrics` page of a simulated vLLM: the names and labels of vLLM 0.32.0, the main ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

FINISH_REASONS = ("stop", "length", "abort", "error", "repetition")
_STARTED = 1.7951837362968364e09  # the `_created` series: any fixed time

_GAUGES = {
    "vllm:num_requests_running": "Number of requests in model execution batches.",
    "vllm:num_requests_waiting": "Number of requests waiting to be processed.",
    "vllm:kv_cache_usage_perc": "KV-cache usage. 1 means 100 percent usage.",
}
_COUNTERS = {
    "vllm:num_preemptions": "Cumulative number of preemption from the engine.",
    "vllm:prompt_tokens": "Number of prefill tokens processed.",
    "vllm:generation_tokens": "Number of generation tokens processed.",
}


@dataclass(slots=True)
class Load:
    """What a simulated backend is doing, and has done.

    Attributes:
        running: Requests that have a slot.
        waiting: Requests that wait for one.
        kv_tokens: Tokens that the running requests hold in the cache.
        prompt_tokens: Served so far.
        generation_tokens: Served so far.
        finished: Choices served so far, by finish reason.
    """

    running: int = 0
    waiting: int = 0
    kv_tokens: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished: Counter[str] = field(default_factory=Counter)


def page(
    load: Load, *, model: str, kv_capacity_tokens: int, overrides: dict[str, float | None]
) -> str:
    """Return the page in the Prometheus text format.

    Args:
        load: What to report.
        model: The label `model_name`: the first served name.
        kv_capacity_tokens: Size of the cache.
        overrides: Values that replace the true ones, by full name; None leaves the series out.
    """
    labels = f'engine="0",model_name="{model}"'
    values: dict[str, float | None] = {
        "vllm:num_requests_running": load.running,
        "vllm:num_requests_waiting": load.waiting,
        "vllm:kv_cache_usage_perc": min(1.0, load.kv_tokens / kv_capacity_tokens),
        "vllm:num_preemptions_total": 0,
        "vllm:prompt_tokens_total": load.prompt_tokens,
        "vllm:generation_tokens_total": load.generation_tokens,
    }
    values |= overrides
    lines: list[str] = []
    for name, text in _GAUGES.items():
        lines += _series(name, text, "gauge", labels, values.pop(name))
    for name, text in _COUNTERS.items():
        lines += _series(f"{name}_total", text, "counter", labels, values.pop(f"{name}_total"))
        lines += _series(f"{name}_created", text, "gauge", labels, _STARTED)
    lines += _request_success(load, model)
    for name, value in values.items():
        lines += _series(name, "Set by a test.", "gauge", labels, value)
    return "\n".join(lines) + "\n"


def _series(name: str, text: str, kind: str, labels: str, value: float | None) -> list[str]:
    if value is None:
        return []
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name}{{{labels}}} {float(value)}"]


def _request_success(load: Load, model: str) -> list[str]:
    name = "vllm:request_success_total"
    lines = [f"# HELP {name} Count of successfully processed requests.", f"# TYPE {name} counter"]
    for reason in FINISH_REASONS:
        labels = f'engine="0",finished_reason="{reason}",model_name="{model}"'
        lines.append(f"{name}{{{labels}}} {float(load.finished[reason])}")
    return lines
