"""A policy's prices as tracing backends take them, so that what they show is what we charge.

None of them knows everything that a price may be: what cannot be said there is told beside it. Amounts become
binary floats here, at the edge, because that is what these APIs take.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from hybridllm._core.money.price import Price
from hybridllm._core.money.tariff import Window
from hybridllm._core.policy.compiled import BackendKind, Policy

_CREATE_MODEL = (
    "mutation ($input: CreateModelMutationInput!) "
    "{ createModel(input: $input) { model { id name } } }"
)

_SPECIAL = re.compile(r"[.^$*+?{}()|\[\]\\]")
_ESCAPED = r"\\\g<0>"
_CACHED = ("input_cached_tokens", "cache_read_input_tokens", "input_cache_read")
_WRITTEN = ("input_cache_creation", "cache_creation_input_tokens")


@dataclass(frozen=True, slots=True)
class PriceExport:
    """Prices for a tracing backend.

    Attributes:
        to: `phoenix`, `mlflow` or `langfuse`.
        payload: phoenix: bodies to POST to `/graphql`; langfuse: bodies to POST to `/api/public/models`;
            mlflow: contents of files by their names, for a folder that `MLFLOW_MODEL_CATALOG_URI` names.
        left_out: What cannot be said there, in words.
    """

    to: str
    payload: Any
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"to": self.to, "payload": self.payload, "left_out": list(self.left_out)}


class _Known(NamedTuple):
    """A model as spans name it, and its price."""

    provider: str
    name: str
    price: Price
    window: Window | None


def exported(policy: Policy, to: str, at: datetime) -> PriceExport:
    """Return the prices in force at a time of every candidate that has one.

    Args:
        policy: Has them.
        to: `phoenix`, `mlflow` or `langfuse`.
        at: When.
    """
    known = list(_known(policy, at))
    left_out = [words for one in known for words in _left_out(one, to)]
    left_out += [
        f"{one.name}: no price is known"
        for served in policy.candidates.values()
        for one in served
        if one.price_at(at) is None
    ]
    left_out += _clashes(known, to)
    return PriceExport(to, WRITERS[to](known, at), tuple(left_out))


def _known(policy: Policy, at: datetime) -> Iterator[_Known]:
    for served in policy.candidates.values():
        for candidate in served:
            price = candidate.price_at(at)
            if price is not None:
                window = candidate.tariff.window(at) if candidate.tariff is not None else None
                # As spans have it: which API is spoken, not who runs it.
                provider = "vllm" if candidate.backend.kind is BackendKind.VLLM else "openai"
                yield _Known(provider, candidate.wire_model, price, window)


def _left_out(one: _Known, to: str) -> Iterator[str]:
    if one.price.usd_per_request:
        yield f"{one.provider}/{one.name}: {one.price.usd_per_request:f} USD per request"
    window = one.window
    if window is None:
        return
    if window.hours is not None:
        yield f"{one.provider}/{one.name}: its price holds for some hours only"
    if len(window.standard) > 1 and to == "phoenix":
        yield f"{one.provider}/{one.name}: other prices for long prompts"
    if window.tiers and to != "mlflow":
        yield f"{one.provider}/{one.name}: service tiers {', '.join(window.tiers)}"


def _clashes(known: list[_Known], to: str) -> Iterator[str]:
    """Where only a name is seen, a model that two backends know by it, at two prices, has one of them."""
    first: dict[tuple[str, str], _Known] = {}
    for one in known:
        key = (one.provider if to == "mlflow" else "", one.name)
        other = first.setdefault(key, one)
        if _rates(other.price) != _rates(one.price):
            yield f"{one.name}: another price of the same name ({one.price.price_id})"


def _phoenix(known: list[_Known], at: datetime) -> Any:
    del at  # a price there holds from when it is created
    return [
        {"query": _CREATE_MODEL, "variables": {"input": _phoenix_model(one)}}
        for one in _first_of_name(known)
    ]


def _phoenix_model(one: _Known) -> dict[str, Any]:
    kinds = (
        ("input", "PROMPT", one.price.usd_per_mtok_in),
        ("output", "COMPLETION", one.price.usd_per_mtok_out),
        ("cache_read", "PROMPT", one.price.usd_per_mtok_cached_in),
        ("cache_write", "PROMPT", one.price.usd_per_mtok_cache_write),
    )
    return {
        "name": one.name,
        "namePattern": _pattern(one.name),
        "costs": [
            {"tokenType": token, "kind": kind, "costPerMillionTokens": float(rate)}
            for token, kind, rate in kinds
            if rate is not None
        ],
    }


def _pattern(name: str) -> str:
    """A regular expression that fits this name alone."""
    return f"^{_SPECIAL.sub(_ESCAPED, name)}$"


def _langfuse(known: list[_Known], at: datetime) -> Any:
    return [
        {
            "modelName": one.name,
            "matchPattern": _pattern(one.name),
            "startDate": at.isoformat(),
            "unit": "TOKENS",
            "pricingTiers": list(_langfuse_tiers(one)),
        }
        for one in _first_of_name(known)
    ]


def _langfuse_tiers(one: _Known) -> Iterator[dict[str, Any]]:
    steps = one.window.standard if one.window is not None else ()
    for place, step in enumerate(steps[:-1], start=1):
        condition = {"usageDetailPattern": "^input", "operator": "gt", "value": step.above}
        yield {
            "name": f"above {step.above} prompt tokens",
            "isDefault": False,
            "priority": place,
            "conditions": [condition],
            "prices": _langfuse_prices(step.price),
        }
    yield {
        "name": "standard",
        "isDefault": True,
        "priority": 0,
        "conditions": [],
        "prices": _langfuse_prices(one.price),
    }


def _langfuse_prices(price: Price) -> dict[str, float]:
    """USD per token, by every name that it counts such tokens under."""
    rates = {"input": price.usd_per_mtok_in, "output": price.usd_per_mtok_out}
    for rate, names in (
        (price.usd_per_mtok_cached_in, _CACHED),
        (price.usd_per_mtok_cache_write, _WRITTEN),
    ):
        if rate is not None:
            rates |= dict.fromkeys(names, rate)
    return {name: float(rate / 10**6) for name, rate in rates.items()}


def _mlflow(known: list[_Known], at: datetime) -> Any:
    files: dict[str, Any] = {}
    for one in known:
        made = files.setdefault(f"{one.provider}.json", {"schema_version": "1.0", "models": {}})
        made["models"].setdefault(
            one.name,
            {
                "mode": "chat",
                "pricing": _mlflow_pricing(one),
                "last_updated_at": at.date().isoformat(),
            },
        )
    return files


def _mlflow_pricing(one: _Known) -> dict[str, Any]:
    told: dict[str, Any] = _mlflow_rates(one.price)
    window = one.window
    if window is not None and window.tiers:
        told["service_tiers"] = {
            name: _mlflow_rates(steps[-1].price) for name, steps in window.tiers.items()
        }
    if window is not None and len(window.standard) > 1:
        told["long_context"] = [
            {"threshold_tokens": step.above, **_mlflow_rates(step.price)}
            for step in reversed(window.standard[:-1])
        ]
    return told


def _mlflow_rates(price: Price) -> dict[str, float]:
    rates = {
        "input_per_million_tokens": price.usd_per_mtok_in,
        "output_per_million_tokens": price.usd_per_mtok_out,
        "cache_read_per_million_tokens": price.usd_per_mtok_cached_in,
        "cache_write_per_million_tokens": price.usd_per_mtok_cache_write,
    }
    return {name: float(rate) for name, rate in rates.items() if rate is not None}


def _first_of_name(known: list[_Known]) -> Iterator[_Known]:
    yield from {one.name: one for one in reversed(known)}.values()


def _rates(price: Price) -> tuple[Any, ...]:
    return (
        price.usd_per_mtok_in,
        price.usd_per_mtok_out,
        price.usd_per_mtok_cached_in,
        price.usd_per_mtok_cache_write,
    )


WRITERS: Mapping[str, Callable[[list[_Known], datetime], Any]] = {
    "phoenix": _phoenix,
    "mlflow": _mlflow,
    "langfuse": _langfuse,
}
