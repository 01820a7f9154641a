"""A status as lines of text: one per candidate, under headings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridllm._compose.status_rows import BackendStatus, CandidateStatus

_HEADINGS = (
    "candidate",
    "breaker",
    "asked",
    "failed/10 s",
    "first token",
    "answer",
    "cached",
    "reason",
)
_GAP = "  "


def load_lines(backends: Sequence[BackendStatus]) -> Iterator[str]:
    """Yield a line for each backend of whose load something is known."""
    for row in backends:
        words = [
            *([] if row.running is None else [f"{row.running:g} running"]),
            *([] if row.queued is None else [f"{row.queued:g} queued"]),
            *([] if row.kv_used is None else [f"KV cache {row.kv_used:.0%}"]),
            *([] if row.wait_s is None else [f"wait {row.wait_s:g} s"]),
            *([] if row.tokens_per_s is None else [f"{row.tokens_per_s:.0f} tokens/s"]),
            *([] if row.cache_hit_rate is None else [f"{row.cache_hit_rate:.0%} prefix hits"]),
        ]
        if words or row.saturated:
            why = f"; saturated: {row.saturated}" if row.saturated else ""
            yield f"load of {row.backend}: {', '.join(words) or 'unknown'}{why}"


def candidate_lines(candidates: Sequence[CandidateStatus]) -> Iterator[str]:
    """Yield a table of candidates; latencies are the median and the 95th of 100, in milliseconds."""
    if not candidates:
        return
    rows = [_HEADINGS, *(_cells(row) for row in candidates)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield _GAP.join(cells).rstrip()


def _cells(row: CandidateStatus) -> tuple[str, ...]:
    return (
        row.name,
        row.breaker,
        "no" if row.refused else "yes",
        f"{row.failures} of {row.attempts}" if row.attempts else "-",
        _both_ms(row.first_token_ms_p50, row.first_token_ms_p95),
        _both_ms(row.answer_ms_p50, row.answer_ms_p95),
        "-" if row.cached_share is None else f"{row.cached_share:.0%}",
        row.reason,
    )


def _both_ms(half_ms: float | None, most_ms: float | None) -> str:
    if half_ms is None or most_ms is None:
        return "-"
    return f"{half_ms:.0f} / {most_ms:.0f} ms"
