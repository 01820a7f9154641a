"""The report's tables, as plain values; `render.py` draws them."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.figures import Figures
from bench.roster import EVERYBODY, OPENAI, OURS, RAW, Entry
from bench.schedule import CONCURRENCIES

NOTHING = "-"


@dataclass(slots=True)
class Table:
    title: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)


def number(value: float | None, unit: str = "") -> str:
    """A figure with three digits that matter."""
    if value is None:
        return NOTHING
    size = abs(value)
    if size >= 100:
        text = f"{value:,.0f}"
    elif size >= 10:
        text = f"{value:.1f}"
    elif size >= 1:
        text = f"{value:.2f}"
    else:
        text = f"{value:.3f}"
    return text + unit


def _present(figures: Figures, figure: str) -> list[Entry]:
    return [entry for entry in EVERYBODY if figures.value(entry.name, figure) is not None]


def _against(figures: Figures, entry: Entry, figure: str) -> list[str]:
    """Ratios to AsyncOpenAI and to raw aiohttp."""
    return [number(figures.ratio(entry.name, other.name, figure)) for other in (OPENAI, RAW)]


def calls(figures: Figures) -> Table:
    table = Table(
        "Calls (not streamed)",
        ["client", "CPU us @16", "/ AsyncOpenAI", "/ raw", "calls per CPU-s", "calls/s @16",
         "p50/p99 ms @1", "p50/p99 ms @16", "CPU us @1", "CPU us, 50 messages", "/ AsyncOpenAI"],
    )  # fmt: skip
    for entry in _present(figures, "chat16.cpu_us"):
        name = entry.name
        cpu = figures.value(name, "chat16.cpu_us")
        latencies = [
            f"{number(figures.value(name, f'{at}.p50_ms'))} / "
            f"{number(figures.value(name, f'{at}.p99_ms'))}"
            for at in ("chat1", "chat16")
        ]
        table.rows.append(
            [entry.label, number(cpu), *_against(figures, entry, "chat16.cpu_us"),
             number(1e6 / cpu if cpu else None), number(figures.value(name, "chat16.per_s")),
             *latencies, number(figures.value(name, "chat1.cpu_us")),
             number(figures.value(name, "history16.cpu_us")),
             number(figures.ratio(name, OPENAI.name, "history16.cpu_us"))]
        )  # fmt: skip
    return table


def streams(figures: Figures) -> Table:
    table = Table(
        "Streams (CPU per chunk, the call included; four streams at once)",
        ["client", "us, burst of 200", "/ AsyncOpenAI", "/ raw", "us, one each 5 ms",
         "/ AsyncOpenAI", "/ raw", "first token p50 ms", "more than raw, ms"],
    )  # fmt: skip
    for entry in _present(figures, "burst.chunk_us"):
        name = entry.name
        table.rows.append(
            [entry.label, number(figures.value(name, "burst.chunk_us")),
             *_against(figures, entry, "burst.chunk_us"),
             number(figures.value(name, "paced.chunk_us")),
             *_against(figures, entry, "paced.chunk_us"),
             number(figures.value(name, "first.first_token_p50_ms")),
             number(figures.difference(name, RAW.name, "first.first_token_p50_ms"))]
        )  # fmt: skip
    return table


def footprint(figures: Figures, rss_calls: int) -> Table:
    table = Table(
        "Import and memory (the time of an empty interpreter subtracted)",
        ["client", "import ms, median", "least", "/ openai",
         f"RSS MB after {rss_calls:,} calls", "/ AsyncOpenAI"],
    )  # fmt: skip
    entries = [
        entry
        for entry in EVERYBODY
        if {"import.ms", "rss.rss_mb"} & set(figures.rounds.get(entry.name, ()))
    ]
    for entry in entries:
        name = entry.name
        table.rows.append(
            [entry.label, number(figures.value(name, "import.ms")),
             number(figures.least(name, "import.ms")),
             number(figures.ratio(name, OPENAI.name, "import.ms")),
             number(figures.value(name, "rss.rss_mb")),
             number(figures.ratio(name, OPENAI.name, "rss.rss_mb"))]
        )  # fmt: skip
    return table


def ourselves(figures: Figures) -> Table:
    """What only hybridllm is asked; what was not measured has no row."""
    table = Table("hybridllm alone", ["what", "figure", "against"])
    ours = OURS.name
    for at in CONCURRENCIES:
        against = figures.ratio(ours, ours, f"at{at}.cpu_us", "at10.cpu_us")
        cost = number(figures.value(ours, f"at{at}.cpu_us"), " us")
        raw = number(figures.value(RAW.name, f"at{at}.cpu_us"), " us")
        beside = f"{number(against)} x that at 10; raw aiohttp {raw}"
        table.rows.append([f"CPU per call, {at:,} at once", cost, beside])
    for variant, what in (
        (ours, "2 backends"),
        (f"{ours}.40", "40 backends"),
        (f"{ours}.spans", "spans on"),
        (f"{ours}.books", "ledger and metrics on"),
    ):
        cost = number(figures.value(variant, "alike.cpu_us"), " us")
        against = figures.ratio(variant, ours, "alike.cpu_us")
        table.rows.append([f"CPU per call, 16 at once, {what}", cost, f"{number(against)} x"])
    for size, what in (
        ("decision10", "10 routes"),
        ("decision10new", "10 routes, tenant never seen"),
        ("decision50", "50 routes, 40 backends"),
        ("decision50new", "50 routes, 40 backends, tenant never seen"),
    ):
        cost = number(figures.value(ours, f"{size}.us"), " us")
        least = number(figures.value(ours, f"{size}.us_min"), " us")
        table.rows.append([f"one decision, {what}", cost, f"least {least}"])
    for kind, what in (("refused", "refuses connections"), ("sick", "answers 503")):
        p50, p99, cpu, usual = (
            number(figures.value(ours, f"{kind}.{key}"), " ms")
            for key in ("p50_ms", "p99_ms", "cpu_ms", "usual_ms")
        )
        met, of = (figures.value(ours, f"{kind}.{key}") or 0 for key in ("met", "of"))
        table.rows.append(
            [
                f"failover, preferred backend {what}",
                f"+{p50} p50, +{p99} p99",
                f"CPU +{cpu}; usual {usual}; met by {met:.0f} of {of:.0f} requests",
            ]
        )
    table.rows = [row for row in table.rows if not row[1].startswith((NOTHING, "+-"))]
    return table
