"""What may stand in a policy about copies of requests that are sent to another model, as pydantic models."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hybridllm._core.compare.parity import samples_needed
from hybridllm._core.policy.fields import ModelName, UsdMonthly
from hybridllm._core.policy.spec import Spec

SAMPLES_MAX = 100_000


def _share(value: object) -> Decimal:
    """A share as 0.05 or 5%, above 0."""
    text = str(value).strip()
    try:
        share = Decimal(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ArithmeticError:
        share = Decimal(0)
    if isinstance(value, bool) or not share.is_finite() or not 0 < share <= 1:
        raise ValueError("is not a share above 0, up to 1; write 0.05 or 5%")
    return share


def _samples(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= SAMPLES_MAX:
        return value
    raise ValueError(f"is not a number of samples: a whole number from 1 to {SAMPLES_MAX:,}")


Share = Annotated[Decimal, BeforeValidator(_share, json_schema_input_type=float | str)]
Samples = Annotated[int, BeforeValidator(_samples, json_schema_input_type=int)]


class ParitySpec(Spec):
    """When the model counts as good enough, and what happens then."""

    at_least: Share = Field(
        description="Share of answers that must agree: 0.95 or 95%. Proved by a 95 % interval."
    )
    samples: Samples = Field(
        default=300, description="The latest so many comparisons are looked at."
    )
    then: Literal["propose", "shift"] = Field(
        default="propose",
        description="propose: log and status say so. shift: the route asks it first, while parity holds.",
    )

    @model_validator(mode="after")
    def _provable(self) -> Self:
        if self.at_least == 1:
            raise ValueError(
                "asks for all of the answers, which no sample proves; write at_least: 0.99"
            )
        needed = samples_needed(float(self.at_least))
        if self.samples < needed:
            raise ValueError(
                f"can never be proved: {self.at_least:f} needs at least {needed:,} samples; write "
                f"samples: {needed}"
            )
        return self


class ShadowSpec(Spec):
    """Copies of a share of the requests go to another model too; their answers are compared and dropped."""

    model: ModelName = Field(description="Logical model that gets the copies.")
    share: Share = Field(description="Of the route's requests: 0.05 or 5%.")
    max_usd_per_day: UsdMonthly = Field(
        description="Of the UTC day; copies that might cost more are not sent. Of one process."
    )
    parity: ParitySpec | None = Field(
        default=None, description="When the model is good enough. Default: it is only compared."
    )
