"""What tokens cost, as a policy file or a price sheet writes it: the shape only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from hybridllm._core.policy.fields import Glob, Name, UsdAmount, UsdPerMtok
from hybridllm._core.policy.schema_when import TimeSpec
from hybridllm._core.policy.spec import Spec
from hybridllm._core.policy.units import count, first_moment, usd

RATES = (
    "input_per_1m",
    "output_per_1m",
    "cached_input_per_1m",
    "cache_write_per_1m",
    "per_request",
)
_CURRENCY = re.compile(r"[A-Z]{3}\Z")
_ABOVE_MAX = 1_000_000_000
_DECIMALS_MAX = 8  # of a factor and of a currency's rate, so that prices stay exact


def _prompt_tokens(value: object) -> int:
    tokens = count(value)
    if not 1 <= tokens <= _ABOVE_MAX:
        raise ValueError(f"is out of range: from 1 to {_ABOVE_MAX:,}")
    return tokens


def _currency(value: object) -> str:
    if not isinstance(value, str) or not _CURRENCY.match(value):
        raise ValueError("is not a currency; write its three letters, such as EUR")
    return value


def _rate(value: object) -> Decimal:
    try:
        rate = usd(value)
    except ValueError:
        rate = Decimal(0)
    if not 0 < rate <= 1_000_000 or rate != round(rate, _DECIMALS_MAX):
        raise ValueError(
            "is not a rate; write the USD for one unit, such as 1.08: above 0, at most "
            f"{_DECIMALS_MAX} decimals"
        )
    return rate


def _factor(value: object) -> Decimal:
    try:
        factor = usd(value)
    except ValueError:
        factor = Decimal(-1)
    if not 0 <= factor <= 100 or factor != round(factor, _DECIMALS_MAX):
        raise ValueError("is not a factor; write 0.5 for half the price: from 0 to 100")
    return factor


Currency = Annotated[
    str,
    BeforeValidator(_currency, json_schema_input_type=Annotated[str, Field(pattern="^[A-Z]{3}$")]),
]
UsdPerUnit = Annotated[
    Decimal,
    BeforeValidator(_rate, json_schema_input_type=Annotated[float, Field(gt=0)] | str),
]
Factor = Annotated[
    Decimal,
    BeforeValidator(_factor, json_schema_input_type=Annotated[float, Field(ge=0, le=100)] | str),
]
FirstMoment = Annotated[datetime, BeforeValidator(first_moment, json_schema_input_type=str)]
PromptTokens = Annotated[int, BeforeValidator(_prompt_tokens, json_schema_input_type=int | str)]


class RatesSpec(Spec):
    """What tokens cost."""

    input_per_1m: UsdPerMtok | None = Field(
        default=None, description="USD per 1,000,000 prompt tokens."
    )
    output_per_1m: UsdPerMtok | None = Field(
        default=None, description="USD per 1,000,000 completion tokens, reasoning included."
    )
    cached_input_per_1m: UsdPerMtok | None = Field(
        default=None,
        description="USD per 1,000,000 prompt tokens that the backend had cached. Default: the input price.",
    )
    cache_write_per_1m: UsdPerMtok | None = Field(
        default=None,
        description="USD per 1,000,000 prompt tokens that the backend wrote into its cache. Default: the "
        "input price.",
    )
    per_request: UsdAmount | None = Field(
        default=None, description="USD on top, for each attempt. Default: nothing."
    )

    @property
    def rates(self) -> frozenset[str]:
        """The rates that are given."""
        return frozenset(name for name in RATES if getattr(self, name) is not None)


class ContextTierSpec(RatesSpec):
    """What requests with a long prompt cost: all of their tokens, not only those above."""

    above: PromptTokens = Field(
        description="For requests with more prompt tokens than this, cached ones included: 200K is 200,000."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.rates:
            raise ValueError(f"changes nothing; it takes at least one of {', '.join(RATES)}")
        return self


ContextTiers = Annotated[tuple[ContextTierSpec, ...], Field(max_length=16)]


class ChangedSpec(RatesSpec):
    """Other rates, or all of them times something."""

    factor: Factor | None = Field(
        default=None, description="Times every standard rate: 0.5 is half the price."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.factor is None and not self.rates:
            raise ValueError(f"changes nothing; it takes factor, or some of {', '.join(RATES)}")
        if self.factor is not None and self.rates:
            raise ValueError(f"takes either factor or rates; leave out {_first(self.rates)}")
        return self


class ServiceTierSpec(ChangedSpec):
    """What a service tier costs. Rates that are left out are the standard ones."""

    context_tiers: ContextTiers = Field(
        default=(), description="Of this tier. With a factor, the standard ones apply, times that."
    )

    @model_validator(mode="after")
    def _no_steps_of_a_factor(self) -> Self:
        if self.factor is not None and self.context_tiers:
            raise ValueError("takes either factor or context_tiers")
        _check_steps(self.context_tiers)
        return self


class PriceHoursSpec(TimeSpec, ChangedSpec):
    """Hours in which attempts that begin then have another price. Rates left out are the usual ones."""


class PriceSpec(RatesSpec):
    """What tokens cost."""

    input_per_1m: UsdPerMtok = Field(description="USD per 1,000,000 prompt tokens.")
    output_per_1m: UsdPerMtok = Field(
        description="USD per 1,000,000 completion tokens, reasoning included."
    )
    from_: FirstMoment | None = Field(
        default=None,
        alias="from",
        description="First day of this price, 2026-11-01 (from 00:00 UTC), or a time with its zone. Default: "
        "it has always been so.",
    )
    context_tiers: ContextTiers = Field(
        default=(), description="For long prompts: [{above: 200K, input_per_1m: 2.50}]."
    )
    service_tiers: dict[Name, ServiceTierSpec] = Field(
        default_factory=dict,
        max_length=16,
        description="By the service tier that an answer names: {flex: {factor: 0.5}}. An answer that names "
        "another one than these and the standard one has no known price.",
    )
    hours: tuple[PriceHoursSpec, ...] = Field(
        default=(),
        max_length=8,
        description="Hours with another price; the first window that is open holds.",
    )
    currency: Currency = Field(
        default="USD", description="Of all amounts here; its rate stands under `currencies`."
    )
    source: str | None = Field(
        default=None, max_length=500, description="Where the figures are from; for people."
    )
    checked: str | None = Field(
        default=None, max_length=100, description="When somebody last looked; for people."
    )

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        _check_steps(self.context_tiers)
        if self.context_tiers:
            for name, tier in self.service_tiers.items():
                if tier.factor is None and not tier.context_tiers:
                    raise ValueError(
                        "has context_tiers, and does not say what long prompts cost in service tier "
                        f"{name!r}; give that its own context_tiers, or a factor"
                    )
        if self.context_tiers or self.service_tiers:
            for window in self.hours:
                if window.factor is None:
                    raise ValueError(
                        "has tiers and hours with rates of their own; where both apply nobody knows which "
                        "rate holds, so give the hours a factor"
                    )
        return self


class SheetEntrySpec(PriceSpec):
    """A price of the price sheet, for the models that its pattern fits."""

    model: Glob = Field(
        description="Name or pattern with *, ?, [abc]: of the model that answered, else the name that was "
        "sent, else the policy's own."
    )
    backend: Name | None = Field(
        default=None,
        description="The only backend that it is for. Default: every one that is not your own.",
    )
    id: Name | None = Field(
        default=None, description="What receipts call it. Default: what stands under `model`."
    )


class PriceSheetSpec(Spec):
    """A file of prices, to be used in place of those of a policy."""

    version: Literal[1] = Field(description="Of the format of this file: 1.")
    prices: tuple[SheetEntrySpec, ...] = Field(min_length=1, description="Prices, as in a policy.")
    currencies: dict[Currency, UsdPerUnit] = Field(
        default_factory=dict, description="USD for one unit of each currency: {EUR: 1.08}."
    )


def _check_steps(steps: Iterable[ContextTierSpec]) -> None:
    bounds = [step.above for step in steps]
    if len(set(bounds)) < len(bounds):
        raise ValueError("has two context_tiers above the same number of tokens")


def _first(names: frozenset[str]) -> str:
    return next(name for name in RATES if name in names)


FREE = PriceSpec.model_construct(input_per_1m=Decimal(0), output_per_1m=Decimal(0))
"""`price: free`. Compared by identity, so that a receipt can tell it from a price of 0."""


def _price(value: object, read: ValidatorFunctionWrapHandler) -> tuple[PriceSpec, ...] | None:
    if value is None or value == "free":
        return (FREE,) if value else None
    if not isinstance(value, dict | list):
        message = "is not a price; write free or {input_per_1m: 0.18, output_per_1m: 0.28}"
        raise ValueError(message)  # noqa: TRY004  # pydantic tells of a ValueError, not of a TypeError
    found: Any = read([value] if isinstance(value, dict) else value)
    dates = [one.from_ for one in found]
    if len(set(dates)) < len(dates):
        raise ValueError("holds two prices with the same `from`; which one holds nobody could tell")
    return found  # type: ignore[no-any-return]  # pydantic types every handler as Any


MaybePrice = Annotated[
    tuple[PriceSpec, ...] | None,
    Field(min_length=1, max_length=100),
    WrapValidator(
        _price, json_schema_input_type=PriceSpec | list[PriceSpec] | Literal["free"] | None
    ),
]
