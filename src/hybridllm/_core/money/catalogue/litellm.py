"""LiteLLM's file of prices (`model_prices_and_context_window.json`), read without trusting it.

Its rates are USD per token, with what they are for in the end of their names: `_above_200k_tokens`, `_flex`,
`_priority`. It has no dates: what it says holds on the day on which it was written.

Source: https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from hybridllm._core.money.catalogue.entry import CatalogueEntry, Rates, Standing, tier_values

_BASES = {
    "input_cost_per_token": "input_per_1m",
    "output_cost_per_token": "output_per_1m",
    "cache_read_input_token_cost": "cached_input_per_1m",
    "cache_creation_input_token_cost": "cache_write_per_1m",
}
_PER_REQUEST = "input_cost_per_request"
_ABOVE = re.compile(r"_above_([0-9]{1,6})k_tokens")
_TIER = re.compile(r"_(flex|priority)(?=_|\Z)")
_RATE_MAX = Decimal("0.1")  # per token: 100,000 per 1,000,000, as in a policy
_COST = re.compile(r"_cost|cost_per_")


def litellm_entries(
    table: Mapping[str, Any], asked: str, *, providers: Collection[str] = (), source: str
) -> list[CatalogueEntry]:
    """Return the entries of a model: by its whole name, else by what follows its provider's.

    Args:
        table: The file, numbers as `Decimal`.
        asked: A name, or a pattern with *, ? and [abc].
        providers: Only of these; empty: of all.
        source: What to call the file.
    """
    exact: list[CatalogueEntry] = []
    others: list[CatalogueEntry] = []
    for key, row in table.items():
        if not isinstance(row, Mapping) or not isinstance(row.get("litellm_provider"), str):
            continue
        seller = row["litellm_provider"]
        name = key.removeprefix(f"{seller}/")
        if providers and seller not in providers:
            continue
        if asked in (key, name) or fnmatchcase(name, asked):
            entry = _entry(name, row, f"{source} {key}")
            if entry is not None:
                (exact if asked == key else others).append(entry)
    return exact or others


def _entry(name: str, row: Mapping[str, Any], source: str) -> CatalogueEntry | None:
    """Return the entry of a row; None: it has no price of prompt and answer."""
    standings, left_out = _standings(row)
    standard = standings.pop("", None)
    if standard is None:
        return None
    values: dict[str, Any] = {"model": name, **standard.values}
    tiers = {tier: tier_values(one, standard) for tier, one in standings.items()}
    if tiers:
        values["service_tiers"] = tiers
    values["source"] = source
    return CatalogueEntry(row["litellm_provider"], values, left_out)


def _standings(row: Mapping[str, Any]) -> tuple[dict[str, Standing], tuple[str, ...]]:
    """Return the rates of each service tier, the standard one's under no name; and what is left out."""
    by_tier: dict[str, dict[int, dict[str, Decimal]]] = {}
    left_out = []
    for key, value in row.items():
        found = _read(key)
        rate = _rate(value)
        if found is None:
            if rate and _COST.search(key):
                left_out.append(key)
        elif rate is not None:
            name, tier, above = found
            unit = 1 if name == "per_request" else 10**6
            by_tier.setdefault(tier, {}).setdefault(above, {})[name] = rate * unit
    standard = by_tier.get("", {}).get(-1, {})
    if not {"input_per_1m", "output_per_1m"} <= standard.keys():
        return {}, ()
    return (
        {tier: _standing(steps, standard) for tier, steps in by_tier.items()},
        tuple(left_out),
    )


def _standing(steps: Mapping[int, Rates], standard: Rates) -> Standing:
    base = {**standard, **steps.get(-1, {})}
    above = [(bound, {**base, **rates}) for bound, rates in sorted(steps.items()) if bound >= 0]
    return Standing(base, above)


def _read(key: str) -> tuple[str, str, int] | None:
    """Return which rate a key is, of which tier, above how many tokens; None: none that we know."""
    if key == _PER_REQUEST:
        return "per_request", "", -1
    base = next(_longest(key), None)
    if base is None:
        return None
    rest = key[len(base) :]
    above, tier = _ABOVE.search(rest), _TIER.search(rest)
    for mark in (above, tier):
        if mark is not None:
            rest = rest.replace(mark[0], "", 1)
    if rest:
        return None  # another unit, or the batch API
    return _BASES[base], tier[1] if tier else "", int(above[1]) * 1_000 if above else -1


def _longest(key: str) -> Iterator[str]:
    yield from sorted((base for base in _BASES if key.startswith(base)), key=len, reverse=True)


def _rate(value: object) -> Decimal | None:
    """USD per token or request, exactly as it was written; None: no such amount."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    rate = Decimal(str(value))
    return rate if rate.is_finite() and 0 <= rate <= _RATE_MAX else None
