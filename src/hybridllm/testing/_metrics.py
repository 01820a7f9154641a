"""The `/metrics` page of a simulated vLLM: the names and labels of vLLM 0.32.0, the main ones.

Pure: what a server tells goes in, text comes out. Other servers' names are in `_metrics_styles.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hybridllm.testing._kv import BLOCK_TOKENS
from hybridllm.testing._validation import BadRequest

METRICS_TYPE = "text/plain; version=1.0.0; charset=utf-8"
LOAD_HEADER = "endpoint-load-metrics"
LOAD_FORMAT_HEADER = "endpoint-load-metrics-format"

FINISH_REASONS = ("stop", "length", "abort", "error", "repetition")
_STARTED = 1.7951837362968364e09  # the `_created` series: any fixed time

_HELP = {
    "vllm:num_requests_running": "Number of requests in model execution batches.",
    "vllm:num_requests_waiting": "Number of requests waiting to be processed.",
    "vllm:num_requests_waiting_by_reason": (
        "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling "
        "capacity; 'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked "
        "status). Sum of all reasons equals vllm:num_requests_waiting."
    ),
    "vllm:engine_sleep_state": (
        "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; "
        "weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2."
    ),
    "vllm:kv_cache_usage_perc": "KV-cache usage. 1 means 100 percent usage.",
    "vllm:prefix_cache_queries": "Prefix cache queries, in terms of number of queried tokens.",
    "vllm:prefix_cache_hits": "Prefix cache hits, in terms of number of cached tokens.",
    "vllm:num_preemptions": "Cumulative number of preemption from the engine.",
    "vllm:prompt_tokens": "Number of prefill tokens processed.",
    "vllm:prompt_tokens_cached": "Number of cached prompt tokens (local + external).",
    "vllm:generation_tokens": "Number of generation tokens processed.",
    "vllm:request_success": "Count of successfully processed requests.",
    "vllm:admission_rejections": "Number of admission attempts rejected by a queue limit, by reason.",
    "vllm:cache_config_info": "Information of the LLMEngine CacheConfig",
}


class Busy(Protocol):
    """What is needed to tell who has the least to do."""

    @property
    def running(self) -> int:
        """Requests that have a slot."""
        ...

    @property
    def waiting(self) -> int:
        """Requests that wait for one."""
        ...


@dataclass(slots=True)
class Load:
    """What an engine is doing, and has done.

    Attributes:
        running: Requests that have a slot.
        waiting: Requests that wait for one.
        kv_used: Share of its cache that they hold.
        prompt_tokens: Served so far.
        generation_tokens: Served so far.
        prefix_queries: Prompt tokens that were looked for in the cache.
        prefix_hits: Those of them that were found.
        preemptions: How often a request lost its slot.
        finished: Choices served so far, by finish reason.
    """

    running: int = 0
    waiting: int = 0
    kv_used: float = 0.0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    preemptions: int = 0
    finished: Counter[str] = field(default_factory=Counter)


def page(
    loads: Sequence[Load],
    *,
    model: str,
    kv_blocks: int,
    rejected: int = 0,
    asleep: bool = False,
    overrides: Mapping[str, float | None] | None = None,
) -> str:
    """Return the page in the Prometheus text format.

    Args:
        loads: What to report, of each engine.
        model: The label `model_name`: the first served name.
        kv_blocks: Size of each engine's cache.
        rejected: Requests that its full queue has turned away.
        asleep: Whether its weights are not loaded.
        overrides: Values that replace the true ones, by full name; None leaves the series out.
    """
    replaced = dict(overrides or {})
    lines: list[str] = []
    for name, kind, samples in _families(
        loads, f'model_name="{model}"', kv_blocks, rejected, asleep
    ):
        full = f"{name}_total" if kind == "counter" else name
        if full in replaced:
            value = replaced.pop(full)
            samples = () if value is None else [(labels, value) for labels, _ in samples]  # noqa: PLW2901
        lines += _series(name, kind, samples)
    for name, value in replaced.items():
        if value is not None:
            labels = f'engine="0",model_name="{model}"'
            lines += [f"# HELP {name} Set by a test.", f"# TYPE {name} gauge"]
            lines.append(f"{name}{{{labels}}} {float(value)}")
    return "\n".join(lines) + "\n"


def load_header(loads: Sequence[Load], asked: str | None) -> tuple[tuple[str, str], ...]:
    """Return the header field of a plain answer to a request that asked for a load report in this format.

    Of several engines it gives one value each and does not say whose: here it is the last one's.
    """
    load = loads[-1]
    named = {"num_requests_waiting": float(load.waiting), "kv_cache_usage_perc": load.kv_used}
    match (asked or "").upper():
        case "JSON":
            return ((LOAD_HEADER, f"JSON {json.dumps({'named_metrics': named})}"),)
        case "TEXT":
            text = ", ".join(f"named_metrics.{name}={value}" for name, value in named.items())
            return ((LOAD_HEADER, f"TEXT {text}"),)
        case _:
            return ()


def engine_rank(engines: Sequence[Busy], asked: str | None) -> int:
    """Return the engine that a request asks for, or the one with the least to do.

    Raises:
        BadRequest: If there is none of that rank.
    """
    if asked is None:
        return min(
            range(len(engines)), key=lambda rank: engines[rank].waiting * 4 + engines[rank].running
        )
    if not (asked.isdigit() and int(asked) < len(engines)):
        raise BadRequest(f"data_parallel_rank {asked} is out of range [0, {len(engines)}).")
    return int(asked)


_Sample = tuple[str, float]  # labels and a value


def _families(
    loads: Sequence[Load], model: str, kv_blocks: int, rejected: int, asleep: bool
) -> Iterator[tuple[str, str, Sequence[_Sample]]]:
    """Yield name, kind and samples of every family, in the order of the real page."""

    def each(value: Callable[[Load], float], *, before: str = "", after: str = "") -> list[_Sample]:
        return [
            (f'engine="{n}",{before}{model}{after}', value(load)) for n, load in enumerate(loads)
        ]

    def by(label: str, values: Mapping[str, Callable[[Load], float]]) -> list[_Sample]:
        return [
            sample
            for word, value in values.items()
            for sample in each(value, after=f',{label}="{word}"')
        ]

    yield "vllm:num_requests_running", "gauge", each(lambda load: load.running)
    yield "vllm:num_requests_waiting", "gauge", each(lambda load: load.waiting)
    reasons = {"capacity": lambda load: load.waiting, "deferred": lambda _: 0}
    yield "vllm:num_requests_waiting_by_reason", "gauge", by("reason", reasons)
    states = {
        "awake": lambda _: not asleep,
        "weights_offloaded": lambda _: asleep,
        "discard_all": lambda _: False,
    }
    yield "vllm:engine_sleep_state", "gauge", by("sleep_state", states)
    yield "vllm:kv_cache_usage_perc", "gauge", each(lambda load: load.kv_used)
    yield "vllm:prefix_cache_queries", "counter", each(lambda load: load.prefix_queries)
    yield "vllm:prefix_cache_hits", "counter", each(lambda load: load.prefix_hits)
    yield "vllm:num_preemptions", "counter", each(lambda load: load.preemptions)
    yield "vllm:prompt_tokens", "counter", each(lambda load: load.prompt_tokens)
    yield "vllm:prompt_tokens_cached", "counter", each(lambda load: load.prefix_hits)
    yield "vllm:generation_tokens", "counter", each(lambda load: load.generation_tokens)
    ended = [
        (f'engine="{n}",finished_reason="{reason}",{model}', float(load.finished[reason]))
        for reason in FINISH_REASONS
        for n, load in enumerate(loads)
    ]
    yield "vllm:request_success", "counter", ended
    limits = {"max_num_queued_reqs": rejected, "max_num_queued_tokens": 0}
    turned_away = [(f'{model},reason="{limit}"', float(count)) for limit, count in limits.items()]
    yield "vllm:admission_rejections", "counter", turned_away
    # `num_gpu_blocks` is that of all engines together, the size in tokens that of each: so it was seen.
    cache = [
        (
            f'block_size="{BLOCK_TOKENS}",cache_dtype="auto",enable_prefix_caching="True",engine="{n}",'
            f'gpu_memory_utilization="0.92",kv_cache_size_tokens="{kv_blocks * BLOCK_TOKENS}",'
            f'num_gpu_blocks="{kv_blocks * len(loads)}"',
            1.0,
        )
        for n in range(len(loads))
    ]
    yield "vllm:cache_config_info", "gauge", cache


def _series(name: str, kind: str, samples: Sequence[_Sample]) -> Iterator[str]:
    if not samples:
        return
    told, text = (f"{name}_total" if kind == "counter" else name), _HELP[name]
    yield f"# HELP {told} {text}"
    yield f"# TYPE {told} {kind}"
    for labels, value in samples:
        yield f"{told}{{{labels}}} {float(value)}"
    if kind == "counter":
        yield f"# HELP {name}_created {text}"
        yield f"# TYPE {name}_created gauge"
        for labels, _ in samples:
            yield f"{name}_created{{{labels}}} {_STARTED}"
