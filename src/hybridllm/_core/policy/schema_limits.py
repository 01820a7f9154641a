"""What may stand in a policy about load and repeats, as pydantic models: the shape only."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from hybridllm._core.policy.fields import (
    AttemptsMax,
    Concurrent,
    Reserve,
    RetriesMax,
    Share,
    TokenCount,
)
from hybridllm._core.policy.spec import Spec
from hybridllm._core.policy.units import seconds

Priority = Literal["interactive", "batch", "background"]

_HEALTH_PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,255}\Z")
_PERCENTILES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}


class ConcurrencySpec(Spec):
    """How many requests a backend may have at once, where the router finds it out."""

    start: Concurrent | None = Field(
        default=None, description="At first. Default: 32, within min and max."
    )
    min: Concurrent = Field(default=4, description="It never shrinks below.")
    max: Concurrent = Field(default=1_024, description="It never grows above.")

    @field_validator("max")
    @classmethod
    def _above_the_least(cls, value: int, info: ValidationInfo) -> int:
        least = info.data.get("min", 1)
        if value < least:
            raise ValueError(f"is below min, {least}")
        return value


def _concurrency(value: object, read: ValidatorFunctionWrapHandler) -> ConcurrencySpec | None:
    if value is None or value == "auto":
        return None if value is None else ConcurrencySpec()
    if isinstance(value, dict):
        return read(value)  # type: ignore[no-any-return]  # pydantic types every handler as Any
    try:
        return ConcurrencySpec.model_validate({"start": value, "min": value, "max": value})
    except ValueError:
        message = "is not a limit; write auto, a number from 1 to 100,000, or {start: 32, min: 4, max: 256}"
        raise ValueError(message) from None


MaybeConcurrency = Annotated[
    ConcurrencySpec | None,
    WrapValidator(_concurrency, json_schema_input_type=ConcurrencySpec | Literal["auto"] | int),
]


def _health(value: object) -> str:
    if value == "off" or (isinstance(value, str) and _HEALTH_PATH.match(value)):
        return str(value)
    raise ValueError("is not a path; write /health, /v1/models, or off")


HealthPath = Annotated[str, BeforeValidator(_health, json_schema_input_type=str)]


def _hedge_after(value: object) -> int | Decimal:
    """A percentile (as an int), or seconds (as a Decimal)."""
    if isinstance(value, str) and value in _PERCENTILES:
        return _PERCENTILES[value]
    try:
        after_s = seconds(value)
    except ValueError:
        after_s = Decimal(0)
    if not Decimal("0.01") <= after_s <= 600:
        raise ValueError("is no time to hedge after; write p95 (of p50, p90, p95, p99) or 800ms")
    return after_s


HedgeAfter = Annotated[int | Decimal, BeforeValidator(_hedge_after, json_schema_input_type=str)]


class HedgeSpec(Spec):
    """When a second backend is asked for the same, before the first has answered."""

    after: HedgeAfter = Field(
        default=95,
        description="p95: when 95 of 100 would have answered, as measured, and at least after 300ms. Or a "
        "time: 800ms.",
    )
    prompt_tokens_max: TokenCount | None = Field(
        default=None, description="Longer prompts are not hedged: they would be paid twice."
    )


class BudgetSpec(Spec):
    """How many attempts beyond the first of each request the router may make, all requests together."""

    ratio: Share = Field(
        default=Decimal("0.2"),
        description="Share of the requests of the last five seconds that may be tried once more.",
    )
    reserve_per_s: Reserve = Field(
        default=Decimal(1), description="Attempts a second beyond that, saved up."
    )
    reserve_max: Reserve = Field(
        default=Decimal(50), description="How many are saved up at most; at first all of them are."
    )


class RetriesSpec(Spec):
    """How often a request is sent."""

    same_backend_max: RetriesMax = Field(
        default=2, description="Repeats on one backend and model, within one request."
    )
    attempts_max: AttemptsMax = Field(
        default=6, description="Attempts of one request, all backends together."
    )
    budget: BudgetSpec = Field(
        default_factory=BudgetSpec.model_construct,
        description="One bound over retries, failovers and hedges of all requests.",
    )
