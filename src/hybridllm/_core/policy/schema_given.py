"""What a test of a policy may say of loads and volumes, as pydantic models: the shape only."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hybridllm._core.policy.fields import Count, Flag, LoadName, Share100, WaitMs, WaitS
from hybridllm._core.policy.schema_hybrid import RATES, Amount, Days, Scope
from hybridllm._core.policy.spec import Spec


class GivenLoadSpec(Spec):
    """How busy a backend is. What is not said is not known; its requests in flight are `in_flight`."""

    saturated: Flag = Field(
        default=False,
        description="Whether it has as much to do as it can take, whatever the figures say.",
    )
    waiting: Count | None = Field(default=None, description="Requests in its queue.")
    kv_cache_pct: Share100 | None = Field(
        default=None, description="Percent of its KV cache in use."
    )
    predicted_wait_ms: WaitMs | None = Field(
        default=None, description="How long a new request would wait for its first token."
    )
    rate_limited: Flag = Field(
        default=False, description="Whether it said 429, and its Retry-After has not passed."
    )
    out: Flag = Field(default=False, description="Whether its breaker is open.")
    budget: Flag = Field(
        default=False,
        description="Whether what an overflow allows it to cost, or our credit, is used up.",
    )
    cold: WaitS | None = Field(
        default=None, description="It sleeps, or wakes up, and is awake in so long: 15s."
    )


class GivenVolumeSpec(Spec):
    """What has come in; at least one rate. A rate that is not given fulfils no condition."""

    tokens_per_minute: Amount | None = Field(default=None, description="Tokens of the last minute.")
    tokens_per_hour: Amount | None = Field(default=None, description="Tokens of the last hour.")
    tokens_per_day: Amount | None = Field(default=None, description="Tokens of the last 24 hours.")
    tokens_per_month: Amount | None = Field(default=None, description="Tokens of the last 30 days.")
    requests_per_minute: Amount | None = Field(
        default=None, description="Requests of the last minute."
    )
    requests_per_hour: Amount | None = Field(default=None, description="Requests of the last hour.")
    requests_per_day: Amount | None = Field(
        default=None, description="Requests of the last 24 hours."
    )
    requests_per_month: Amount | None = Field(
        default=None, description="Requests of the last 30 days."
    )
    usd_per_minute: Amount | None = Field(
        default=None, description="USD that the last minute cost."
    )
    usd_per_hour: Amount | None = Field(default=None, description="USD that the last hour cost.")
    usd_per_day: Amount | None = Field(default=None, description="USD that the last 24 hours cost.")
    usd_per_month: Amount | None = Field(
        default=None, description="USD that the last 30 days cost."
    )
    sustained: Days | None = Field(
        default=None,
        description="On so many whole days in a row so much came: 120d. With a rate per day.",
    )
    of: Scope | None = Field(
        default=None,
        description="Whose, as the condition's `of` has it. Default: of whatever a condition looks at.",
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        rates = [name for name in RATES if getattr(self, name) is not None]
        if not rates:
            raise ValueError("names no rate; write {tokens_per_day: 600M}")
        if self.sustained is not None and not any(name.endswith("_per_day") for name in rates):
            raise ValueError(f"is sustained, which fits a rate per day and not {rates[0]}")
        return self


def _as_volumes(value: object) -> object:
    return [value] if isinstance(value, dict) else value


Loads = dict[LoadName, GivenLoadSpec]
GivenVolumes = Annotated[
    tuple[GivenVolumeSpec, ...],
    Field(max_length=32),
    BeforeValidator(_as_volumes, json_schema_input_type=GivenVolumeSpec | list[GivenVolumeSpec]),
]
Side = Literal["above", "below"]
