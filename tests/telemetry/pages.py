"""Pages of metrics for tests: those that were recorded, and small ones made of a few figures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from captures import DIRECTORY

VLLM = '{engine="0",model_name="tiny"}'


@cache
def recorded() -> Mapping[str, bytes]:
    """Every `/metrics` page that a real server gave, by the name of its recording."""
    return {
        file.relative_to(DIRECTORY).with_suffix("").as_posix(): file.read_bytes()
        for file in sorted(DIRECTORY.rglob("*.prom"))
    }


def page(labels: str = VLLM, /, **figures: float | str) -> bytes:
    """A page with one sample of each metric; `vllm__x` is `vllm:x`."""
    lines = []
    for name, value in figures.items():
        metric = name.replace("__", ":")
        lines += [f"# HELP {metric} Something.", f"# TYPE {metric} gauge"]
        lines.append(f"{metric}{labels} {value}")
    return ("\n".join(lines) + "\n").encode()


def vllm_page(
    running: float = 0,
    waiting: float = 0,
    kv_used: float = 0.0,
    prompt: float = 0,
    generated: float = 0,
) -> bytes:
    """A page as vLLM gives it, of what matters for load."""
    return page(
        vllm__num_requests_running=running,
        vllm__num_requests_waiting=waiting,
        vllm__kv_cache_usage_perc=kv_used,
        vllm__prompt_tokens_total=prompt,
        vllm__prompt_tokens_created=1.79e9,
        vllm__generation_tokens_total=generated,
        vllm__generation_tokens_created=1.79e9,
    )
