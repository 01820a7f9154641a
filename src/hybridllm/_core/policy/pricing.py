"""Which prices there are for a candidate, and which is in force. Not known is None, never zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from hybridllm._core.money.book import BookEntry
from hybridllm._core.money.price import Price
from hybridllm._core.money.tariff import Entry, SheetEntry, Tariff, plain_entry
from hybridllm._core.policy.compile_prices import compiled_prices, compiled_sheet
from hybridllm._core.policy.compiled import Candidate
from hybridllm._core.policy.listed_prices import cheapest_of_all, hosted
from hybridllm._core.policy.schema import PolicySpec, ServedSpec
from hybridllm._core.policy.schema_price import PriceSpec


@dataclass(frozen=True)
class Prices:
    """The prices of a policy file, ready to be looked up.

    Attributes:
        book: Entries of the model book, by the policy's model.
        sheet: The file's own price sheet.
    """

    spec: PolicySpec
    book: Mapping[str, BookEntry | None]
    sheet: tuple[SheetEntry, ...] = field(init=False)

    def __post_init__(self) -> None:
        sheet = compiled_sheet(self.spec.prices, self.spec.currencies)
        object.__setattr__(self, "sheet", sheet)

    def charged(self, one: Candidate, served: ServedSpec) -> Candidate:
        """Return a candidate with its price.

        The first place that has one in force: the pair, the backend, the price sheet, the model, the model
        book. The last two, and entries of the sheet that do not name the backend, are what hosted APIs ask;
        they say nothing of a backend of our own.
        """
        backend, model = one.backend, one.model.name
        declared = served.price or self.spec.backends[backend.name].price
        return priced(
            one,
            Tariff(
                names_of(one),
                backend.name,
                backend.own,
                declared=self._of(declared, model),
                sheet=self.sheet,
                listed=() if backend.own else self.listed(model),
            ),
        )

    def listed(self, model: str) -> tuple[Entry, ...]:
        """Return what the model's own price is, then what the model book says."""
        entry = self.book[model]
        booked = entry.price if entry is not None else None
        own = self._of(self.spec.models[model].price, model)
        return (*own, plain_entry(booked)) if booked is not None else own

    def _of(self, specs: Iterable[PriceSpec] | None, model: str) -> tuple[Entry, ...]:
        return compiled_prices(specs or (), f"policy:{model}", self.spec.currencies)


def names_of(candidate: Candidate) -> tuple[str, ...]:
    """Return the names of its model that are known before it has answered, the one on the wire first."""
    return tuple(dict.fromkeys((candidate.wire_model, candidate.model.name)))


def priced(candidate: Candidate, tariff: Tariff) -> Candidate:
    """Return the candidate with these prices; one price for everything needs no tariff."""
    plain = tariff.plain
    if plain is not None or not (tariff.entries or tariff.sheet or tariff.over):
        return replace(candidate, price=plain, tariff=None)
    return replace(candidate, price=tariff.last, tariff=tariff)


def price_fields(
    candidates: Mapping[str, tuple[Candidate, ...]],
    listed: Mapping[str, tuple[Entry, ...]],
    environment: str,
) -> dict[str, Any]:
    """Return the fields of a policy that its prices come to."""
    tariffs = [one.tariff for served in candidates.values() for one in served if one.tariff]
    list_prices = {
        model: _list_prices(candidates.get(model, ()), entries, environment=environment)
        for model, entries in listed.items()
    }
    return {
        "list_prices": MappingProxyType(list_prices),
        "listed": MappingProxyType(dict(listed)),
        "prices_move": any(tariff.moves for tariff in tariffs),
        "prices_differ": bool(tariffs) or any(one.since for own in listed.values() for one in own),
    }


def _list_prices(
    candidates: Iterable[Candidate], listed: Iterable[Entry], *, environment: str
) -> tuple[Price, ...]:
    """Return what hosted APIs ask for a model at last, see `listed_prices.py`."""
    asked = [one.price for one in hosted(candidates, environment)]
    return cheapest_of_all(asked or [entry.price for entry in list(listed)[:1]])
