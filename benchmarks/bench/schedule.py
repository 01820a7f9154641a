"""Who runs what, when: rounds of batches, the clients taking turns within each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Figures
from bench.processes import Upstream, Worker, WorkerFailed, environment, worker_running
from bench.progress import step
from bench.roster import OURS, RAW, Entry


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a run may take.

    Attributes:
        batch_s: A batch is sized to last about so long, but has `calls_min` calls.
        concurrencies: At which growth is looked at.
        alike_times: Batches of each variant per round: they differ by less than one batch varies.
        routers: How many fresh routers meet a dead backend.
    """

    rounds: int
    batch_s: float
    calls_min: int
    rss_calls: int
    imports: int
    concurrencies: tuple[int, ...]
    alike_times: int
    routers: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load that every client gets.

    Attributes:
        every_s: Between two chunks of a stream; 0: all at once.
    """

    name: str
    what: str
    shape: str
    concurrency: int
    tokens: int = 0
    every_s: float = 0.0


SCENARIOS = (
    Scenario("chat16", "calls, 16 at once", "chat", 16),
    Scenario("chat1", "calls, one at a time", "chat", 1),
    Scenario("history16", "calls with 50 messages, 16 at once", "history", 16),
    Scenario("burst", "streams of 200 chunks, all at once", "stream", 4, tokens=200),
    Scenario("paced", "streams of 50 chunks, one each 5 ms", "stream", 4, tokens=50, every_s=0.005),
    Scenario("first", "time to first token", "stream", 1, tokens=4, every_s=0.005),
)
CONCURRENCIES = (1, 10, 100, 1000)


class Bench:
    """One run: its upstream, its effort, and where figures go."""

    def __init__(
        self, upstream: Upstream, figures: Figures, effort: Effort, venv_python: Path | None
    ) -> None:
        self.upstream = upstream
        self.figures = figures
        self.effort = effort
        self.venv_python = venv_python

    @contextmanager
    def workers(
        self, specs: dict[str, tuple[Entry, dict[str, Any]]]
    ) -> Iterator[dict[str, Worker]]:
        """Start a worker for each name; one that cannot start becomes a note."""
        with ExitStack() as stack:
            started = {}
            for name, (entry, spec) in specs.items():
                python = self.venv_python if entry.competitor else None
                step(f"starting {entry.label}")
                try:
                    worker = stack.enter_context(
                        worker_running(self.upstream, entry.name, python, **spec)
                    )
                except WorkerFailed as error:
                    self.figures.note(f"{entry.label} did not start: {error}")
                    continue
                self.figures.versions[entry.name] = worker.versions
                started[name] = worker
            yield started

    def batch(self, worker: Worker, name: str, scenario: Scenario, **more: Any) -> None:
        """Run one batch and keep what it measured."""
        self.upstream.ask(tokens=scenario.tokens or 1, every_s=scenario.every_s)
        self.upstream.ask(stats=True)
        order = {
            "do": "load",
            "shape": scenario.shape,
            "concurrency": scenario.concurrency,
            "tokens": scenario.tokens,
            "budget_s": self.effort.batch_s,
            "calls_min": self.effort.calls_min,
            **more,
        }
        try:
            values = worker.ask(**order)
        except WorkerFailed as error:
            self.figures.note(f"{name}, {scenario.what}: {error}")
            self.figures.add(name, scenario.name, None)
            return
        if values["repeats"]:
            self.figures.note(
                f"{name}, {scenario.what}: {values['repeats']} attempts beyond the first"
            )
        values["connections"] = self.upstream.ask(stats=True)["connections"]
        self.figures.add(name, scenario.name, values)

    def side_by_side(self, entries: list[Entry]) -> None:
        with self.workers({entry.name: (entry, {}) for entry in entries}) as workers:
            for turn in range(self.effort.rounds):
                for scenario in SCENARIOS:
                    step(f"round {turn + 1} of {self.effort.rounds}: {scenario.what}")
                    for name, worker in workers.items():
                        self.batch(worker, name, scenario)

    def memory(self, entries: list[Entry]) -> None:
        """RSS after many calls, each client in a fresh process that did nothing else."""
        calls = self.effort.rss_calls
        for entry in entries:
            with self.workers({entry.name: (entry, {})}) as workers:
                for worker in workers.values():
                    step(f"memory after {calls:,} calls: {entry.label}")
                    exactly = {"calls_min": calls, "calls_max": calls}
                    self.batch(worker, entry.name, _RSS_LOAD, **exactly)
                    self.figures.add(entry.name, "rss", worker.ask(do="rss"))

    def imports(self, entries: list[Entry]) -> None:
        """Fresh interpreters, taking turns; `pass` alone is what the others contain."""
        turns = self.effort.imports
        for turn in range(turns + 1):  # the first one fills the page cache and writes bytecode
            step(f"imports, turn {turn} of {turns}")
            pass_ms = _run_ms(None, "pass", ours=True)
            for entry in entries:
                python = self.venv_python if entry.competitor else None
                took_ms = _run_ms(python, entry.imports or "pass", ours=python is None)
                if turn and took_ms is not None and pass_ms is not None:
                    values = {"ms": took_ms - pass_ms, "pass_ms": pass_ms}
                    self.figures.add(entry.name, "import", values)

    def growth(self) -> None:
        """hybridllm against itself: more requests at once, more backends, spans on, ledger and metrics on.

        Raw aiohttp is asked the first of these too: an event loop that serves one request at a time
        wakes up for each event, and that costs any client more per call.
        """
        variants = {
            RAW.name: (RAW, {}),
            "hybrid": (OURS, {}),
            "hybrid.40": (OURS, {"backends": 40}),
            "hybrid.spans": (OURS, {"spans": True}),
            "hybrid.books": (OURS, {"books": True}),
        }
        with self.workers(variants) as workers:
            for turn in range(self.effort.rounds):
                step(f"growth, round {turn + 1} of {self.effort.rounds}")
                for concurrency in self.effort.concurrencies:
                    what = f"calls, {concurrency} at once"
                    scenario = Scenario(f"at{concurrency}", what, "chat", concurrency)
                    calls = {"calls_min": max(2 * concurrency, self.effort.calls_min)}
                    for name in (RAW.name, "hybrid"):
                        if name in workers:
                            self.batch(workers[name], name, scenario, **calls)
                alike = Scenario("alike", "calls of the variants, 16 at once", "chat", 16)
                for name, worker in [*workers.items()] * self.effort.alike_times:
                    if name != RAW.name:
                        self.batch(worker, name, alike)

    def probes(self) -> None:
        """What only hybridllm can tell of itself: a decision's cost, a dead backend's."""
        small = {"what": "decision", "routes": 10, "backends": 4}
        large = {"what": "decision", "routes": 50, "backends": 40}
        with self.workers({"hybrid": (OURS, {})}) as workers:
            for worker in workers.values():
                orders = [
                    ("decision10", small),
                    ("decision50", large),
                    ("decision10new", {**small, "each_new": True}),
                    ("decision50new", {**large, "each_new": True}),
                    ("refused", {"what": "failover", "kind": "refused"}),
                    ("sick", {"what": "failover", "kind": "sick"}),
                ]
                for name, order in orders:
                    step(f"hybridllm: {name}")
                    if order["what"] == "failover":
                        order["routers"] = self.effort.routers
                    try:
                        self.figures.add("hybrid", name, worker.ask(do="probe", **order))
                    except WorkerFailed as error:
                        self.figures.note(f"hybridllm, {name}: {error}")


_RSS_LOAD = Scenario("rss_load", "the calls before memory is read", "chat", 16)


def _run_ms(python: Path | None, code: str, *, ours: bool) -> float | None:
    """Wall time of a fresh interpreter, on the core of the clients if one can be chosen."""
    command = [str(python or sys.executable), "-c", code]
    pin_to = {min(os.sched_getaffinity(0))} if hasattr(os, "sched_setaffinity") else None
    began = time.perf_counter()
    done = subprocess.run(
        command,
        env=environment(ours=ours),
        check=False,
        capture_output=True,
        preexec_fn=(lambda: os.sched_setaffinity(0, pin_to)) if pin_to else None,
    )
    took_ms = (time.perf_counter() - began) * 1e3
    return took_ms if done.returncode == 0 else None
