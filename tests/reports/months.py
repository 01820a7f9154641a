"""Ledgers of made-up months, always the same for a seed: what reports are tried on.

Nothing of them was ever sent. Prices, failures, escalations and hits of the cache come as in real life, and
some attempts have no cost that anybody knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

from sqlalchemy import create_engine, insert
from sqlalchemy.pool import NullPool

from hybridllm._adapters.ledger.fixed_days import declare
from hybridllm._adapters.ledger.tables import ATTEMPTS, REQUESTS, SCHEMA
from hybridllm._core.ledger.apportion import FixedDay
from hybridllm._core.ledger.rows import AttemptRow, RequestRow

DAY_US = 86_400_000_000
TENANTS = ("acme", "globex", "initech", None)
FEATURES = ("triage", "search", "summaries")
TASKS = ("classify", "extract", "answer")
# Of each model: its backend, pico-USD per token in and out, how often it succeeds, its pace.
MODELS = {
    "qwen3-32b": ("vllm-fra", 0, 0, 0.97, 900_000),
    "deepseek-v4-flash": ("cloud-eu", 1_400_000, 2_800_000, 0.97, 1_400_000),
    "glm-4-9b": ("cloud-us", 10_000, 10_000, 0.90, 500_000),
}
_LIST = (180_000, 280_000)

Made = tuple[RequestRow, list[AttemptRow]]


def us(day: str | date, hour: float = 0.0) -> int:
    """Microseconds since the epoch of a UTC day's hour."""
    at = datetime.fromisoformat(str(day)).replace(tzinfo=UTC)
    return int(at.timestamp()) * 1_000_000 + int(hour * 3_600_000_000)


def attempt(request_id: str, number: int = 1, **values: object) -> AttemptRow:
    """An attempt that a hosted API served, but for what is said."""
    whole = dict.fromkeys(AttemptRow._fields) | {
        "attempt_id": f"{request_id}-{number}",
        "request_id": request_id,
        "number": number,
        "started_us": us("2026-11-02", 9),
        "backend": "cloud-eu",
        "model": "deepseek-v4-flash",
        "model_asked": "deepseek-v4-flash",
        "reason": "primary",
        "outcome": "served",
        "duration_us": 800_000,
        "input_tokens": 100,
        "output_tokens": 50,
        "usage_source": "provider",
        "cost_pico": 28_000_000,
        "maybe_billed": 1,
        "policy": "inline",
        "shadow": 0,
    }
    return AttemptRow(**(whole | values))


def request(request_id: str, **values: object) -> RequestRow:
    """A request that was answered, but for what is said."""
    whole = dict.fromkeys(RequestRow._fields) | {
        "request_id": request_id,
        "started_us": us("2026-11-02", 9),
        "policy": "inline",
        "policy_version": "1",
        "environment": "production",
        "operation": "chat",
        "stream": 0,
        "input_tokens_estimate": 100,
        "input_tokens_total": 100,
        "answers": 1,
        "candidates": "cloud-eu/deepseek-v4-flash",
        "attempts": 1,
        "outcome": "ok",
        "served_backend": "cloud-eu",
        "served_model": "deepseek-v4-flash",
        "duration_us": 800_000,
        "wasted_pico": 0,
        "cost_complete": 1,
    }
    return RequestRow(**(whole | values))


def month(
    count: int, *, seed: int = 1, first: str = "2026-11-01", days: int = 30
) -> Iterator[Made]:
    """Requests over some days: most in working hours, a few retried, escalated or answered by a cache."""
    chance = Random(seed)
    began_us = us(first)
    times = sorted(
        began_us + chance.randrange(days) * DAY_US + int(_hour(chance) * 3_600_000_000)
        for _ in range(count)
    )
    for n, at_us in enumerate(times):
        yield _one(chance, f"{n:032x}", at_us)


def _hour(chance: Random) -> float:
    return min(23.99, max(0.0, chance.gauss(13, 4)))


def _one(chance: Random, request_id: str, at_us: int) -> Made:
    who = {
        "tenant": chance.choice(TENANTS),
        "feature": chance.choice(FEATURES),
        "task": chance.choice(TASKS),
        "route": "default",
        "keys": json.dumps({"team": chance.choice(["red", "blue"])}),
        "started_us": at_us,
    }
    if chance.random() < 0.04:
        return request(request_id, **who, cache="hit", saved_pico=31_000_000, attempts=0), []
    model = chance.choices(list(MODELS), (5, 3, 2))[0]
    made = []
    if chance.random() < 0.03:
        made.append(_tried(chance, request_id, 1, model, who, "failed"))
    if model == "glm-4-9b" and chance.random() < 0.2:
        made.append(_tried(chance, request_id, len(made) + 1, model, who, "escalated"))
        model = "deepseek-v4-flash"
    served = chance.random() > 0.01
    made.append(
        _tried(chance, request_id, len(made) + 1, model, who, "served" if served else "failed")
    )
    backend, _, _, succeeds, _ = MODELS[model]
    row = request(
        request_id,
        **who,
        attempts=len(made),
        outcome="ok" if served else "error",
        success=(int(chance.random() < succeeds) if served else 0)
        if chance.random() < 0.8
        else None,
        served_backend=backend if served else None,
        served_model=model if served else None,
        duration_us=sum(one.duration_us or 0 for one in made),
        escalated="phrases" if any(one.outcome == "escalated" for one in made) else None,
    )
    return row, made


def _tried(
    chance: Random, request_id: str, number: int, model: str, who: dict[str, object], outcome: str
) -> AttemptRow:
    backend, price_in, price_out, _, pace_us = MODELS[model]
    counted = outcome != "failed" or chance.random() < 0.5
    tokens_in, tokens_out = chance.randrange(50, 4_000), chance.randrange(1, 800)
    cached = chance.randrange(tokens_in) if chance.random() < 0.3 else None
    cost = tokens_in * price_in + tokens_out * price_out
    listed = tokens_in * _LIST[0] + tokens_out * _LIST[1]
    return attempt(
        request_id,
        number,
        **who,
        backend=backend,
        model=model,
        outcome=outcome,
        input_tokens=tokens_in if counted else None,
        output_tokens=tokens_out if counted else None,
        cached_input_tokens=cached if counted else None,
        cost_pico=cost if counted else None,
        list_cost_pico=listed if counted and not price_in else None,
        duration_us=int(pace_us * chance.lognormvariate(0, 0.5)),
    )


def written(path: Path, made: Iterable[Made], said: Iterable[FixedDay] = ()) -> Path:
    """A ledger with these requests, and with what was said of own machines."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    SCHEMA.create_all(engine)
    requests, attempts = [], []
    for row, tried in made:
        requests.append(row._asdict())
        attempts += [one._asdict() for one in tried]
    with engine.begin() as connection:
        for table, rows in ((REQUESTS, requests), (ATTEMPTS, attempts)):
            if rows:
                connection.execute(insert(table), rows)
    declare(engine, said)
    return path


def machine(day: str, usd: str = "1500", **values: object) -> FixedDay:
    """What `vllm-fra` costs from a day on."""
    return FixedDay(day, "vllm-fra", "inline", usd, "300", "600.0", 0)._replace(**values)
