"""What a catalogue of prices says of a model, as a price sheet would write it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from hybridllm._core.policy.schema_price import RATES

Rates = Mapping[str, Decimal]
"""By their keys in a price sheet."""
_ABOUT = frozenset({"model", "source", "checked"})
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PLAIN_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/")


class CatalogueEntry(NamedTuple):
    """One price of one model.

    Attributes:
        provider: Who sells it, as the catalogue calls it.
        values: Keys and values of the entry in a price sheet.
        left_out: What the catalogue says of it and a price sheet cannot, in words.
    """

    provider: str
    values: Mapping[str, Any]
    left_out: tuple[str, ...] = ()


class Standing(NamedTuple):
    """Rates for short prompts, and for those above so many tokens."""

    rates: Rates
    steps: Sequence[tuple[int, Rates]] = ()

    @property
    def values(self) -> dict[str, Any]:
        """Keys and values of a price sheet; a step only says what it changes."""
        told: dict[str, Any] = {name: self.rates[name] for name in RATES if name in self.rates}
        steps = []
        for above, rates in self.steps:
            changed = {
                name: rates[name]
                for name in RATES
                if name in rates and rates[name] != self.rates.get(name)
            }
            if changed:
                steps.append({"above": above, **changed})
        return told | ({"context_tiers": steps} if steps else {})


def tier_values(tier: Standing, standard: Standing) -> dict[str, Any]:
    """Return what a service tier's entry says: what differs, or that nothing does."""
    told = tier.values
    steps = told.pop("context_tiers", None)
    changed = {name: rate for name, rate in told.items() if rate != standard.rates.get(name)}
    if not changed and not steps:
        return {"factor": Decimal(1)}
    if (
        steps is None and standard.steps
    ):  # it has no steps where the standard has: that must be said
        steps = [{"above": standard.steps[0][0], "input_per_1m": tier.rates["input_per_1m"]}]
    return changed | ({"context_tiers": steps} if steps else {})


def sheet_text(entries: Iterable[CatalogueEntry]) -> str:
    """Return entries as the text of a price sheet, ready to be looked over."""
    lines = ["version: 1", "prices:"]
    for entry in entries:
        told = [line for key, value in entry.values.items() for line in _lines(key, value)]
        told += [f"# not taken over: {words}" for words in entry.left_out]
        lines += [f"  {'- ' if place == 0 else '  '}{line}" for place, line in enumerate(told)]
    return "\n".join(lines) + "\n"


def _lines(key: str, value: Any) -> Iterator[str]:
    """Yield a key with its value; of a mapping or a list, each part on a line of its own."""
    if isinstance(value, Mapping):
        yield f"{key}:"
        yield from (f"  {_flow(name)}: {_flow(one)}" for name, one in value.items())
    elif isinstance(value, list):
        yield f"{key}:"
        yield from (f"  - {_flow(one)}" for one in value)
    else:
        yield f"{key}: {_flow(value)}"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_flow(key)}: {_flow(one)}" for key, one in value.items())
        return "{" + inner + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, Decimal):
        return plain_number(value)
    text = str(value)
    plain = text[:1].isalpha() and _PLAIN_SIGNS.issuperset(text)
    if isinstance(value, int) or _DAY.fullmatch(text):
        return text
    return text if plain and text not in ("true", "false", "null") else _quoted(text)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def plain_number(number: Decimal) -> str:
    """Return a number with every digit that is there, and no exponent."""
    return f"{number.normalize():f}" if number else "0"


def jsonable(value: Any) -> Any:
    """Return values ready for JSON; amounts become texts."""
    if isinstance(value, Mapping):
        return {key: jsonable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(one) for one in value]
    return plain_number(value) if isinstance(value, Decimal) else value


def of_provider(found: Sequence[CatalogueEntry], asked: str) -> list[CatalogueEntry]:
    """Return the entries of a model if one provider sells it, or several at the same prices.

    Raises:
        ValueError: If nobody can tell which price is meant.
    """
    by_provider: dict[str, list[CatalogueEntry]] = {}
    for one in found:
        by_provider.setdefault(one.provider, []).append(one)
    offers = {tuple(map(_price_text, entries)) for entries in by_provider.values()}
    if len(offers) > 1:
        raise ValueError(
            f"model {asked!r} is sold by {', '.join(sorted(by_provider))} at different prices; say which "
            "one with --provider"
        )
    return next(iter(by_provider.values()), [])


def _price_text(entry: CatalogueEntry) -> str:
    return _flow({key: value for key, value in entry.values.items() if key not in _ABOUT})
