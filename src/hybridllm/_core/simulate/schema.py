"""Traffic that may come, as a file writes it: how much, when, and of which kinds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from hybridllm._core.policy import units
from hybridllm._core.policy.fields import Flag, Name, Weight
from hybridllm._core.policy.spec import Spec

HOURS = 24
Count = Annotated[int, BeforeValidator(units.count)]


class LengthSpec(Spec):
    """How long something is: half of it up to the median, 95 of 100 up to `p95`; lognormal."""

    median: Count = Field(description="In tokens.", gt=0)
    p95: Count | None = Field(default=None, description="In tokens. Default: all have the median.")

    @model_validator(mode="after")
    def _in_order(self) -> LengthSpec:
        if self.p95 is not None and self.p95 < self.median:
            raise ValueError(f"p95 {self.p95} is below the median {self.median}")
        return self


class KindSpec(Spec):
    """One kind of requests."""

    share: Weight = Field(description="Of all requests, against the other shares.")
    task: Name | None = Field(default=None, description="Task class.")
    residency: Name | None = Field(default=None, description="Residency tag.")
    tenant: Name | None = Field(default=None, description="Who pays.")
    feature: Name | None = Field(default=None, description="What it is for.")
    stream: Flag = Field(default=False, description="Whether a stream is wanted.")
    input_tokens: LengthSpec = Field(description="Of a prompt.")
    output_tokens: LengthSpec = Field(description="Of an answer.")


class TrafficSpec(Spec):
    """A traffic file."""

    version: Literal[1] = Field(description="Of the format of this file: 1.")
    requests_per_day: Count = Field(description="In the first month, on average.", gt=0)
    growth_per_month: Annotated[float, Field(ge=-0.9, le=10)] = Field(
        default=0.0, description="Of the requests a day: 0.1 is a tenth more each month."
    )
    hours: tuple[Weight, ...] = Field(
        default=(),
        description="24 weights, of the hours of a UTC day. Default: all alike.",
        max_length=HOURS,
    )
    mix: tuple[KindSpec, ...] = Field(description="The kinds of requests.", min_length=1)

    @model_validator(mode="after")
    def _whole_day(self) -> TrafficSpec:
        if self.hours and len(self.hours) != HOURS:
            raise ValueError(f"hours has {len(self.hours)} weights; a day has {HOURS}")
        return self
