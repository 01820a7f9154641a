"""Metrics pages of servers that are no vLLM: what an engine does, in the names of SGLang, TGI, llama.cpp.

The few series that tell of load, as these servers' documentation has them; what one does not tell is not
there (TGI and llama.cpp: the cache). No page of theirs was recorded.

Sources: https://docs.sglang.io/references/production_metrics.html,
https://huggingface.co/docs/text-generation-inference/reference/metrics,
https://github.com/ggml-org/llama.cpp/tree/master/tools/server#get-metrics-prometheus-compatible-metrics-exporter
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hybridllm.testing._metrics import Load
from hybridllm.testing._vllm_service import OtherStyle

_Family = tuple[
    str, str, Mapping[str, float]
]  # name, kind, and its samples by what follows the name


def styled_page(style: OtherStyle, loads: Sequence[Load], *, model: str) -> str:
    """Return a page in another server's names; of several engines, the sums, and the fullest cache."""
    lines: list[str] = []
    for name, kind, samples in _FAMILIES[style](loads, model):
        lines.append(f"# TYPE {name} {kind}")
        lines += [f"{name}{rest} {value}" for rest, value in samples.items()]
    return "\n".join(lines) + "\n"


def _sglang(loads: Sequence[Load], model: str) -> list[_Family]:
    labels = f'{{engine_type="unified",model_name="{model}",pp_rank="0",tp_rank="0"}}'
    prompt, cached = _sum(loads, "prompt_tokens"), _sum(loads, "prefix_hits")
    values = {
        ("sglang:num_running_reqs", "gauge"): _sum(loads, "running"),
        ("sglang:num_queue_reqs", "gauge"): _sum(loads, "waiting"),
        ("sglang:token_usage", "gauge"): max(load.kv_used for load in loads),
        ("sglang:cache_hit_rate", "gauge"): cached / prompt if prompt else 0.0,
        ("sglang:prompt_tokens_total", "counter"): prompt,
        ("sglang:cached_tokens_total", "counter"): cached,
        ("sglang:generation_tokens_total", "counter"): _sum(loads, "generation_tokens"),
    }
    return [(name, kind, {labels: float(value)}) for (name, kind), value in values.items()]


def _tgi(loads: Sequence[Load], model: str) -> list[_Family]:
    del model  # it names none
    ended = sum(sum(load.finished.values()) for load in loads)

    def histogram(total: float) -> dict[str, float]:
        return {'_bucket{le="+Inf"}': ended, "_sum": total, "_count": ended}

    return [
        ("tgi_batch_current_size", "gauge", {"": _sum(loads, "running")}),
        ("tgi_queue_size", "gauge", {"": _sum(loads, "waiting")}),
        ("tgi_request_input_length", "histogram", histogram(_sum(loads, "prompt_tokens"))),
        ("tgi_request_generated_tokens", "histogram", histogram(_sum(loads, "generation_tokens"))),
    ]


def _llamacpp(loads: Sequence[Load], model: str) -> list[_Family]:
    del model  # it names none
    return [
        ("llamacpp:prompt_tokens_total", "counter", {"": _sum(loads, "prompt_tokens")}),
        ("llamacpp:tokens_predicted_total", "counter", {"": _sum(loads, "generation_tokens")}),
        ("llamacpp:requests_processing", "gauge", {"": _sum(loads, "running")}),
        ("llamacpp:requests_deferred", "gauge", {"": _sum(loads, "waiting")}),
    ]


def _sum(loads: Sequence[Load], name: str) -> int:
    total: int = sum(getattr(load, name) for load in loads)
    return total


_FAMILIES = {"sglang": _sglang, "tgi": _tgi, "llamacpp": _llamacpp}
