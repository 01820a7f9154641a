"""What the ledger costs: `python benchmarks/ledger.py`.

CPU time of the whole process, loop and thread, of requests over a scripted wire with and without a ledger,
in turns; rows that a group commit writes a second; and the longest time that the event loop was kept from
what it was to do. The bars: 60 us a request, 5 ms, 17,000 rows a second.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from hybridllm import Ledger, Router
from hybridllm._adapters.ledger.store import LedgerDatabase
from hybridllm._core.ledger.rows import AttemptRow, RequestRow
from hybridllm.testing import Reply, ScriptedWire

POLICY = """
version: 1
attribution: {keys: [team]}
backends: {near: {kind: api, base_url: "https://near.test/v1", region: eu}}
models: {m: {price: {input_per_1m: 0.15, output_per_1m: 0.60}, on: {near: m}}}
routes: [{name: all, use: [m]}]
"""
HINTS: dict[str, Any] = {
    "tenant": "acme", "feature": "chat", "user_id": "u-1", "session": "s-1", "metadata": {"team": "blue"},
}  # fmt: skip
AT_ONCE = 32
BAR_US, BAR_MS, BAR_ROWS = 60.0, 5.0, 17_000


class ForgetfulWire(ScriptedWire):
    """Keeps no requests: what is measured is the router."""

    async def send(self, request: Any) -> Any:
        found = await super().send(request)
        self.requests.clear()
        return found


async def cpu_us(router: Router, requests: int) -> float:
    """Return the CPU time of a request, all threads."""
    messages = [{"role": "user", "content": "Is it?"}]

    async def ask(count: int) -> None:
        for _ in range(count):
            await router.chat.completions.create(messages=messages, **HINTS)

    await ask(200)
    gc.collect()
    begun_s = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(ask(requests // AT_ONCE))
    ledger: Any = router._ledger  # noqa: SLF001 - `status` would cost as much as a request
    while ledger is not None and ledger.state().waiting:
        time.sleep(0.01)  # noqa: ASYNC251 - the thread is not done yet
    return (time.process_time() - begun_s) / requests * 1e6


def wire() -> ForgetfulWire:
    return ForgetfulWire({"near.test": Reply.chat("yes", usage=(123, 45))})


async def beside(folder: Path, rounds: int, requests: int) -> list[tuple[float, float]]:
    """Return the cost of a request without a ledger and with one, in turns."""
    found = []
    for number in range(rounds):
        pair = []
        for place in (None, folder / f"beside-{number}.db"):
            async with Router.from_text(POLICY, environ={}, wire=wire(), ledger=place) as router:
                pair.append(await cpu_us(router, requests))
        found.append((pair[0], pair[1]))
    return found


async def blocks_ms(folder: Path | None, seconds: float) -> list[float]:
    """Return how late a timer of 1 ms was, each time, under load that leaves the loop half of its time."""
    place = None if folder is None else Ledger(folder / "blocks.db")
    late: list[float] = []
    async with Router.from_text(POLICY, environ={}, wire=wire(), ledger=place) as router:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds

        async def ask() -> None:
            messages = [{"role": "user", "content": "Is it?"}]
            while loop.time() < end_s:
                await router.chat.completions.create(messages=messages, **HINTS)
                await asyncio.sleep(0.004)

        async def watch() -> None:
            while (now_s := loop.time()) < end_s:
                await asyncio.sleep(0.001)
                late.append((loop.time() - now_s - 0.001) * 1e3)

        gc.collect()
        gc.freeze()
        async with asyncio.TaskGroup() as group:
            group.create_task(watch())
            for _ in range(4):
                group.create_task(ask())
    return sorted(late)


def rows_a_second(url: str, seconds: float) -> float:
    """Return how many rows a group commit puts into a database, an attempt and a request each."""
    attempt = _row(AttemptRow)
    request = _row(RequestRow)
    database = LedgerDatabase(make_url(url))
    database.open()
    written, begun_s = 0, time.perf_counter()
    while time.perf_counter() - begun_s < seconds:
        ids = [
            f"{written + place:012x}{os.urandom(10).hex()}" for place in range(170)
        ]  # as they are made
        started_us = 1_700_000_000_000_000 + written
        database.write(
            [
                attempt._replace(attempt_id=f"{key}-1", request_id=key, started_us=started_us)
                for key in ids
            ],
            [request._replace(request_id=key, started_us=started_us) for key in ids],
        )
        written += 2 * len(ids)
    rate = written / (time.perf_counter() - begun_s)
    database.close()
    return rate


def _row(kind: Any) -> Any:
    """A row as they usually are: texts of some letters, and numbers."""
    from typing import get_type_hints

    return kind(
        *(
            123_456 if int in (given, *getattr(given, "__args__", ())) else "classify"
            for given in get_type_hints(kind).values()
        )
    )


def at(share: float, values: Sequence[float]) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=6_400)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--url", help="of a PostgreSQL database, to be measured too")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:  # a disk, not memory
        folder = Path(name)
        pairs = asyncio.run(beside(folder, asked.rounds, asked.requests))
        without, with_it = (asyncio.run(blocks_ms(one, asked.seconds)) for one in (None, folder))
        rates = {"sqlite": rows_a_second(f"sqlite:///{folder / 'rows.db'}", asked.seconds)}
        if asked.url:
            rates["postgresql"] = rows_a_second(asked.url, asked.seconds)
    cost_us = statistics.median(with_ - none for none, with_ in pairs)
    told = {
        "cost_us": cost_us,
        "rounds": pairs,
        "late_ms": {
            name: {"p50": at(0.5, values), "p99": at(0.99, values), "max": values[-1]}
            for name, values in (("without", without), ("with", with_it))
        },
        "rows_a_second": rates,
    }
    if asked.json:
        print(json.dumps(told, indent=1))
        return
    for none, with_ in pairs:
        print(f"{none:6.1f} us a request without a ledger, {with_:6.1f} us with one")
    print(f"median {cost_us:.1f} us of CPU a request, bar {BAR_US:.0f}: {met(cost_us <= BAR_US)}")
    for name, values in (("without", without), ("with", with_it)):
        print(
            f"{name:8} a ledger a timer of 1 ms is late by {at(0.5, values):.2f} ms at p50, "
            f"{at(0.99, values):.2f} at p99, {values[-1]:.2f} at most"
        )
    print(f"longest block, bar {BAR_MS:.0f} ms: {met(with_it[-1] <= BAR_MS)}")
    for name, rate in rates.items():
        print(f"{rate:,.0f} rows a second into {name}, bar {BAR_ROWS:,}: {met(rate >= BAR_ROWS)}")


def met(good: bool) -> str:
    return "met" if good else "NOT met"


if __name__ == "__main__":
    main()
