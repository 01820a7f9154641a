"""What it costs to know how busy own backends are: `python benchmarks/telemetry.py`.

Pages as a real vLLM gives them, over loopback sockets from a process of their own. CPU time of this process,
less what it needs without asking anybody. The bar: at most 1 % of a core for forty backends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import timeit
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from time import process_time
from typing import Any

from hybridllm import Router
from hybridllm._core.telemetry.pages import read_page
from hybridllm._core.telemetry.report import LoadReport
from hybridllm._core.telemetry.watched import Watched

PAGES = Path(__file__).parents[1] / "tests" / "data" / "captures"
UNDER_LOAD = PAGES / "default" / "metrics_under_load.prom"
LOOKS_A_SECOND = 20
BAR = 0.01


def reading_us() -> dict[str, tuple[int, float]]:
    """Size, and microseconds to read it, of each recorded page."""
    found = {}
    for file in sorted(PAGES.rglob("*.prom")):
        told = file.read_bytes()
        best_s = min(timeit.repeat(lambda told=told: read_page(told), number=50, repeat=20)) / 50  # type: ignore[misc]
        found[file.relative_to(PAGES).with_suffix("").as_posix()] = (len(told), best_s * 1e6)
    return found


def serve(count: int, ports: Connection) -> None:
    """Answer every request with the page, on so many ports, until the process is ended."""
    page = UNDER_LOAD.read_bytes()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {len(page)}\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            writer.write(head.encode() + page)

    async def main() -> None:
        servers = [await asyncio.start_server(answer, "127.0.0.1", 0) for _ in range(count)]
        ports.send([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.get_running_loop().create_future()

    asyncio.run(main())


def policy_text(ports: list[int]) -> str:
    """A policy with an own backend at each port, and one API that takes what is too much."""
    names = [f"own-{number:02}" for number in range(len(ports))]
    backends = [
        f"  {name}: {{kind: vllm, base_url: 'http://127.0.0.1:{port}/v1', operator: self, region: eu, "
        "retention: none, price: free}"
        for name, port in zip(names, ports, strict=True)
    ]
    listed = ", ".join(names)
    served = ", ".join(f"{name}: m" for name in (*names, "api"))
    return "\n".join(
        [
            "version: 1\nbackends:",
            *backends,
            "  api: {kind: api, base_url: 'http://127.0.0.1:9/v1'}",
            f"models: {{m: {{on: {{{served}}}}}}}",
            f"routes: [{{name: all, use: [{{model: m, on: [{listed}, api]}}],",
            f"          overflow: {{from: [{listed}], to: [api], when: saturated}}}}]",
        ]
    )


async def share_of_a_core(ports: list[int], seconds: float) -> dict[str, float]:
    """Return the share of a core that asking takes, and how many pages a second came."""
    async with Router.from_text(policy_text(ports), environ={}) as router:
        engine: Any = router._engine  # noqa: SLF001 - what decisions look at, without requests
        engine._ready(engine._lifetime.here())  # noqa: SLF001 - so too
        loads = engine.fleet.loads

        async def used(during_s: float) -> float:
            begun_s, looks = process_time(), round(during_s * LOOKS_A_SECOND)
            for _ in range(looks):
                loads.of()
                await asyncio.sleep(1.0 / LOOKS_A_SECOND)
            return process_time() - begun_s

        watch, loads.watch = loads.watch, None
        idle_s = await used(seconds)
        loads.watch = watch
        await used(3.0)  # connections are made, code is warm
        told = 0

        def count(_: str, __: Any) -> None:
            nonlocal told
            told += 1

        loads.tell = count
        asking_s = await used(seconds)
        knows = sum(one.heard is not None for one in loads.watched.values())
    return {
        "backends": len(ports),
        "told": knows,
        "pages_a_second": told / seconds,
        "share_of_a_core": (asking_s - idle_s) / seconds,
        "us_a_page": (asking_s - idle_s) / max(1, told) * 1e6,
    }


def judging_us() -> dict[str, float]:
    """Microseconds for what a request changes, and for working the load out again."""
    from hybridllm._core.policy.compiled import Backend, BackendKind

    one = Watched(Backend("own", BackendKind.VLLM, "http://own.test/v1"))
    one.told(LoadReport("vllm", 8, 0, 0.5, 1, 1, 2), one.asks(0.0), 0.0)
    keys = iter(range(10**9))

    def request() -> None:
        key = next(keys)
        one.begun(key, 100, 1.0, stream=True)
        one.first_token(key, 100, 0.1, 1.1)
        one.over(key, 1.2, answered=True)
        one.used(300, 1.2)

    def best_us(what: Callable[[], object]) -> float:
        return min(timeit.repeat(what, number=500, repeat=30)) / 500 * 1e6

    return {"a request": best_us(request), "its load": best_us(lambda: one.judged(1, 1.3))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    pages, judging = reading_us(), judging_us()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(asked.backends, there), daemon=True
    )
    server.start()
    try:
        ports = here.recv()
        rounds = [asyncio.run(share_of_a_core(ports, asked.seconds)) for _ in range(asked.rounds)]
    finally:
        server.terminate()
        server.join()
    share = statistics.median(each["share_of_a_core"] for each in rounds)
    if asked.json:
        print(json.dumps({"pages_us": pages, "judging_us": judging, "asking": rounds}, indent=1))
        return
    for name, (size, us) in pages.items():
        print(f"reading {name:32} {size / 1_000:5.1f} KB {us:7.0f} us")
    for name, us in judging.items():
        print(f"{name:40} {us:15.1f} us")
    for each in rounds:
        print(
            f"{each['told']:.0f} of {each['backends']:.0f} backends told; {each['pages_a_second']:.1f} "
            f"pages a second, {each['us_a_page']:.0f} us each: {each['share_of_a_core']:.2%} of a core"
        )
    print(f"median {share:.2%} of a core, bar {BAR:.0%}: {'met' if share <= BAR else 'NOT met'}")


if __name__ == "__main__":
    main()
