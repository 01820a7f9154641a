"""Mixed traffic through weather of every kind, for minutes; then nothing may be left: `nox -s soak`.

    python -m soak --minutes 10 --seed 1

Callers ask, stream, leave early, are cancelled; backends fail and the ways to them break, differently every
half second. Again and again all is calm: then nothing may be under way, no connection held, no span open, no
memory gone. A wrong text is the end at once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from lab.memory import rss_mib
from lab.three import THREE
from raw_server import until
from runtime.world import World, world
from soak.traffic import Traffic, answer_to
from soak.weather import Weather

RSS_DRIFT_MIB_MAX = 5.0
TIMEOUTS = "total: 3s, connect: 300ms, attempt: 1s, first_token: 1s, idle: 500ms"


class SpanCounts(SpanProcessor):
    """How many spans of each kind were begun and ended; keeps none of them."""

    def __init__(self) -> None:
        self.open = self.requests = self.attempts = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.open += 1

    def on_end(self, span: ReadableSpan) -> None:
        self.open -= 1
        if span.parent is None:
            self.requests += 1
        else:
            self.attempts += 1


class Soak:
    """Rounds of traffic, each ended by a calm in which everything is counted."""

    def __init__(self, here: World, spans: SpanCounts, *, seed: int) -> None:
        self._here = here
        self._spans = spans
        self._weather = Weather(here.backends, here.proxies, seed=seed)
        self.traffic = Traffic(here, seed=seed)
        self.arrived = 0
        self.rss_mib: list[float] = []

    async def round(self, seconds: float, at_once: int) -> None:
        """Some traffic, and the calm after it."""
        async with asyncio.TaskGroup() as group:
            blowing = group.create_task(self._weather.blow())
            asking = group.create_task(self.traffic.run(at_once))
            await asyncio.sleep(seconds)
            self.traffic.stop()
            await asyncio.wait([asking])
            blowing.cancel()
        await self._calm()

    async def _calm(self) -> None:
        here, spans, traffic = self._here, self._spans, self.traffic
        self._weather.calm()
        await until(lambda: not (here.in_flight or here.active), within_s=5.0)
        await until(lambda: here.connections_in_use == 0, within_s=5.0)
        assert spans.open == 0, f"{spans.open} spans are open"
        assert spans.requests == traffic.begun, (
            f"{spans.requests} ended of {traffic.begun} requests"
        )
        for backend in here.backends.values():
            self.arrived += sum(request.method == "POST" for request in backend.requests)
            backend.requests.clear()
        assert self.arrived <= spans.attempts, (
            f"{self.arrived} arrived of {spans.attempts} attempts"
        )
        assert traffic.attempts <= spans.attempts
        self.rss_mib.append(rss_mib())

    def report(self, seconds: float) -> str:
        """What happened, for people."""
        counts, took_s = self.traffic.counts, sorted(self.traffic.took_s)
        good = counts["answered"] + counts["streamed"] + counts["left early"]
        judged = (
            good + sum(n for word, n in counts.items() if word[0].isupper()) + counts["deadline"]
        )
        opened = sum(backend.connections_opened for backend in self._here.backends.values())
        lines = [
            f"{self.traffic.begun:,} requests, {seconds:,.0f} s, {self._weather.changes} changes of weather",
            *(f"  {count:9,}  {word}" for word, count in counts.most_common()),
            f"answered, of those not cancelled: {good / max(1, judged):.2%}",
            f"attempts per request: {self._spans.attempts / max(1, self.traffic.begun):.3f}",
            f"took: p50 {took_s[len(took_s) // 2]:.3f} s, p99 {took_s[int(len(took_s) * 0.99)]:.3f} s",
            f"connections opened: {opened:,}; in use after each calm: 0; spans open: 0",
            "memory after each calm, MiB: " + " ".join(f"{mib:.1f}" for mib in self.rss_mib),
            f"drift since the first third: {self.drift_mib:+.1f} MiB (at most {RSS_DRIFT_MIB_MAX:g})",
        ]
        return "\n".join(lines)

    @property
    def drift_mib(self) -> float:
        """How much memory was gone at the end, since caches and pools were full."""
        return self.rss_mib[-1] - self.rss_mib[len(self.rss_mib) // 3]


async def soak(*, minutes: float, seed: int, at_once: int) -> Soak:
    """Run it."""
    provider, spans = TracerProvider(shutdown_on_exit=False), SpanCounts()
    provider.add_span_processor(spans)
    rounds = max(6, int(minutes * 2))
    began_s = time.perf_counter()
    async with world(
        *THREE,
        ordered=False,
        timeouts=TIMEOUTS,
        proxied=True,
        tracer_provider=provider,
        backends={"answer": answer_to, "latency_s": 0.005},
    ) as here:
        running = Soak(here, spans, seed=seed)
        for number in range(rounds):
            await running.round(minutes * 60 / rounds, at_once)
            print(f"round {number + 1} of {rounds}: {running.traffic.begun:,} requests", flush=True)
    print(running.report(time.perf_counter() - began_s))
    return running


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=20)
    told = parser.parse_args()
    logging.getLogger("hybridllm").setLevel(
        logging.ERROR
    )  # breakers have much to say in such weather
    ended = asyncio.run(soak(minutes=told.minutes, seed=told.seed, at_once=told.at_once))
    if ended.drift_mib >= RSS_DRIFT_MIB_MAX:
        print("memory is lost", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
