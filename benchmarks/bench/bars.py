"""The bars that hybridllm is held to, beside what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from bench.figures import Figures
from bench.roster import LITELLM, OPENAI, OURS, RAW, TENSORZERO
from bench.schedule import CONCURRENCIES
from bench.tables import NOTHING, Table, number


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        first: What must hold from the first release on; `goal`: what is aimed at, if more.
        least: True if the measured value must be at least the bar, not at most.
    """

    what: str
    first: float
    goal: float | None
    measured: float | None
    unit: str = ""
    least: bool = False

    def _holds(self, limit: float) -> bool:
        assert self.measured is not None
        return self.measured >= limit if self.least else self.measured <= limit

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "not measured"
        if not self._holds(self.first):
            return "NOT MET"
        return "met, goal too" if self.goal is not None and self._holds(self.goal) else "met"

    def row(self) -> list[str]:
        sign = ">=" if self.least else "<="
        goal = f"{sign} {self.goal:g}{self.unit}" if self.goal is not None else NOTHING
        return [
            self.what,
            f"{sign} {self.first:g}{self.unit}",
            goal,
            number(self.measured, self.unit),
            self.verdict,
        ]


def _inverse(value: float | None) -> float | None:
    return 1 / value if value else None


def _spread_pct(values: list[float | None]) -> float | None:
    """How far the dearest stands above the cheapest."""
    known = [value for value in values if value is not None]
    return (max(known) / min(known) - 1) * 100 if len(known) == len(values) else None


def _growth_pct(added: list[float | None], call_us: float | None) -> float | None:
    """How far apart the added costs are, in percent of a call's cost."""
    known = [value for value in added if value is not None]
    if call_us is None or len(known) < len(added):
        return None
    return (max(known) - min(known)) / call_us * 100


def _decisions(figures: Figures) -> list[Bar]:
    """Each twice: for a tenant and task seen before, and for one never seen."""
    return [
        Bar(
            f"one decision, {size}{seen}",
            first,
            first / 2,
            figures.value(OURS.name, f"{figure}.us"),
            " us",
        )
        for figure, size, seen, first in (
            ("decision10", "10 routes", "", 30),
            ("decision10new", "10 routes", ", new tenant", 30),
            ("decision50", "50 routes, 40 backends", "", 60),
            ("decision50new", "50 routes, 40 backends", ", new tenant", 60),
        )
    ]


def _with_books(figures: Figures, cpu: str) -> float | None:
    """What a call costs against AsyncOpenAI, with what ledger and metrics add to one of ours."""
    alone = figures.ratio(OURS.name, OPENAI.name, cpu)
    times = figures.ratio(f"{OURS.name}.books", OURS.name, "alike.cpu_us")
    return alone and times and alone * times


def bars(figures: Figures) -> list[Bar]:
    ours, cpu = OURS.name, "chat16.cpu_us"

    def against_openai(figure: str) -> float | None:
        return figures.ratio(ours, OPENAI.name, figure)

    per_cpu_s = {
        entry.name: _inverse(figures.ratio(ours, entry.name, cpu))
        for entry in (LITELLM, TENSORZERO)
    }
    crowd = [figures.value(ours, f"at{at}.cpu_us") for at in CONCURRENCIES]
    added = [figures.difference(ours, RAW.name, f"at{at}.cpu_us") for at in CONCURRENCIES]
    many = figures.ratio(f"{ours}.40", ours, "alike.cpu_us")
    extra_p50_ms = figures.value(ours, "refused.p50_ms")
    return [
        Bar("CPU per call / AsyncOpenAI", 0.16, 0.12, against_openai(cpu)),
        Bar("the same, ledger and metrics on", 0.16, 0.12, _with_books(figures, cpu)),
        Bar("the same, 50 messages", 0.05, 0.03, against_openai("history16.cpu_us")),
        Bar("calls per CPU-s / litellm.Router", 16, 22, per_cpu_s[LITELLM.name], "x", least=True),
        Bar("calls per CPU-s / TensorZero", 1.1, 1.5, per_cpu_s[TENSORZERO.name], "x", least=True),
        Bar("CPU per chunk, burst / AsyncOpenAI", 0.10, 0.07, against_openai("burst.chunk_us")),
        Bar("CPU per chunk, 5 ms / AsyncOpenAI", 0.35, 0.25, against_openai("paced.chunk_us")),
        Bar(
            "first token, p50, more than raw aiohttp",
            0.3,
            0.15,
            figures.difference(ours, RAW.name, "first.first_token_p50_ms"),
            " ms",
        ),
        Bar("import / import openai", 0.35, 0.25, against_openai("import.ms")),
        Bar("RSS after the calls / AsyncOpenAI", 1.15, 1.0, against_openai("rss.rss_mb")),
        *_decisions(figures),
        Bar("growth of CPU per call, 1 to 1,000 at once", 15, None, _spread_pct(crowd), " %"),
        Bar(
            "growth of what we add to raw aiohttp, 1 to 1,000",
            15,
            None,
            _growth_pct(added, figures.value(ours, "at10.cpu_us")),
            " %",
        ),
        Bar("growth of CPU per call, 2 to 40 backends", 15, None, many and (many - 1) * 100, " %"),
        Bar(
            "spans on, more CPU per call",
            120,
            80,
            figures.difference(f"{ours}.spans", ours, "alike.cpu_us"),
            " us",
        ),
        Bar("failover, dead backend, extra p50", 1, None, extra_p50_ms, " ms"),
        Bar(
            "failover, dead backend, extra p99",
            3,
            None,
            figures.value(ours, "refused.p99_ms"),
            " ms",
        ),
    ]


def table_of(judged: list[Bar]) -> Table:
    table = Table("Bars", ["what", "first", "goal", "measured", "verdict"])
    table.rows += [bar.row() for bar in judged]
    return table
