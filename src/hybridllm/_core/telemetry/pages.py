"""From a `/metrics` page to a report: which server it is, and what its metrics are called.

vLLM's names changed over its versions: `gpu_cache_usage_perc` became `kv_cache_usage_perc`,
`gpu_prefix_cache_*` became `prefix_cache_*`. Behind one address may be several engines; what they do is
summed, and the fullest KV cache counts. Sources: a running vLLM 0.32 and the source of 0.8 to 0.19; SGLang's
`srt/metrics/collector.py`; TGI's and llama.cpp's documented lists of metrics.

Ollama has no such page, and what its `/api/ps` says (which models are in memory) is no load. The token
counters of SGLang, TGI and llama.cpp move at the end of a request, so that a long answer would look like a
standstill: they are no `steps`. llama.cpp counts its decode steps as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hybridllm._core.telemetry.prometheus import label, lines, samples
from hybridllm._core.telemetry.report import NOTHING_TOLD, LoadReport, TelemetryProblem

PAGE_BYTES_MAX = 1 << 20
_FULL_AT_MOST = (
    1.01  # a share of a little over 1 is a rounding error; far over, it is something else
)


def read_page(page: bytes) -> LoadReport:
    """Return what a page tells; nothing, if it is no known server's.

    Raises:
        TelemetryProblem: If it is larger than 1 MiB, or a metric has more series than anybody's.
    """
    if len(page) > PAGE_BYTES_MAX:
        raise TelemetryProblem(f"the page is larger than {PAGE_BYTES_MAX >> 10} KiB")
    page = b"\n" + page
    for mark, read in _SERVERS:
        if mark in page:
            return read(page)
    return NOTHING_TOLD


def _vllm(page: bytes) -> LoadReport:
    running = samples(page, b"vllm:num_requests_running")
    kv_used = _most(samples(page, b"vllm:kv_cache_usage_perc"))
    if kv_used is None:
        kv_used = _most(samples(page, b"vllm:gpu_cache_usage_perc"))
    queries = _sum(samples(page, b"vllm:prefix_cache_queries_total"))
    hits = _sum(samples(page, b"vllm:prefix_cache_hits_total"))
    if queries is None:
        queries = _sum(samples(page, b"vllm:gpu_prefix_cache_queries_total"))
        hits = _sum(samples(page, b"vllm:gpu_prefix_cache_hits_total"))
    prompt = _sum(samples(page, b"vllm:prompt_tokens_total"))
    generation = _sum(samples(page, b"vllm:generation_tokens_total"))
    return LoadReport(
        "vllm",
        running=_sum(running),
        waiting=_sum(samples(page, b"vllm:num_requests_waiting")),
        kv_used=kv_used,
        prompt_tokens=prompt,
        generation_tokens=generation,
        steps=None if prompt is None or generation is None else prompt + generation,
        cache_queries=queries,
        cache_hits=hits,
        kv_tokens=_kv_tokens(lines(page, b"vllm:cache_config_info")),
        engines=max(1, len(running)),
        asleep=_asleep(samples(page, b"vllm:engine_sleep_state")),
        born=_sum(samples(page, b"vllm:prompt_tokens_created")),
    )


def _sglang(page: bytes) -> LoadReport:
    running = _ranks(samples(page, b"sglang:num_running_reqs"))
    tokens = _ranks(samples(page, b"sglang:max_total_num_tokens"))
    return LoadReport(
        "sglang",
        running=_sum(running),
        waiting=_sum(_ranks(samples(page, b"sglang:num_queue_reqs"))),
        kv_used=_most(samples(page, b"sglang:token_usage")),
        prompt_tokens=_sum(samples(page, b"sglang:prompt_tokens_total")),
        generation_tokens=_sum(samples(page, b"sglang:generation_tokens_total")),
        cache_hit_rate=_most(samples(page, b"sglang:cache_hit_rate")),
        kv_tokens=int(_sum(tokens) or 0) or None,
        engines=max(1, len(running)),
    )


def _tgi(page: bytes) -> LoadReport:
    return LoadReport(
        "tgi",
        running=_sum(samples(page, b"tgi_batch_current_size")),
        waiting=_sum(samples(page, b"tgi_queue_size")),
        prompt_tokens=_sum(samples(page, b"tgi_request_input_length_sum")),
        generation_tokens=_sum(samples(page, b"tgi_request_generated_tokens_sum")),
    )


def _llama_cpp(page: bytes) -> LoadReport:
    return LoadReport(
        "llama.cpp",
        running=_sum(samples(page, b"llamacpp:requests_processing")),
        waiting=_sum(samples(page, b"llamacpp:requests_deferred")),
        kv_used=_most(samples(page, b"llamacpp:kv_cache_usage_ratio")),  # not in newer ones
        prompt_tokens=_sum(samples(page, b"llamacpp:prompt_tokens_total")),
        generation_tokens=_sum(samples(page, b"llamacpp:tokens_predicted_total")),
        steps=_sum(samples(page, b"llamacpp:n_decode_total")),
    )


_SERVERS: tuple[tuple[bytes, Callable[[bytes], LoadReport]], ...] = (
    (b"\nvllm:", _vllm),
    (b"\nsglang:", _sglang),
    (b"\nllamacpp:", _llama_cpp),
    (b"\ntgi_", _tgi),
)


def _sum(found: Iterable[tuple[bytes, float]]) -> float | None:
    values = [value for _, value in found]
    return sum(values) if values else None


def _most(found: Iterable[tuple[bytes, float]]) -> float | None:
    """The highest of some shares; None: there is none, or it is no share."""
    most = max((value for _, value in found), default=None)
    return None if most is None or most > _FULL_AT_MOST else min(1.0, most)


def _ranks(found: list[tuple[bytes, float]]) -> list[tuple[bytes, float]]:
    """One value per data-parallel rank: tensor-parallel ranks of one engine may each say the same."""
    by_rank: dict[bytes, float] = {}
    for labels, value in found:
        rank = label(labels, b"dp_rank") or b""
        by_rank[rank] = max(value, by_rank.get(rank, 0.0))
    return list(by_rank.items())


def _kv_tokens(engines: list[bytes]) -> int | None:
    """What the KV cache holds; the figures stand in labels.

    Newer ones tell it in tokens, each engine its own. The blocks are those of all engines, on each line.
    """
    each = [label(labels, b"kv_cache_size_tokens") for labels in engines]
    if each and all(map(_is_count, each)):
        return sum(int(tokens or b"") for tokens in each) or None
    for labels in engines:
        blocks, size = label(labels, b"num_gpu_blocks"), label(labels, b"block_size")
        if _is_count(blocks) and _is_count(size):
            return int(blocks or b"") * int(size or b"") or None
    return None


def _is_count(text: bytes | None) -> bool:
    return text is not None and text.isdigit() and len(text) <= 12


def _asleep(found: list[tuple[bytes, float]]) -> bool | None:
    """Whether every engine sleeps; None: it does not say."""
    awake = [value for labels, value in found if label(labels, b"sleep_state") == b"awake"]
    return not any(awake) if awake else None
