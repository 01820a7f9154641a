"""What one decision costs with all of hybrid operation on: `python benchmarks/hybrid.py`.

Volumes, break-even, overflow, prefixes and marginal prices in one policy; before each decision the loads have
changed, because requests begin and end as they do under traffic. CPU time of this thread, no I/O.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

from hybridllm import Router
from hybridllm._compose.namespaces import read_call
from hybridllm._core.request.read import Call
from hybridllm._core.resilience.outcome import BreakerEffect
from hybridllm.testing import Service, SimulatedFleet

HEAD = """\
version: 1
environment: production
default_residency: public
residency: {public: {}, phi: {operators: [self]}}
"""
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
UNDER_WAY = 64


def policy_text(own: int, *, hybrid: bool) -> str:
    """A policy with `own` replicas and one API; `hybrid` puts everything in."""
    names = [f"own-{number:02}" for number in range(own)]
    extra = (
        "saturation: {max_inflight: 64}, cold_start: {takes: 15s}, "
        "capacity: {usd_per_month: 1500, tokens_per_second: 600}"
    )
    lines = [HEAD + "backends:"]
    for name in names:
        more = f", {extra}" if hybrid else ""
        lines.append(
            f"  {name}: {{kind: vllm, base_url: 'https://{name}.internal/v1', operator: self, region: eu, "
            f"retention: none, price: free{more}}}"
        )
    lines.append(
        "  api: {kind: api, base_url: 'https://api.test/v1', operator: third_party, region: us, "
        "retention: 30d, price: {input_per_1m: 0.18, output_per_1m: 0.28}}"
    )
    on = ", ".join(f"{name}: m" for name in (*names, "api"))
    lines.append(f"models: {{m: {{context: 32K, on: {{{on}}}}}}}")
    lines.append("routes:")
    listed = ", ".join(names)
    when = "{saturated: true, predicted_wait_ms: {gt: 1500}}"
    overflow = f", overflow: {{from: [{listed}], to: [api], when: {when}}}"
    order = "prefix" if hybrid else "load"
    if hybrid:
        lines += [
            "  - {name: heavy, when: {volume: {tokens_per_day: {gte: 500M}, sustained: 90d}}, use: [m]}",
            "  - {name: own-tenant, when: {volume: {requests_per_hour: {gte: 5000}, of: tenant}}, use: [m]}",
            "  - {name: pays, when: {break_even: above}, use: [{model: m, order_by: marginal_price}]}",
        ]
    use = f"use: [{{model: m, on: [{listed}], order_by: {order}}}, {{model: m, on: [api]}}]"
    lines.append(f"  - {{name: all, {use}{overflow if hybrid else ''}}}")
    return "\n".join(lines) + "\n"


async def decision_us(own: int, *, hybrid: bool, rounds: int, count: int) -> list[float]:
    """Return the CPU time of a decision in each round, in microseconds."""
    policy = Router.from_text(policy_text(own, hybrid=hybrid), environ={}).policy
    wire = SimulatedFleet.of(policy, service=Service(first_token_s=0.001))
    messages: list[Any] = [
        {"role": "system", "content": "You sort tickets."},
        {"role": "user", "content": "I was charged twice."},
    ]
    async with Router(policy, wire=wire, environ={}) as router:
        await router.chat.completions.create(messages=messages, tenant="tenant-1")
        engine = router._engine  # noqa: SLF001 - a decision alone, without the request around it
        fleet = engine.fleet
        flying: deque[Any] = deque()
        calls = [_call(messages, number) for number in range(512)]
        found = []
        for _ in range(rounds):
            spent = 0
            for number in range(count):
                call = calls[number % len(calls)]
                begun_ns = time.thread_time_ns()
                now_s = engine.now_s
                plan: Any = engine._decision(call, NOON, now_s)  # noqa: SLF001
                spent += time.thread_time_ns() - begun_ns
                permit = fleet.take(plan.kept[0].candidate, call)
                flying.append(permit)
                if len(flying) > UNDER_WAY:
                    flying.popleft().settle(BreakerEffect.SUCCESS)
            found.append(spent / count / 1_000)
        while flying:
            flying.popleft().settle(BreakerEffect.SUCCESS)
        return found


def _call(messages: list[Any], number: int) -> Call:
    params = {
        "messages": [*messages, {"role": "user", "content": f"And number {number}?"}],
        "tenant": f"tenant-{number % 40}",
        "session": f"session-{number}",
    }
    call = read_call(params, operation="chat")
    if not isinstance(call, Call):
        raise TypeError(call)
    return call


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = []
    for own in (2, 4, 16, 40):
        for hybrid in (False, True):
            found = asyncio.run(
                decision_us(own, hybrid=hybrid, rounds=asked.rounds, count=asked.count)
            )
            rows.append((own, hybrid, statistics.median(found), min(found)))
            if not asked.json:
                what = "all of hybrid on" if hybrid else "by load alone"
                least, median = min(found), statistics.median(found)
                print(f"{own:3} own and an API, {what:17}: {median:6.1f} us, least {least:6.1f}")
    if asked.json:
        names = ("own", "hybrid", "median_us", "least_us")
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))


if __name__ == "__main__":
    main()
