"""How long a million recorded requests take to be decided again: `python benchmarks/backtest.py [REQUESTS]`.

The ledger is made first, in a folder that goes again; only the backtest is timed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from sqlalchemy import create_engine, insert

from hybridllm import BacktestReport, Policy, backtest
from hybridllm._adapters.ledger.tables import ATTEMPTS, REQUESTS, SCHEMA
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.ledger.rows import AttemptRow, RequestRow

POLICY = """
version: 1
backends:
  own: {kind: vllm, base_url: "http://own.internal:8000/v1", allow_plaintext: true, region: eu,
        operator: self, retention: none, price: free}
  api-eu: {kind: api, base_url: "https://eu.test/v1", region: eu, operator: third_party, retention: 30d}
  api-us: {kind: api, base_url: "https://us.test/v1", region: us, operator: third_party, retention: 30d}
models:
  small: {context: 32K, price: {input_per_1m: 0.1, output_per_1m: 0.3},
          on: {own: small, api-eu: small, api-us: small}}
  large: {context: 128K, price: {input_per_1m: 2.5, output_per_1m: 10}, on: {api-eu: large, api-us: large}}
default_residency: public
residency: {public: {}, eu: {regions: [eu]}}
tasks: {classify: {}, reason: {}, draft: {}}
routes:
  - {name: reason, when: {task: reason, input_tokens: {gte: 500}}, use: [large], fallbacks: [small]}
  - name: night
    when: {time: {from: "22:00", to: "06:00"}}
    use: [{model: small, on: [own, api-eu, api-us]}]
    overflow: {from: own, to: [api-eu, api-us], when: saturated}
  - name: rest
    use: [{model: small, on: [own, api-eu, api-us]}]
    overflow: {from: own, to: [api-eu, api-us], when: saturated}
"""
OTHER = POLICY.replace("use: [large], fallbacks: [small]", "use: [small], fallbacks: [large]")
BEGAN_US, MONTH_US = 1_790_000_000_000_000, 30 * 86_400_000_000
AT_ONCE = 20_000


def rows(count: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield requests and their attempts, spread over a month: 50 tenants, 1,000 sessions, all lengths."""
    chance = Random(1)
    for number in range(count):
        request_id, started_us = f"{number:032x}", BEGAN_US + MONTH_US * number // count
        task = chance.choice(("classify", "draft", "reason"))
        tokens_in, tokens_out = chance.randint(10, 4_000), chance.randint(1, 800)
        first = (
            ("own", "api-eu", "api-us") if chance.random() < 0.8 else ("api-eu", "api-us", "own")
        )
        model = "large" if task == "reason" and tokens_in >= 500 else "small"
        backends = ("api-eu", "api-us") if model == "large" else first
        price = (2_500_000, 10_000_000) if model == "large" else (100_000, 300_000)
        own = backends[0] == "own"
        cost = 0 if own else tokens_in * price[0] + tokens_out * price[1]
        candidates = [f"{backend}/{model}" for backend in backends]
        if model == "large":
            candidates += [f"{backend}/small" for backend in ("own", "api-eu", "api-us")]
        shared = {
            "request_id": request_id,
            "started_us": started_us,
            "policy": "bench",
            "route": "reason" if model == "large" else "rest",
            "task": task,
            "tenant": f"t-{number % 50}",
            "session": f"s-{number % 1_000}",
            "duration_us": chance.randint(100_000, 9_000_000),
            "cost_pico": cost,
        }
        yield (
            dict.fromkeys(RequestRow._fields)
            | shared
            | {
                "policy_version": "sha256:bench",
                "environment": "",
                "operation": "chat",
                "residency": "public",
                "stream": 0,
                "input_tokens_estimate": tokens_in,
                "input_tokens_total": tokens_in,
                "output_tokens_max": 1_024,
                "answers": 1,
                "candidates": ",".join(candidates),
                "attempts": 1,
                "outcome": "ok",
                "served_backend": backends[0],
                "served_model": model,
                "wasted_pico": 0,
                "cost_complete": 1,
            },
            dict.fromkeys(AttemptRow._fields)
            | shared
            | {
                "attempt_id": f"{request_id}-1",
                "number": 1,
                "backend": backends[0],
                "model": model,
                "model_asked": model,
                "model_served": model,
                "reason": "overflow" if first[0] != "own" and model == "small" else "primary",
                "outcome": "served",
                "input_tokens": tokens_in,
                "output_tokens": tokens_out,
                "usage_source": "provider",
                "cost_source": "local",
                "maybe_billed": 1,
                "shadow": 0,
            },
        )


def filled(path: Path, count: int) -> None:
    """Write a ledger of `count` requests."""
    engine = create_engine(f"sqlite:///{path}")
    SCHEMA.create_all(engine)
    made = rows(count)
    with engine.begin() as connection:
        while part := list(islice(made, AT_ONCE)):
            connection.execute(insert(REQUESTS), [request for request, _ in part])
            connection.execute(
                insert(ATTEMPTS),
                [{name: one[name] for name in AttemptRow._fields} for _, one in part],
            )
    engine.dispose()


def timed(path: Path, policy: Policy) -> tuple[float, BacktestReport]:
    """Return how many seconds a backtest takes, and what it finds."""
    began = perf_counter()
    report = backtest(path, policy)
    return perf_counter() - began, report


def main() -> None:
    """Print the seconds, by the policy itself and by another."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        filled(path, count)
        for name, text in (("its own policy", POLICY), ("another policy", OTHER)):
            seconds, report = timed(path, load_policy_text(text, name="bench")[0])
            print(
                f"{name}: {report.requests:,} requests in {seconds:.1f} s "
                f"({report.requests / seconds:,.0f} a second); {report.kept:,} stand, cost "
                f"{report.cost_usd.before:.2f} -> {report.cost_usd.after:.2f} USD "
                f"({report.cost_usd.low:.2f} to {report.cost_usd.high:.2f})"
            )


if __name__ == "__main__":
    main()
