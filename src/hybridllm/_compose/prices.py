"""Prices from catalogues, beside those of a policy, and for tracing backends: read, compared, written.

No network: a catalogue is a file that the user has, or the data that an installed package came with.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from hybridllm._adapters.price_sheets import read_price_sheet
from hybridllm._core.money.catalogue.drift import PriceComparison, compared, hosted
from hybridllm._core.money.catalogue.entry import (
    CatalogueEntry,
    jsonable,
    of_provider,
    sheet_text,
)
from hybridllm._core.money.catalogue.export import WRITERS, PriceExport, exported
from hybridllm._core.money.catalogue.litellm import litellm_entries
from hybridllm._core.policy.compiled import Policy
from hybridllm._runtime.wall_clock import utc_now
from hybridllm.errors import InvalidRequest

GENAI, LITELLM = "genai-prices", "litellm"
_BYTES_MAX = 64 << 20


@dataclass(frozen=True, slots=True)
class PriceCatalogue:
    """A catalogue of prices.

    Attributes:
        kind: `genai-prices` (an installed package) or `litellm` (a file).
        path: Of the file.
        table: What is in it.
    """

    kind: str
    path: str | None = None
    table: dict[str, Any] | None = None

    def entries(self, model: str, *, providers: Collection[str] = ()) -> list[CatalogueEntry]:
        """Return what the catalogue says of a model; nothing: it does not know it.

        Args:
            model: A name, or a pattern with *, ? and [abc].
            providers: Only of these, as the catalogue calls them; empty: of all.
        """
        if self.kind == LITELLM:
            source = f"LiteLLM {Path(self.path or '').name}"
            return litellm_entries(self.table or {}, model, providers=providers, source=source)
        from hybridllm._adapters.genai_catalogue import genai_entries

        return genai_entries(model, providers=providers)


@dataclass(frozen=True, slots=True)
class ImportedPrices:
    """Entries of a price sheet from a catalogue, to be looked over.

    Attributes:
        text: A price sheet; empty: nothing was found.
        entries: The same as values, ready for JSON.
        left_out: `model: words` of what the catalogue says and a price sheet cannot.
        unknown: The models that the catalogue does not know.
    """

    text: str
    entries: tuple[dict[str, Any], ...]
    left_out: tuple[str, ...]
    unknown: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "prices": list(self.entries),
            "left_out": list(self.left_out),
            "unknown": list(self.unknown),
        }


def price_catalogue(kind: str, path: str | Path | None = None) -> PriceCatalogue:
    """Return a catalogue.

    Args:
        kind: `genai-prices` or `litellm`.
        path: Of LiteLLM's `model_prices_and_context_window.json`.

    Raises:
        InvalidRequest: If there is no such catalogue, or the file is none.
    """
    if kind == GENAI:
        if path is not None:
            raise InvalidRequest(
                "genai-prices is an installed package; a file is read for litellm only"
            )
        return PriceCatalogue(kind)
    if kind != LITELLM:
        raise InvalidRequest(f"{kind!r} is no catalogue of prices; known: {GENAI}, {LITELLM}")
    if path is None:
        raise InvalidRequest(
            "LiteLLM's prices are read from its file; name it (model_prices_and_context_window.json)"
        )
    return PriceCatalogue(kind, str(path), _table(path))


def imported_prices(
    catalogue: PriceCatalogue,
    models: Iterable[str],
    *,
    providers: Collection[str] = (),
    since: date | None = None,
) -> ImportedPrices:
    """Return entries of a price sheet for models.

    Args:
        catalogue: See `price_catalogue`.
        models: Names or patterns.
        providers: Only of these, as the catalogue calls them; empty: of all.
        since: First day of what the catalogue gives no date for. Default: it has always been so.

    Raises:
        InvalidRequest: If several providers sell a model and none is named.
    """
    found: list[CatalogueEntry] = []
    unknown = []
    today = utc_now().date().isoformat()
    for asked in dict.fromkeys(models):
        entries = catalogue.entries(asked, providers=providers)
        if not entries:
            unknown.append(asked)
            continue
        by_model: dict[str, list[CatalogueEntry]] = {}
        for one in entries:
            by_model.setdefault(one.values["model"], []).append(one)
        for model, own in by_model.items():
            found += [_dated(one, since, today) for one in _of_one(own, model)]
    text = sheet_text(found) if found else ""
    if text:
        read_price_sheet(text.encode(), source="imported", name="imported")  # what we print, loads
    return ImportedPrices(
        text,
        tuple(jsonable(one.values) for one in found),
        tuple(f"{one.values['model']}: {words}" for one in found for words in one.left_out),
        tuple(unknown),
    )


def price_drift(
    policy: Policy,
    catalogue: PriceCatalogue,
    *,
    providers: Collection[str] = (),
    at: datetime | None = None,
) -> PriceComparison:
    """Compare a policy's prices of hosted models with a catalogue's.

    Args:
        policy: Its candidates are looked up by their names on the wire, else by their models'.
        catalogue: See `price_catalogue`.
        providers: Only of these, as the catalogue calls them; empty: of all.
        at: When. Default: now.

    Raises:
        InvalidRequest: If several providers sell a model and none is named.
    """
    found: dict[str, Sequence[CatalogueEntry]] = {}
    for candidate in hosted(policy):
        for name in (candidate.wire_model, candidate.model.name):
            if name not in found:
                found[name] = _of_one(catalogue.entries(name, providers=providers), name)
            if found[name]:
                break
    named = [
        entry._replace(values={**entry.values, "model": name})
        for name, entries in found.items()
        for entry in entries
    ]
    sheet = sheet_text(named).encode()
    entries = read_price_sheet(sheet, source="catalogue", name="catalogue").entries if named else ()
    return compared(policy, entries, at if at is not None else utc_now())


def exported_prices(policy: Policy, to: str, *, at: datetime | None = None) -> PriceExport:
    """Return a policy's prices as a tracing backend takes them.

    Args:
        policy: Has them.
        to: `phoenix`, `mlflow` or `langfuse`.
        at: When they are in force. Default: now.

    Raises:
        InvalidRequest: If there is no such backend.
    """
    if to not in WRITERS:
        raise InvalidRequest(f"prices are written for {', '.join(WRITERS)}, not for {to!r}")
    return exported(policy, to, at if at is not None else utc_now())


def _of_one(entries: list[CatalogueEntry], asked: str) -> list[CatalogueEntry]:
    try:
        return of_provider(entries, asked)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def _dated(entry: CatalogueEntry, since: date | None, today: str) -> CatalogueEntry:
    values = dict(entry.values)
    model = values.pop("model")
    begins = values.pop("from", None if since is None else since.isoformat())
    dated = {"model": model} | ({} if begins is None else {"from": begins})
    return entry._replace(values={**dated, **values, "checked": today})


def _table(path: str | Path) -> dict[str, Any]:
    """Read a file of prices, every digit of its numbers kept."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_BYTES_MAX + 1)
        table = json.loads(data.decode(), parse_float=Decimal) if len(data) <= _BYTES_MAX else None
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise InvalidRequest(f"{path} is no file of prices: a JSON object of models was expected")
    return table
