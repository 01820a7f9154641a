"""What may stand in a policy about own machines and volumes, as pydantic models: the shape only."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    model_validator,
)

from hybridllm._core.policy.fields import (
    Concurrent,
    Flag,
    Names,
    Percent,
    QueueDepth,
    Share,
    UsdMonthly,
    UsdPerMtok,
    WaitS,
    WakeUrl,
)
from hybridllm._core.policy.spec import Spec
from hybridllm._core.policy.units import count, seconds, usd

MEASURES = ("tokens", "requests", "usd")
WINDOWS = ("minute", "hour", "day", "month")
RATES = tuple(f"{what}_per_{window}" for what in MEASURES for window in WINDOWS)
OWN_SCOPES = ("all", "task", "tenant")
NAMED_SCOPES = ("task", "tenant", "model", "route", "backend")
_AMOUNT_MAX = 10**15


def _amount(value: object) -> Decimal:
    """A count of tokens or requests (500M), or USD."""
    try:
        amount = Decimal(count(value))
    except ValueError:
        try:
            amount = usd(value)
        except ValueError:
            raise ValueError("is not a volume; write 6000, 20K, 2M, 500M or 12.50") from None
    if not 0 <= amount <= _AMOUNT_MAX:
        raise ValueError(f"is out of range: from 0 to {_AMOUNT_MAX:,}")
    return amount


def _days(value: object) -> int:
    days = seconds(value) / 86_400
    if days != int(days) or not 1 <= days <= 730:
        raise ValueError("is not a number of whole days; write 90d, at most 730d")
    return int(days)


def _dwell(value: object) -> float:
    dwell_s = seconds(value)
    if not 0 <= dwell_s <= 86_400 * 366:
        raise ValueError("is out of range: from 0s to 366d")
    return float(dwell_s)


def _scope(value: object) -> str:
    kind, colon, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if value in OWN_SCOPES or (colon and kind in NAMED_SCOPES and 0 < len(name) <= 128):
        return str(value)
    raise ValueError(
        "is not what a volume can be of; write all, task, tenant (the request's own), or task:NAME, "
        "tenant:NAME, model:NAME, route:NAME, backend:NAME"
    )


Amount = Annotated[Decimal, BeforeValidator(_amount, json_schema_input_type=float | str)]
Days = Annotated[int, BeforeValidator(_days, json_schema_input_type=str)]
DwellS = Annotated[float, BeforeValidator(_dwell, json_schema_input_type=str)]
Scope = Annotated[str, BeforeValidator(_scope, json_schema_input_type=str)]


class VolumeBoundSpec(Spec):
    """At which volume a condition begins to hold: one of the two."""

    gte: Amount | None = Field(default=None, description="At least: 500M is 500,000,000.")
    lt: Amount | None = Field(default=None, description="Less than.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.gte is None) == (self.lt is None):
            raise ValueError("takes exactly one of gte and lt")
        if self.lt == 0 or self.gte == 0:
            always = "always, because no volume is less" if self.lt is None else "never"
            raise ValueError(f"holds {always}; write a bound above 0")
        return self


class VolumeSpec(Spec):
    """Live volume: exactly one rate, such as tokens_per_day, and how it is judged."""

    tokens_per_minute: VolumeBoundSpec | None = Field(
        default=None, description="Prompt and completion tokens of the last minute."
    )
    tokens_per_hour: VolumeBoundSpec | None = Field(
        default=None, description="Prompt and completion tokens of the last hour."
    )
    tokens_per_day: VolumeBoundSpec | None = Field(
        default=None, description="Prompt and completion tokens of the last 24 hours."
    )
    tokens_per_month: VolumeBoundSpec | None = Field(
        default=None, description="Prompt and completion tokens of the last 30 days."
    )
    requests_per_minute: VolumeBoundSpec | None = Field(
        default=None, description="Requests of the last minute."
    )
    requests_per_hour: VolumeBoundSpec | None = Field(
        default=None, description="Requests of the last hour."
    )
    requests_per_day: VolumeBoundSpec | None = Field(
        default=None, description="Requests of the last 24 hours."
    )
    requests_per_month: VolumeBoundSpec | None = Field(
        default=None, description="Requests of the last 30 days."
    )
    usd_per_minute: VolumeBoundSpec | None = Field(
        default=None, description="USD that attempts of the last minute cost, as far as known."
    )
    usd_per_hour: VolumeBoundSpec | None = Field(
        default=None, description="USD that attempts of the last hour cost, as far as known."
    )
    usd_per_day: VolumeBoundSpec | None = Field(
        default=None, description="USD that attempts of the last 24 hours cost, as far as known."
    )
    usd_per_month: VolumeBoundSpec | None = Field(
        default=None, description="USD that attempts of the last 30 days cost, as far as known."
    )
    of: Scope = Field(
        default="all",
        description="Whose: all, task or tenant (the request's own), or task:NAME, tenant:NAME, model:NAME, "
        "route:NAME, backend:NAME.",
    )
    sustained: Days | None = Field(
        default=None,
        description="Of a rate per day: so many whole UTC days in a row, each of which must reach it: 90d. "
        "Kept over restarts; a day that nobody counted is no day that reached it.",
    )
    exit: Amount | None = Field(
        default=None,
        description="Where it ends to hold again. Default: a tenth below `gte`, or above `lt`.",
    )
    min_dwell: DwellS | None = Field(
        default=None,
        description="How long it stays as it is, once it has changed. Default: 1m; sustained: 1d.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        rates = [name for name in RATES if getattr(self, name) is not None]
        if len(rates) != 1:
            told = f"names {' and '.join(rates)}" if rates else "names no rate"
            raise ValueError(f"{told}; it takes exactly one, such as tokens_per_day: {{gte: 500M}}")
        if self.sustained is not None and not rates[0].endswith("_per_day"):
            raise ValueError(f"is sustained, which fits a rate per day and not {rates[0]}")
        bound: VolumeBoundSpec = getattr(self, rates[0])
        if self.exit is not None:
            enter = bound.gte if bound.gte is not None else bound.lt
            wrong = self.exit > enter if bound.gte is not None else self.exit < enter  # type: ignore[operator]
            if wrong:
                side = "above gte" if bound.gte is not None else "below lt"
                raise ValueError(f"has its exit {side}: it would end before it begins")
        return self


class BreakEvenSpec(Spec):
    """What the traffic of the last 30 days would cost at APIs, against what own machines cost."""

    is_: Literal["above", "below"] = Field(
        alias="is", description="above: the APIs would cost more. below: less."
    )
    of: Names | None = Field(
        default=None,
        description="Backends whose `capacity` is weighed. Default: all that declare one.",
    )
    margin: Share = Field(
        default=Decimal("0.1"),
        description="Share by which one side must cost more before it changes.",
    )
    min_dwell: DwellS = Field(
        default=86_400.0, description="How long it stays as it is, once it has changed."
    )


def _break_even(value: object) -> object:
    return {"is": value} if isinstance(value, str) else value


BreakEvenTest = Annotated[
    BreakEvenSpec,
    BeforeValidator(_break_even, json_schema_input_type=BreakEvenSpec | Literal["above", "below"]),
]


class SaturationSpec(Spec):
    """From when on a backend has as much to do as it can take."""

    max_inflight: Concurrent | None = Field(
        default=None,
        description="Our requests under way there. Default: its `concurrency`, or no limit.",
    )
    queue_depth: QueueDepth = Field(
        default=0,
        description="Requests that may wait in its own queue; one more and it is saturated.",
    )
    kv_cache_pct: Percent = Field(
        default=Decimal(90),
        description="Percent of its KV cache in use, from which on it is saturated.",
    )
    stale_after: WaitS = Field(
        default=Decimal(5),
        description="What it told longer ago counts as saturated. It is asked once a second while in use.",
    )


class CapacitySpec(Spec):
    """What own machines cost, whatever they do, and how much they can do."""

    usd_per_month: UsdMonthly | None = Field(default=None, description="All machines together.")
    usd_per_gpu_hour: UsdPerMtok | None = Field(
        default=None, description="Of one GPU, 730.5 hours a month; with `gpus`."
    )
    gpus: Concurrent = Field(default=1, description="How many GPUs.")
    hidden_usd_per_month: UsdMonthly = Field(
        default=Decimal(0),
        description="What comes on top: people, monitoring, gateway, power.",
    )
    tokens_per_second: Amount | None = Field(
        default=None,
        description="Prompt and completion tokens that they can process. Default: measured.",
    )
    tokens_per_day: Amount | None = Field(
        default=None, description="The same per day; instead of tokens_per_second."
    )
    elastic: Flag = Field(
        default=False,
        description="Whether idle machines are given back, so that a token less is money less.",
    )

    @model_validator(mode="after")
    def _one_cost(self) -> Self:
        if (self.usd_per_month is None) == (self.usd_per_gpu_hour is None):
            raise ValueError("takes exactly one of usd_per_month and usd_per_gpu_hour")
        if self.tokens_per_second is not None and self.tokens_per_day is not None:
            raise ValueError("takes one of tokens_per_second and tokens_per_day")
        return self


class ColdStartSpec(Spec):
    """A backend that may sleep, and how it is woken."""

    takes: WaitS = Field(description="From waking to its first answer, about: 15s.")
    wake: WakeUrl | None = Field(
        default=None,
        description="URL that is asked (POST) to wake it; https, or http within a private network. Default: "
        "its first request wakes it.",
    )
    wake_at: Share = Field(
        default=Decimal("0.8"),
        description="Share of a `volume` threshold at which it is woken ahead, where a route with that "
        "condition uses it.",
    )
    when_cold: Literal["wait", "error"] = Field(
        default="error",
        description="What becomes of requests that only it may answer. wait: within their deadline. error: "
        "they fail with WarmingUp and a time to come back.",
    )
