"""One amount of money, told in four places: receipts, ledger, metrics and spans say the same."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from math import fsum
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from adapters.metric_points import collected, metering
from adapters.span_trees import recording
from counted import PartOf
from hybridllm import LedgerReader, Receipt, Router
from hybridllm._core.ledger.rows import AttemptRow, RequestRow
from hybridllm._core.money.pico import usd_of
from hybridllm.testing import LoopClock, ScriptedWire, run_in_virtual_time
from telemetry.mixed_traffic import NAMED, POLICY, Backends, Callers

REQUESTS = 10_000
USD = 1e-9


@dataclass(frozen=True)
class Told:
    """What each place says when all has ended."""

    receipts: list[Receipt]
    unseen: int
    requests: list[RequestRow]
    attempts: list[AttemptRow]
    metrics: dict[str, list[Any]]
    spans: tuple[ReadableSpan, ...]


def told(count: int, ledger: Path, seed: int = 1) -> Told:
    """Send so many requests, and ask everybody."""
    tracer_provider, exporter = recording()
    meter_provider, reader = metering()
    backends = Backends(seed)
    callers: list[Callers] = []

    async def main() -> None:
        async with Router.from_text(
            POLICY,
            wire=ScriptedWire({f"{name}.test": backends for name in ("us", "eu", "odd", "own")}),
            clock=LoopClock(),
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            ledger=ledger,
        ) as router:
            callers.append(Callers(router, seed))
            await callers[0].ask(count)

    run_in_virtual_time(main)
    rows = LedgerReader(ledger)
    return Told(
        callers[0].receipts,
        callers[0].unseen,
        list(rows.requests()),
        list(rows.attempts()),
        collected(reader),
        exporter.get_finished_spans(),
    )


def by_tenant(amounts: Iterable[tuple[str | None, float]]) -> dict[str | None, float]:
    """Sums per tenant, as the policy's metrics tell tenants apart."""
    found: defaultdict[str | None, list[float]] = defaultdict(list)
    for tenant, usd in amounts:
        found[tenant if tenant is None or tenant in NAMED else "other"].append(usd)
    return {tenant: fsum(amounts) for tenant, amounts in found.items()}


def of_spans(spans: Iterable[ReadableSpan], amount: str) -> dict[str | None, float]:
    said = [dict(span.attributes or {}) for span in spans]
    return by_tenant((one.get("hybridllm.tenant.id"), one[amount]) for one in said if amount in one)


def agree(one: dict[str | None, float], other: dict[str | None, float]) -> bool:
    return one.keys() == other.keys() and all(abs(one[key] - other[key]) <= USD for key in one)


def test_receipts_ledger_metrics_and_spans_tell_the_same_money(
    tmp_path: Path, part_of: PartOf
) -> None:
    """To 1e-9 USD, per tenant and in all, whatever failed, raced, escalated or was cut meanwhile."""
    count = part_of(REQUESTS)
    found = told(count, tmp_path / "ledger.db")
    assert len(found.receipts) + found.unseen == len(found.requests) == count

    # What a caller saw is what the ledger has, to the last digit; who left saw nothing, and is in it too.
    rows = {row.request_id: row for row in found.requests}
    for seen in found.receipts:
        row = rows.pop(seen.request_id)
        cost = None if row.cost_pico is None else usd_of(row.cost_pico)
        assert (seen.cost_usd, seen.cost_wasted_usd) == (cost, usd_of(row.wasted_pico))
    assert len(rows) == found.unseen
    assert {row.outcome for row in rows.values()} <= {"cancelled", "ok", "error"}

    ledger = by_tenant(
        (row.tenant, float(usd_of(row.cost_pico)))
        for row in found.attempts
        if row.cost_pico is not None
    )
    requests = by_tenant(
        (row.tenant, float(usd_of(row.cost_pico)))
        for row in found.requests
        if row.cost_pico is not None
    )
    metric = by_tenant(
        (said.get("hybridllm.tenant.id"), usd) for said, usd in found.metrics["hybridllm.cost"]
    )
    assert agree(ledger, requests)
    assert agree(ledger, metric)
    assert agree(ledger, of_spans(found.spans, "hybridllm.cost.amount"))
    assert agree(ledger, of_spans(found.spans, "hybridllm.request.cost.amount"))
    exact = sum(row.cost_pico or 0 for row in found.attempts)
    assert abs(fsum(metric.values()) - float(usd_of(exact))) <= USD
    assert exact == sum(row.cost_pico or 0 for row in found.requests)
    receipts = sum((seen.cost_usd or Decimal(0) for seen in found.receipts), Decimal(0))
    unseen = sum(row.cost_pico or 0 for row in rows.values())
    assert receipts + usd_of(unseen) == usd_of(exact)
    assert exact > 0

    _shows_everything(found)


def _shows_everything(found: Told) -> None:
    """The traffic had all that it should have: else the sums prove little."""
    outcomes = Counter(row.outcome for row in found.attempts)
    assert outcomes.keys() == {"served", "failed", "cancelled", "lost_hedge", "escalated"}
    reasons = Counter(row.reason for row in found.attempts)
    assert reasons.keys() >= {"primary", "failover", "fallback", "hedge", "escalation"}
    some: dict[str, Callable[[AttemptRow], object]] = {
        "cached": lambda row: row.cached_input_tokens,
        "written": lambda row: row.cache_write_tokens,
        "reasoning": lambda row: row.reasoning_tokens,
        "flex": lambda row: row.service_tier == "flex",
        "estimated": lambda row: row.usage_source == "estimated",
        "cost of a backend": lambda row: row.cost_source == "provider",
        "cut after its first token": lambda row: row.outcome == "failed" and row.first_token_us,
        "no price": lambda row: row.price_id is None and row.usage_source is not None,
    }
    for what, has in some.items():
        assert any(has(row) for row in found.attempts), what


def test_every_attempt_of_the_ledger_leads_to_its_span(tmp_path: Path, part_of: PartOf) -> None:
    """By trace and span id; and no two attempts to the same."""
    found = told(part_of(1_000, share=0.2), tmp_path / "ledger.db", seed=2)
    spans = {
        (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"): dict(
            span.attributes or {}
        )
        for span in found.spans
    }
    assert len({(row.trace_id, row.span_id) for row in found.attempts}) == len(found.attempts)
    for row in found.attempts:
        assert row.trace_id is not None
        assert row.span_id is not None
        said = spans[row.trace_id, row.span_id]
        assert said["hybridllm.request.id"] == row.request_id
        assert said["hybridllm.attempt.number"] == row.number
        assert said.get("hybridllm.tenant.id") == row.tenant
        assert json.loads(row.keys or "{}") == {"team": said["hybridllm.attribution.team"]}


def test_no_metric_of_this_traffic_is_folded(tmp_path: Path) -> None:
    """Far below what an SDK keeps; nothing is said twice under one set of attributes."""
    found = told(300, tmp_path / "ledger.db", seed=3)
    for points in found.metrics.values():
        sets = [tuple(sorted(said.items())) for said, _ in points]
        assert len(set(sets)) == len(sets) < 1_500
        assert not any("otel.metric.overflow" in said for said, _ in points)
