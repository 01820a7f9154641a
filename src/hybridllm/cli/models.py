"""`hybridllm models`: the model book, filtered and sorted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridllm.cli import hints
from hybridllm.cli.output import note, print_json, tokens, usd_per_mtok
from hybridllm.cli.tables import Table, show

if TYPE_CHECKING:
    from hybridllm import Book, BookEntry

_TOKENS = re.compile(r"(\d+)([KM]?)", re.IGNORECASE)
_UNITS = {"": 1, "K": 1024, "M": 1024 * 1024}


class Sort(StrEnum):
    """What the list is sorted by; figures that nobody knows come last."""

    PRICE = "price"
    INPUT = "input"
    CONTEXT = "context"
    NAME = "name"


def models(
    text: Annotated[
        str,
        typer.Option("--filter", metavar="TEXT", help="In id, name, provider, license or size."),
    ] = "",
    capability: Annotated[
        list[str] | None,
        typer.Option(
            "--capability", metavar="NAME", help="vision, audio, ...; repeated: all of them."
        ),
    ] = None,
    tier: Annotated[
        str | None, typer.Option("--tier", metavar="NAME", help="Band of output price.")
    ] = None,
    max_output_price: Annotated[
        str | None,
        typer.Option("--max-output-price", metavar="USD", help="Per 1M tokens; only known prices."),
    ] = None,
    min_context: Annotated[
        str | None,
        typer.Option("--min-context", metavar="TOKENS", help="32K, 131072; only known contexts."),
    ] = None,
    sort: Annotated[
        Sort, typer.Option("--sort", help="Cheapest answer, cheapest prompt, longest, A to Z.")
    ] = Sort.PRICE,
    as_json: hints.AsJson = False,
) -> None:
    """List known models with price, context and tier.

    A policy that names one of them and gives no figures of its own uses these.
    """
    from hybridllm import model_book

    book = model_book()
    wanted = _Wanted(
        text=text.casefold(),
        capabilities=frozenset(
            _one_of("--capability", name, _capabilities(book)) for name in capability or ()
        ),
        tier=_one_of("--tier", tier, [one.name for one in book.tiers]) if tier else None,
        usd_per_mtok_out_max=_usd(max_output_price) if max_output_price else None,
        context_tokens_min=_token_count(min_context) if min_context else 0,
    )
    found = _sorted([entry for entry in book if wanted.holds(entry)], sort)
    if as_json:
        print_json({"as_of": book.as_of, "currency": "USD", "models": [_facts(e) for e in found]})
    else:
        _draw(found, book)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an entry must have to be listed."""

    text: str
    capabilities: frozenset[str]
    tier: str | None
    usd_per_mtok_out_max: Decimal | None
    context_tokens_min: int

    def holds(self, entry: BookEntry) -> bool:
        """Return whether an entry is listed."""
        names = (entry.id, entry.name, entry.provider, entry.license or "", entry.size or "")
        price, ceiling = entry.usd_per_mtok_out, self.usd_per_mtok_out_max
        return (
            any(self.text in name.casefold() for name in names)
            and self.capabilities <= entry.capabilities
            and self.tier in (None, entry.tier)
            and (ceiling is None or (price is not None and price <= ceiling))
            and (entry.context_tokens or 0) >= self.context_tokens_min
        )


def _sorted(entries: list[BookEntry], sort: Sort) -> list[BookEntry]:
    last = Decimal("Infinity")

    def key(entry: BookEntry) -> Any:
        price_in = last if entry.usd_per_mtok_in is None else entry.usd_per_mtok_in
        price_out = last if entry.usd_per_mtok_out is None else entry.usd_per_mtok_out
        match sort:
            case Sort.PRICE:
                return price_out, price_in, entry.id
            case Sort.INPUT:
                return price_in, price_out, entry.id
            case Sort.CONTEXT:
                return -(entry.context_tokens or 0), price_out, entry.id
            case Sort.NAME:
                return entry.id

    return sorted(entries, key=key)


def _draw(entries: list[BookEntry], book: Book) -> None:
    columns = ("model", "provider", "in", "out", "context", "tier", "can", "license")
    made = Table(*columns, right=("in", "out", "context"), prose=("can",))
    for entry in entries:
        made.add_row(
            entry.id,
            entry.provider,
            usd_per_mtok(entry.usd_per_mtok_in),
            usd_per_mtok(entry.usd_per_mtok_out),
            tokens(entry.context_tokens),
            entry.tier or "-",
            ", ".join(sorted(entry.capabilities)) or "-",
            entry.license or "-",
        )
    if entries:
        show(made)
        typer.echo()
    note(f"{len(entries)} of {len(book)} models; USD per 1M tokens, as of {book.as_of}")


def _facts(entry: BookEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "name": entry.name,
        "provider": entry.provider,
        "input_per_1m": _text(entry.usd_per_mtok_in),
        "output_per_1m": _text(entry.usd_per_mtok_out),
        "context_tokens": entry.context_tokens,
        "tier": entry.tier,
        "stated_tier": entry.stated_tier,
        "capabilities": sorted(entry.capabilities),
        "license": entry.license,
        "size": entry.size,
        "self_host_usd_month": entry.self_host_usd_month
        and [str(amount) for amount in entry.self_host_usd_month],
        "as_of": entry.as_of,
    }


def _capabilities(book: Book) -> list[str]:
    return sorted({name.value for entry in book for name in entry.capabilities})


def _one_of(option: str, value: str, allowed: Iterable[str]) -> str:
    names = list(allowed)
    if value not in names:
        raise typer.BadParameter(f"{option}: {value!r} is not one of {', '.join(names)}")
    return value


def _usd(value: str) -> Decimal:
    try:
        amount = Decimal(value.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise typer.BadParameter(f"--max-output-price: {value!r} is not an amount like 0.30")
    return amount


def _token_count(value: str) -> int:
    found = _TOKENS.fullmatch(value)
    if found is None:
        raise typer.BadParameter(f"--min-context: {value!r} is not a number of tokens like 32K")
    return int(found[1]) * _UNITS[found[2].upper()]


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
