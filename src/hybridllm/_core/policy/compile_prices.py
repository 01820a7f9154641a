"""Prices from the schema's models to what attempts are priced by: every combination worked out once, exactly.

Amounts in another currency become USD here, and are never rounded on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal
from types import MappingProxyType

from hybridllm._core.money.price import Price
from hybridllm._core.money.tariff import (
    Entry,
    SheetEntry,
    Step,
    Steps,
    Window,
    atto_of,
    plain_entry,
)
from hybridllm._core.policy.conditions import Hours
from hybridllm._core.policy.schema_price import (
    FREE,
    RATES,
    ContextTierSpec,
    PriceHoursSpec,
    PriceSpec,
    RatesSpec,
    ServiceTierSpec,
    SheetEntrySpec,
)
from hybridllm._core.policy.zones import zone_of

Rates = Mapping[str, Decimal | None]
"""By their keys in the file, in the currency of the entry."""

_EXACT = Context(prec=80)  # more digits than a rate, a factor and a currency's rate have together
_ONE = Decimal(1)


def compiled_prices(
    specs: Iterable[PriceSpec], label: str, currencies: Mapping[str, Decimal]
) -> tuple[Entry, ...]:
    """Return the dated prices of one place of a file, the latest first; what has no date comes last."""
    found = [_entry(spec, label, currencies) for spec in specs]
    return tuple(sorted(found, key=lambda one: (one.since is None, -_seconds(one.since))))


def compiled_sheet(
    specs: Iterable[SheetEntrySpec], currencies: Mapping[str, Decimal]
) -> tuple[SheetEntry, ...]:
    """Return the entries of a price sheet, in the order of the file."""
    return tuple(
        SheetEntry(
            spec.model, spec.backend, _entry(spec, f"sheet:{spec.id or spec.model}", currencies)
        )
        for spec in specs
    )


def _entry(spec: PriceSpec, label: str, currencies: Mapping[str, Decimal]) -> Entry:
    if spec is FREE:
        return plain_entry(Price(Decimal(0), Decimal(0), price_id="policy:free"))
    base = _Pricing(spec, label, currencies)
    windows = [base.window(hours, f"hours-{at}") for at, hours in enumerate(spec.hours, start=1)]
    return Entry(spec.from_, (*windows, base.window(None, "")))


class _Pricing:
    """Works out the prices of one entry."""

    def __init__(self, spec: PriceSpec, label: str, currencies: Mapping[str, Decimal]) -> None:
        self._spec = spec
        self._id = label if spec.from_ is None else f"{label}@{_date(spec.from_)}"
        self._currency = spec.currency
        self._usd_per_unit = currencies.get(spec.currency, _ONE)

    def window(self, hours: PriceHoursSpec | None, mark: str) -> Window:
        """Return the prices of some hours, or of all others."""
        spec, factor = self._spec, _ONE
        standard = _rates(spec)
        if hours is not None:
            factor = _ONE if hours.factor is None else hours.factor
            standard = _over(standard, hours)
        tiers = {
            name: self._tier(standard, tier, factor, (mark, name))
            for name, tier in spec.service_tiers.items()
        }
        return Window(
            None if hours is None else _hours(hours),
            self._steps(standard, spec.context_tiers, factor, (mark,)),
            MappingProxyType(tiers),
        )

    def _tier(
        self, standard: Rates, tier: ServiceTierSpec, factor: Decimal, marks: tuple[str, ...]
    ) -> Steps:
        if tier.factor is not None:
            both = _EXACT.multiply(factor, tier.factor)
            return self._steps(standard, self._spec.context_tiers, both, marks)
        return self._steps(_over(standard, tier), tier.context_tiers, factor, marks)

    def _steps(
        self,
        rates: Rates,
        tiers: Iterable[ContextTierSpec],
        factor: Decimal,
        marks: tuple[str, ...],
    ) -> Steps:
        found = [self._step(-1, rates, factor, marks)]
        for tier in sorted(tiers, key=lambda one: one.above):
            where = (*marks, f"above-{tier.above}")
            found.append(self._step(tier.above, _over(rates, tier), factor, where))
        return tuple(reversed(found))

    def _step(self, above: int, rates: Rates, factor: Decimal, marks: tuple[str, ...]) -> Step:
        in_usd = _EXACT.multiply(factor, self._usd_per_unit)

        def amount(name: str) -> Decimal | None:
            rate = rates[name]
            return rate if rate is None or in_usd == 1 else _EXACT.multiply(rate, in_usd)

        told = ",".join(mark for mark in marks if mark)
        price = Price(
            amount("input_per_1m") or Decimal(0),
            amount("output_per_1m") or Decimal(0),
            amount("cached_input_per_1m"),
            f"{self._id}#{told}" if told else self._id,
            amount("cache_write_per_1m"),
            amount("per_request"),
            self._currency,
            self._usd_per_unit,
        )
        return Step(above, price, atto_of(price))


def _rates(spec: RatesSpec) -> Rates:
    return {name: getattr(spec, name) for name in RATES}


def _over(rates: Rates, spec: RatesSpec) -> Rates:
    """Return rates with those that are given in place of the former ones."""
    return {**rates, **{name: getattr(spec, name) for name in spec.rates}}


def _hours(spec: PriceHoursSpec) -> Hours:
    zone = zone_of(spec.zone) or UTC  # any other has been refused (references_prices.py)
    return Hours(spec.from_, spec.to, frozenset(spec.weekdays), zone, spec.zone)


def _date(moment: datetime) -> str:
    """The day, and the time if it does not begin at midnight."""
    return moment.strftime("%Y-%m-%d" if not moment.hour | moment.minute else "%Y-%m-%dT%H:%MZ")


def _seconds(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp()
