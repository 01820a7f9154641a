"""The model book that ships with the package: `data/models.yaml`, read once."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from hybridllm._adapters.shipped import shipped_document
from hybridllm._core.money.book import Book, BookEntry, Tier, book_of, tier_of
from hybridllm._core.policy.compiled import Capability
from hybridllm._core.policy.units import context_tokens, usd


@cache
def shipped_book() -> Book:
    """Return the shipped model book."""
    return _book(shipped_document("models.yaml"))


def _book(document: Mapping[str, Any]) -> Book:
    tiers = tuple(
        Tier(name, usd(bounds[0]), usd(bounds[1])) for name, bounds in document["tiers"].items()
    )
    as_of = document["as_of"]
    entries = tuple(_entry(row, tiers=tiers, as_of=as_of) for row in document["models"])
    return book_of(entries, tiers=tiers, as_of=as_of)


def _entry(row: Mapping[str, Any], *, tiers: tuple[Tier, ...], as_of: str) -> BookEntry:
    output = _usd_or_none(row["output"])
    monthly = row.get("self_host_usd_month")
    stated = row.get("stated_tier")
    return BookEntry(
        id=row["id"],
        name=row["name"],
        provider=row["provider"],
        as_of=as_of,
        usd_per_mtok_in=_usd_or_none(row["input"]),
        usd_per_mtok_out=output,
        context_tokens=context_tokens(row["context"]),
        tier=stated if output is None else tier_of(output, tiers),
        stated_tier=stated,
        capabilities=frozenset(Capability(name) for name in row.get("capabilities", ())),
        license=row.get("license"),
        size=row.get("size"),
        self_host_usd_month=(usd(monthly[0]), usd(monthly[1])) if monthly else None,
    )


def _usd_or_none(value: object) -> Decimal | None:
    return None if value is None else usd(value)
