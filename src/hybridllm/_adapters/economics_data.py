"""The planning documents' figures that ship with the package: `data/economics.yaml`, read once."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from hybridllm._adapters.shipped import shipped_document
from hybridllm._core.economics.facts import (
    EconomicFacts,
    GpuClass,
    SourceScenario,
    WrongSum,
    spelt,
)
from hybridllm._core.economics.ranges import Range, between, exactly
from hybridllm._core.economics.scenario import Hidden, Per, Purchase

_ON_PREM = "_on_prem"
# Of each region its own; the others are paid once, and power for each set of machines.
_PER_REGION = frozenset({"load_balancer_or_gateway", "monitoring_and_alerting"})
_CLAIMED = {
    "tokens_day": "tokens a day",
    "tokens_month": "tokens a month",
    "calls_month": "calls a month",
    "api_spend_usd_month": "USD a month at the API",
}
_PURCHASES = {"cloud": Purchase.CLOUD, "on_prem": Purchase.ON_PREM}


@cache
def shipped_facts() -> EconomicFacts:
    """Return the shipped figures."""
    return _facts(shipped_document("economics.yaml"))


def _facts(document: Mapping[str, Any]) -> EconomicFacts:
    scenarios = tuple(_scenario(row) for row in document["scenarios"])
    named = {
        name: usd
        for name, usd in document["hidden_usd_month"].items()
        if not name.endswith("total") and "_total_" not in name
    }
    return EconomicFacts(
        gpus=(
            *(_gpu(row, scenarios) for row in document["gpu_usd_month"]),
            *(_other(name, row) for name, row in document["other_gpu_prices"].items()),
        ),
        hidden=tuple(_hidden(n, usd) for n, usd in named.items() if not n.endswith(_ON_PREM)),
        hidden_on_prem=tuple(_hidden(n, usd) for n, usd in named.items() if n.endswith(_ON_PREM)),
        engineer_usd_per_year=_range(document["engineer"]["salary_usd_year"]),
        engineer_share=_range(document["engineer"]["share_of_time"]),
        scenarios=scenarios,
        wrong_sums=tuple(_wrong(row) for row in document["wrong_sums"]),
        api_cached_share=_range(document["prompt_cache_hit_rate"]["hosted_api"]),
        own_cached_share=_range(document["prompt_cache_hit_rate"]["self_hosted"]),
        claims=tuple(_claim(row) for row in document["break_even_claims"]),
    )


def _gpu(row: Mapping[str, Any], scenarios: tuple[SourceScenario, ...]) -> GpuClass:
    name = row["gpus"]
    capacity = next(
        (
            one.tokens_per_day_of_gpus
            for one in scenarios
            if one.tokens_per_day_of_gpus is not None and spelt(one.gpus or "") == spelt(name)
        ),
        None,
    )
    usd = {form: _range(row[key]) for key, form in _PURCHASES.items()}
    return GpuClass(name, str(row["size"]), usd, capacity)


def _other(name: str, row: Mapping[str, Any]) -> GpuClass:
    usd = {Purchase.CLOUD: _range(row["usd_month"])}
    if "reserved_1y_usd_month" in row:
        usd[Purchase.RESERVED] = _range(row["reserved_1y_usd_month"])
    return GpuClass("1x H100" if name == "h100" else name, None, usd)


def _hidden(name: str, usd: Any) -> Hidden:
    if name.endswith(_ON_PREM):
        return Hidden(name.removesuffix(_ON_PREM), _range(usd), Per.SET)
    return Hidden(name, _range(usd), Per.REGION if name in _PER_REGION else Per.ONCE)


def _scenario(row: Mapping[str, Any]) -> SourceScenario:
    usd = {Purchase.CLOUD: "self_host", Purchase.ON_PREM: "self_host_on_prem"}
    capacity = row.get("capacity_tokens_day")
    return SourceScenario(
        name=row["name"],
        model=row["model"],
        tokens_per_day=Decimal(row["tokens_day"]),
        input_share=Decimal(row.get("input_share", 0)),
        api_usd_stated=Decimal(row.get("api_stated", row.get("api_month_stated"))),
        api_usd_recomputed=Decimal(row.get("api_recomputed", row.get("api_month_recomputed"))),
        also=tuple(row.get("also", ())),
        gpus=row.get("gpus"),
        own_usd_per_month={form: _range(row[key]) for form, key in usd.items() if key in row},
        tokens_per_day_of_gpus=None if capacity is None else Decimal(capacity),
        stated=row.get("stated", ""),
    )


def _wrong(row: Mapping[str, Any]) -> WrongSum:
    tokens = "stated_tokens_month" in row
    ending = "_tokens_month" if tokens else ""
    return WrongSum(
        what=row["what"],
        stated=_ends(row[f"stated{ending}"]),
        recomputed=_ends(row[f"recomputed{ending}"]),
        unit="tokens a month" if tokens else "USD",
        follows=row.get("follows", ""),
    )


def _claim(row: Mapping[str, Any]) -> str:
    """What a source says of where own machines begin to pay, in one line."""
    (key, value), *_ = ((key, value) for key, value in row.items() if key != "when")
    ends = " to ".join(f"{end:,.0f}" for end in dict.fromkeys(_ends(value)))
    return f"{ends} {_CLAIMED[key]}: {row['when']}"


def _range(value: Any) -> Range:
    low, high = _ends(value)
    return exactly(low) if low == high else between(low, high)


def _ends(value: Any) -> tuple[Decimal, Decimal]:
    low, high = value if isinstance(value, list) else (value, value)
    return Decimal(low), Decimal(high)
