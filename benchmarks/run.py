"""Side by side: hybridllm, the openai client, its competitors, and bare aiohttp.

    python benchmarks/run.py                          # all, some ten minutes
    python benchmarks/run.py --quick --no-competitors # a look, under a minute

Figures are for reading: the exit status is 0 whatever they are, unless `--check` is given.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from bench.bars import bars, table_of
from bench.competitors import prepare
from bench.figures import Figures
from bench.machine import describe
from bench.processes import upstream_running
from bench.progress import say
from bench.render import markdown, show
from bench.roster import EVERYBODY, OPENAI_AIOHTTP, OURS, Entry
from bench.schedule import CONCURRENCIES, Bench, Effort
from bench.tables import calls, footprint, ourselves, streams

ROOT = Path(__file__).parents[1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [entry.name for entry in EVERYBODY]
    parser.add_argument("--quick", action="store_true", help="short batches, two rounds")
    parser.add_argument("--rounds", type=int, metavar="N", help="default 5, with --quick 2")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--json", type=Path, metavar="FILE", help="every value of every round")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the tables")
    parser.add_argument("--venv", type=Path, metavar="DIR", default=ROOT / ".bench-venv",
                        help="the competitors' environment, made on first use (.bench-venv)")  # fmt: skip
    parser.add_argument("--no-competitors", action="store_true", help="without litellm, TensorZero")
    parser.add_argument("--check", action="store_true", help="exit 1 if a first bar is not met")
    return parser.parse_args()


def participants(asked: argparse.Namespace, venv_python: Path | None) -> list[Entry]:
    usual = [entry for entry in EVERYBODY if not (asked.quick and entry is OPENAI_AIOHTTP)]
    entries = [entry for entry in EVERYBODY if entry.name in asked.only] if asked.only else usual
    return [entry for entry in entries if venv_python is not None or not entry.competitor]


def effort_of(asked: argparse.Namespace) -> Effort:
    if asked.quick:
        return Effort(
            asked.rounds or 2,
            batch_s=0.1,
            calls_min=12,
            rss_calls=300,
            imports=2,
            concurrencies=CONCURRENCIES[:-1],
            alike_times=2,
            routers=3,
        )
    return Effort(
        asked.rounds or 5,
        batch_s=1.0,
        calls_min=40,
        rss_calls=10_000,
        imports=9,
        concurrencies=CONCURRENCIES,
        alike_times=3,
        routers=40,
    )


def measure(bench: Bench, entries: list[Entry]) -> None:
    bench.imports([entry for entry in entries if entry.imports])
    bench.side_by_side(entries)
    bench.memory(entries)
    if OURS in entries:
        bench.growth()
        bench.probes()


def notes_of(figures: Figures, effort: Effort, took_s: float) -> list[str]:
    machine = describe()
    used = {name: version for each in figures.versions.values() for name, version in each.items()}
    floor_us = figures.value("raw_aiohttp", "chat16.cpu_us")
    return [
        ", ".join(f"{key}: {value}" for key, value in machine.items()),
        ", ".join(f"{name} {version}" for name, version in sorted(used.items())),
        f"{effort.rounds} rounds, interleaved; batches of about {effort.batch_s:g} s; "
        f"{took_s:.0f} s in all. Figures are medians over rounds, ratios medians of each round's "
        "ratio.",
        "Client on one core, upstream on another, where the system lets a process choose. CPU is "
        "the whole client process, every thread. Under 15 % is no difference.",
        "hybridllm's calls carry task, tenant, residency and feature, and their receipts are read.",
        *([f"Bars in us and ms come from a machine on which raw aiohttp takes 160 us per call; here it "
           f"took {floor_us:.0f} us, {floor_us / 160:.1f} times that."] if floor_us else []),
        *figures.notes,
    ]  # fmt: skip


def main() -> int:
    asked = arguments()
    began_s = time.perf_counter()
    competing = not asked.only or any(e.competitor and e.name in asked.only for e in EVERYBODY)
    wanted = competing and not asked.no_competitors
    venv_python = prepare(asked.venv) if wanted else None
    figures, effort = Figures(), effort_of(asked)
    if wanted and venv_python is None:
        figures.note("The competitors' environment could not be made; they were left out.")
    with upstream_running() as upstream:
        bench = Bench(upstream, figures, effort, venv_python)
        measure(bench, participants(asked, venv_python))
    judged = bars(figures)
    tables = [calls(figures), streams(figures), footprint(figures, effort.rss_calls)]
    tables += [ourselves(figures)] if figures.rounds.get("hybrid") else []
    tables.append(table_of(judged))
    notes = notes_of(figures, effort, time.perf_counter() - began_s)
    say("")
    show(tables, notes)
    if asked.markdown:
        asked.markdown.write_text(markdown(tables, notes))
    if asked.json:
        asked.json.write_text(json.dumps({"machine": describe(), **figures.to_dict()}, indent=2))
    missed = any(bar.verdict == "NOT MET" for bar in judged)
    return 1 if asked.check and missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
