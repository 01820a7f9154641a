"""What is measured of hybridllm alone: one decision, and a request that meets a dead backend."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from bench.load import SHORT, Spec, percentile
from bench.policies import failover_text, policy_text, tasks_of

WARM_CALLS = 30
CALLS = 40


SERIES = 9
DECISIONS = 1_000


def _facts(routes: int, *, each_new: bool) -> Iterator[Any]:
    """Requests that end on every route of the policy, the first and the last alike.

    `each_new`: every request is of a tenant never seen before, so that nothing remembered helps.
    """
    from hybridllm._core.request.facts import Facts

    tasks = tasks_of(routes)
    for number in range(DECISIONS * SERIES):
        yield Facts(
            task=tasks[number % routes],
            residency="eu",
            tenant=f"tenant-{number if each_new else number // routes % 20}",
            environment="production",
            input_tokens_estimate=400 + number % 7,
            output_tokens_max=64,
        )


def decision(spec: Spec, *, routes: int, backends: int, each_new: bool = False) -> dict[str, float]:
    """CPU of one decision: the median of nine series of 1,000."""
    import hybridllm
    from hybridllm._core.decide.decide import decide
    from hybridllm._core.decide.plan import Plan
    from hybridllm._core.decide.snapshot import Snapshot

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.yaml"
        file.write_text(policy_text(spec.port, routes=routes, backends=backends))
        policy = hybridllm.check(file).policy
    snapshot = Snapshot(in_flight={name: len(name) % 3 for name in policy.backends})
    every = list(_facts(routes, each_new=each_new))
    for number, one in enumerate(every if not each_new else every[:routes]):
        plan = decide(policy, one, snapshot)
        if number < routes and (not isinstance(plan, Plan) or len(plan.kept) < backends):
            raise AssertionError(f"not the plan that was meant: {plan}")
    series_us = []
    for at in range(0, len(every), DECISIONS):
        gc.collect()
        began = time.process_time()
        for one in every[at : at + DECISIONS]:
            decide(policy, one, snapshot)
        series_us.append((time.process_time() - began) / DECISIONS * 1e6)
    return {"us": median(series_us), "us_min": min(series_us)}


async def failover(spec: Spec, *, kind: str, routers: int) -> dict[str, float]:
    """Extra latency of requests that meet a bad preferred backend, and how many of them do.

    Each router is fresh: after some requests it knows, and asks the bad backend no more.
    """
    from hybridllm import Router, receipt

    bad_port = spec.dead_port if kind == "refused" else spec.sick_port
    text = failover_text(bad_port, spec.port)
    extra_ms, extra_cpu_ms, met, usual_ms = [], [], [], []
    for _ in range(routers):
        async with Router.from_text(text, name="failover") as router:

            async def ask(task: str | None, router: Any = router) -> tuple[float, float, int]:
                began, cpu = time.perf_counter(), time.process_time()
                reply = await router.chat.completions.create(messages=SHORT, task=task)
                cpu, took = time.process_time() - cpu, time.perf_counter() - began
                return took * 1e3, cpu * 1e3, len(receipt(reply).attempts)

            plain = [await ask("warm") for _ in range(WARM_CALLS)][WARM_CALLS // 2 :]
            plain_ms, plain_cpu_ms = (median(one[at] for one in plain) for at in (0, 1))
            seen = [await ask(None) for _ in range(CALLS)]
        bad = [one for one in seen if one[2] > 1]
        usual_ms.append(plain_ms)
        met.append(len(bad))
        extra_ms += [took_ms - plain_ms for took_ms, _, _ in bad]
        extra_cpu_ms += [cpu_ms - plain_cpu_ms for _, cpu_ms, _ in bad]
    return {
        "p50_ms": percentile(extra_ms, 0.50),
        "p99_ms": percentile(extra_ms, 0.99),
        "cpu_ms": median(extra_cpu_ms),
        "met": median(met),
        "met_max": float(max(met)),
        "of": float(CALLS),
        "usual_ms": median(usual_ms),
    }
