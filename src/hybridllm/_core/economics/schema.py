"""What may stand in a scenario: the shape only. Its keys are the options of the command, too."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hybridllm._core.economics.ranges import Range, between
from hybridllm._core.policy.fields import Flag, ModelName, UsdPerMtok, as_list
from hybridllm._core.policy.spec import Spec
from hybridllm._core.policy.units import count, usd

_PERCENT = re.compile(r"([-+]?[0-9]{1,6}(?:\.[0-9]{1,9})?) ?%(?: ?(?:/|per|a) ?month)?\Z")
_NUMBER = re.compile(r"[-+]?[0-9]{1,6}(?:\.[0-9]{1,12})?\Z")
_REDUNDANCY = re.compile(r"n(?:\+([1-9]))?\Z", re.IGNORECASE)
_LABEL = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028-\u202f\u2066-\u2069\ufeff]{1,80}\Z")
_PRICE_TEXT = re.compile(r"[^/]+(?:/[^/]+){1,2}\Z")
_RANGES = "; of a range, write [LOW, HIGH], [LOW, LIKELY, HIGH] or LOW..HIGH"


def _part(value: object) -> Decimal:
    """A share or a rate: 0.05 or 5%."""
    if isinstance(value, str):
        percent = _PERCENT.match(value)
        if percent is not None:
            return Decimal(percent[1]) / 100
        if _NUMBER.match(value):
            return Decimal(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    raise ValueError("is not a share; write 0.05 or 5%")


def _tokens(value: object) -> Decimal:
    return Decimal(count(value))


def _range(read: Callable[[object], Decimal], least: Decimal, most: Decimal) -> BeforeValidator:
    def one(value: object) -> Decimal:
        try:
            number = read(value)
        except ValueError as wrong:
            raise ValueError(f"{wrong}{_RANGES}") from None
        if not least <= number <= most:
            raise ValueError(f"is out of range: from {least:,f} to {most:,f}")
        return number

    def check(value: object) -> Range:
        if isinstance(value, Range):
            return value
        given = value.split("..") if isinstance(value, str) and ".." in value else value
        ends = [one(end) for end in given] if isinstance(given, list) else [one(given)] * 3
        if len(ends) not in (2, 3):
            raise ValueError("has not two or three values: [LOW, HIGH] or [LOW, LIKELY, HIGH]")
        return between(*ends) if len(ends) == 2 and ends[0] <= ends[1] else _in_order(ends)

    return BeforeValidator(check)


def _in_order(ends: list[Decimal]) -> Range:
    if len(ends) == 2:
        raise ValueError(f"is not in order: {ends[0]} is above {ends[1]}")
    return Range(*ends)


def _label(value: object) -> str:
    if not isinstance(value, str) or not _LABEL.match(value):
        raise ValueError("is not a name of at most 80 visible characters")
    return value


def _spare(value: object) -> int:
    found = _REDUNDANCY.match(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("is not a redundancy; write n, n+1 or n+2")
    return int(found[1] or 0)


def _whole(least: int, most: int) -> BeforeValidator:
    def check(value: object) -> int:
        number = count(value)
        if not least <= number <= most:
            raise ValueError(f"is out of range: from {least:,} to {most:,}")
        return number

    return BeforeValidator(check)


def _of_all(value: object) -> Decimal:
    share = _part(value)
    if not 0 <= share <= 1:
        raise ValueError("is out of range: from 0 to 1")
    return share


def _month(value: object) -> Decimal:
    days = _part(value)
    if not 28 <= days <= 31:
        raise ValueError(
            "is no month: from 28 to 31 days; the sources' has 30, the default is 30.4375"
        )
    return days


def _price(value: object) -> object:
    if isinstance(value, int | Decimal) or (
        isinstance(value, str) and not _PRICE_TEXT.match(value)
    ):
        raise ValueError("is not a price; write IN/OUT or IN/OUT/CACHED per 1M tokens: 0.18/0.25")
    if not isinstance(value, str):
        return value
    keys = ("input_per_1m", "output_per_1m", "cached_input_per_1m")
    return dict(zip(keys, (part.strip() for part in value.split("/")), strict=False))


def _hidden(value: object) -> object:
    return {"none": {}, "source": None}.get(value, value) if isinstance(value, str) else value


_BILLION = Decimal(10**9)
Share = Annotated[Range, _range(_part, Decimal(0), Decimal(1))]
Rate = Annotated[Range, _range(_part, Decimal("-0.5"), Decimal("0.5"))]
Use = Annotated[Range, _range(_part, Decimal("0.01"), Decimal(1))]
Usd = Annotated[Range, _range(usd, Decimal(0), _BILLION)]
Tokens = Annotated[Range, _range(_tokens, Decimal(1), Decimal(10**15))]
Label = Annotated[str, BeforeValidator(_label)]
Exact = Annotated[Decimal, BeforeValidator(_of_all)]


class ApiPriceSpec(Spec):
    """What an API asks, in USD per 1,000,000 tokens."""

    input_per_1m: UsdPerMtok = Field(description="Prompt tokens.")
    output_per_1m: UsdPerMtok = Field(description="Completion tokens.")
    cached_input_per_1m: UsdPerMtok | None = Field(
        default=None, description="Prompt tokens that it had cached. Default: the full price."
    )
    price_id: Label = Field(default="given", description="Where the figures are from.")


ApiPrice = Annotated[ApiPriceSpec | None, BeforeValidator(_price)]


class PartSpec(Spec):
    """One model's part of the traffic."""

    share: Exact = Field(description="Of all tokens; all shares make 1.")
    input_share: Share | None = Field(default=None, description="Of its tokens, those of prompts.")
    cached: Share | None = Field(
        default=None, description="Of its prompt tokens, those billed as cached."
    )
    price: ApiPrice = Field(default=None, description="At the API. Default: the model book's.")


class ScenarioSpec(Spec):
    """What is compared: traffic at an API, and own machines for it."""

    name: Label | None = Field(default=None, description="How the scenario is called.")
    model: ModelName | None = Field(default=None, description="All the traffic is of this model.")
    models: dict[ModelName, PartSpec] | None = Field(
        default=None,
        description="Parts of the traffic by model, instead of `model`.",
        max_length=200,
    )
    also: Annotated[tuple[ModelName, ...], BeforeValidator(as_list)] = Field(
        default=(),
        description="Models whose bill for the same traffic is told, too.",
        max_length=20,
    )
    price: ApiPrice = Field(
        default=None,
        description="Of `model` at the API: IN/OUT or IN/OUT/CACHED. Default: the model book's.",
    )
    tokens_per_day: Tokens = Field(description="Prompts and answers: 50M.")
    input_share: Share | None = Field(
        default=None,
        description="Of the tokens, those of prompts. Default: none, as the sources count.",
    )
    cached: Share | None = Field(
        default=None, description="Of the prompt tokens, those that the API bills as cached."
    )
    gpu: Label | None = Field(default=None, description="One set of machines: 2x A100 80GB.")
    purchase: Literal["cloud", "reserved", "on-prem"] = Field(
        default="cloud", description="How they are paid."
    )
    gpu_usd_per_month: Usd | None = Field(
        default=None, description="Of one set. Default: the sources', for machines that they know."
    )
    gpu_tokens_per_day: Tokens | None = Field(
        default=None, description="That one set can process. Default: the sources', if they say."
    )
    utilisation: Use | None = Field(
        default=None,
        description="Share of that which your traffic with its peaks can use. Default: all.",
    )
    redundancy: Annotated[int, BeforeValidator(_spare)] = Field(
        default=0, description="Spare sets per region: n, n+1, n+2."
    )
    regions: Annotated[int, _whole(1, 50)] = Field(
        default=1, description="Each serves an equal share of the traffic."
    )
    hidden: Annotated[dict[Label, Usd] | None, BeforeValidator(_hidden)] = Field(
        default=None,
        description="Costs on top, USD a month by name; `none`, or `source`: the sources'.",
    )
    engineers: Annotated[int, _whole(0, 1_000)] = Field(default=1, description="Who look after it.")
    engineer_share: Share | None = Field(
        default=None,
        description="Of the time of each; takes the place of the sources' part-time DevOps.",
    )
    engineer_usd_per_year: Usd | None = Field(
        default=None, description="Of one. Default: the sources' 150,000 to 250,000."
    )
    own_usd_per_1m: UsdPerMtok = Field(
        default=Decimal(0),
        description="What each token adds on machines that are given back when idle.",
    )
    growth: Rate | None = Field(default=None, description="Of the volume: 5%/month.")
    price_decline: Rate | None = Field(default=None, description="Of the API's price: 3%/month.")
    gpu_price_decline: Rate | None = Field(
        default=None, description="Of machines in the cloud; others are paid as agreed."
    )
    months: Annotated[int, _whole(1, 120)] = Field(default=24, description="That are looked ahead.")
    days_per_month: Annotated[Decimal, BeforeValidator(_month)] = Field(
        default=Decimal("30.4375"), description="30 in the sources' sums."
    )
    residency: Literal["strict", "none"] = Field(
        default="none", description="strict: the data may not leave."
    )
    idle_gpus: Flag = Field(
        default=False, description="The machines are there and have nothing to do."
    )
    environment: Label = Field(
        default="production", description="Anything but production needs no machines of its own."
    )
    stable_days: Annotated[int | None, _whole(0, 10_000)] = Field(
        default=None, description="For how long the traffic has been as it is."
    )

    @model_validator(mode="after")
    def _one_traffic(self) -> Self:
        if (self.model is None) == (self.models is None):
            raise ValueError("takes exactly one of model and models")
        if self.models is not None:
            one_model: dict[str, Any] = {
                "price": self.price, "input_share": self.input_share, "cached": self.cached,
            }  # fmt: skip
            wrong = [key for key, value in one_model.items() if value is not None]
            if wrong:
                raise ValueError(f"has {wrong[0]} beside models; write it under each of them")
            total = sum((part.share for part in self.models.values()), start=Decimal(0))
            if abs(total - 1) > Decimal("1e-6"):
                raise ValueError(f"has models whose shares make {total.normalize():f}, not 1")
        return self
