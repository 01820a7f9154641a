"""The catalogue of the package genai-prices (extra `prices`), asked offline: the data that it came with.

The door to genai_prices. Which of several dated or conditional prices holds is asked of its own resolution,
once for every day on which something of a model changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from hybridllm._core.money.catalogue.entry import CatalogueEntry, Standing, tier_values
from hybridllm._core.money.tariff import STANDARD_TIERS
from hybridllm._core.policy.conditions import GLOB_SIGNS
from hybridllm.errors import InvalidRequest

_RATES = {
    "input_mtok": "input_per_1m",
    "output_mtok": "output_per_1m",
    "cache_read_mtok": "cached_input_per_1m",
    "cache_write_mtok": "cache_write_per_1m",
}
_LONG_AGO = datetime(1990, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)


def genai_entries(asked: str, *, providers: Collection[str] = ()) -> list[CatalogueEntry]:
    """Return the entries of a model; a name matches as the catalogue says, a pattern by the catalogue's ids.

    Raises:
        InvalidRequest: If the package is not installed.
    """
    try:
        from genai_prices import __version__, data_snapshot
    except ImportError:
        raise InvalidRequest(
            "the catalogue genai-prices is not installed: pip install 'hybridllm[prices]'"
        ) from None
    is_pattern = not GLOB_SIGNS.isdisjoint(asked)
    found: list[CatalogueEntry] = []
    for seller in data_snapshot.get_snapshot().providers:
        if providers and seller.id not in providers:
            continue
        for model in seller.models:
            fits = fnmatchcase(model.id, asked) if is_pattern else model.is_match(asked)
            if fits:
                name = model.id if is_pattern else asked
                source = f"genai-prices {__version__} {seller.id}/{model.id}"
                found += _entries(model, name, seller.id, source)
            if fits and not is_pattern:
                break  # the first that matches, as the catalogue itself does
    return found


def _entries(model: Any, name: str, provider: str, source: str) -> Iterator[CatalogueEntry]:
    """Yield the prices of a model, from each day on which something changes."""
    constraints = [
        one.constraint
        for one in (
            *(model.prices if isinstance(model.prices, list) else ()),
            *(model.price_variants or ()),
        )
        if one.constraint is not None
    ]
    days = sorted({one.start_date for one in constraints if hasattr(one, "start_date")})
    windows = sorted(
        {
            (_utc(one.start_time), _utc(one.end_time))
            for one in constraints
            if hasattr(one, "start_time")
        }
    )
    before: dict[str, Any] | None = None
    for day in (None, *days):
        made = _values(model, day, windows)
        if made is None:
            continue
        values, left_out = made
        if values != before:
            before = values
            dated = {} if day is None else {"from": day.isoformat()}
            yield CatalogueEntry(
                provider, {"model": name, **dated, **values, "source": source}, left_out
            )


def _values(
    model: Any, day: date | None, windows: list[tuple[time, time]]
) -> tuple[dict[str, Any], tuple[str, ...]] | None:
    """Return what holds from a day on; None: no price of prompt and answer."""
    midnight = _LONG_AGO if day is None else datetime.combine(day, time(), UTC)
    usual = _outside(midnight, windows)
    prices = model.get_prices(usual)
    standard = _standing(prices)
    if standard is None:
        return None
    values = standard.values
    tiers = _tiers(model, usual, standard)
    if tiers:
        values["service_tiers"] = tiers
    left_out = [key for key, rate in vars(prices).items() if rate and key not in _RATES]
    hours = []
    for begin, end in windows:
        inside = _standing(model.get_prices(midnight + _since_midnight(begin)))
        if inside is None or inside == standard:
            continue
        changed = _changed(inside, standard, combined=bool(tiers or standard.steps or inside.steps))
        if changed is None:
            left_out.append(f"other prices from {begin:%H:%M} to {end:%H:%M} UTC")
        else:
            hours.append({"from": f"{begin:%H:%M}", "to": f"{end:%H:%M}", **changed})
    if hours:
        values["hours"] = hours
    return values, tuple(left_out)


def _outside(midnight: datetime, windows: list[tuple[time, time]]) -> datetime:
    """Return a moment of the day outside all windows; if they leave none, its first."""
    for minute in {0, *(_since_midnight(end) // _MINUTE for _, end in windows)}:
        moment = midnight + minute * _MINUTE
        if not any(_within(moment.time(), begin, end) for begin, end in windows):
            return moment
    return midnight


def _within(moment: time, begin: time, end: time) -> bool:
    return begin <= moment < end if begin <= end else moment >= begin or moment < end


def _tiers(model: Any, at: datetime, standard: Standing) -> dict[str, Any]:
    """Return what each service tier costs; the batch API is none."""
    names = [
        one.when.get("service_tier") for one in model.price_variants or () if len(one.when) == 1
    ]
    found = {}
    for name in dict.fromkeys(names):
        if name is None or name in STANDARD_TIERS:
            continue
        tier = _standing(model.get_prices(at, {"service_tier": name}))
        if tier is not None and tier != standard:
            found[name] = tier_values(tier, standard)
    return found


def _changed(inside: Standing, standard: Standing, *, combined: bool) -> dict[str, Any] | None:
    """Return what hours change: rates, or a factor where tiers or steps meet them; None: no factor does."""
    if not combined:
        return {
            name: rate for name, rate in inside.rates.items() if rate != standard.rates.get(name)
        }
    pairs = [(inside.rates, standard.rates), *zip_steps(inside, standard)]
    factors = {
        one[name] / other[name]
        for one, other in pairs
        for name in other
        if other[name] and name in one
    }
    return {"factor": factors.pop()} if len(factors) == 1 else None


def zip_steps(one: Standing, other: Standing) -> list[tuple[Mapping[str, Decimal], ...]]:
    """Return the rates of the steps that two standings have at the same bound."""
    theirs = dict(other.steps)
    return [(rates, theirs[above]) for above, rates in one.steps if above in theirs]


def _standing(prices: Any) -> Standing | None:
    found = {
        name: rate
        for key, name in _RATES.items()
        if (rate := getattr(prices, key, None)) is not None
    }
    if not {"input_per_1m", "output_per_1m"} <= found.keys():
        return None
    bounds = sorted({tier.start for rate in found.values() for tier in getattr(rate, "tiers", ())})
    return Standing(
        {name: _rate(rate, 0) for name, rate in found.items()},
        [
            (above, {name: _rate(rate, above + 1) for name, rate in found.items()})
            for above in bounds
        ],
    )


def _rate(rate: Any, input_tokens: int) -> Decimal:
    """One rate for prompts of so many tokens."""
    if isinstance(rate, Decimal):
        return rate
    held = [tier.price for tier in rate.tiers if input_tokens > tier.start]
    return Decimal(held[-1] if held else rate.base)


def _utc(moment: time) -> time:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.combine(date(2000, 1, 1), aware).astimezone(UTC).time()


def _since_midnight(moment: time) -> timedelta:
    return timedelta(hours=moment.hour, minutes=moment.minute)
