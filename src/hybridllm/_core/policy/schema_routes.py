"""What may stand in routes, buckets and constraints, as pydantic models: the shape only."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from hybridllm._core.policy.compiled import Bucket
from hybridllm._core.policy.fields import (
    Milliseconds,
    ModelName,
    Name,
    Names,
    Retentions,
    StickyBy,
    UsdAmount,
    UsdPerMtok,
    Weight,
    as_list,
)
from hybridllm._core.policy.schema_cache import CacheSpec
from hybridllm._core.policy.schema_cascade import CascadeSpec
from hybridllm._core.policy.schema_overflow import Overflows
from hybridllm._core.policy.schema_shadow import ShadowSpec
from hybridllm._core.policy.schema_when import WhenSpec
from hybridllm._core.policy.spec import Spec

Operator = Literal["self", "third_party"]
Operators = Annotated[
    tuple[Operator, ...],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=Operator | list[Operator]),
]
ModelNames = Annotated[
    tuple[ModelName, ...],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=str | list[str]),
]
Mode = Literal["enforce", "observe"]
Order = Literal["price", "latency", "load", "marginal_price", "prefix"]
ENTRY_KINDS = ("model", "tier", "bucket", "split")


class PercentilesSpec(Spec):
    """Milliseconds that a share of the requests stays below."""

    p50: Milliseconds | None = Field(default=None, description="Half of them.")
    p90: Milliseconds | None = Field(default=None, description="Nine of ten.")
    p95: Milliseconds | None = Field(default=None, description="19 of 20.")
    p99: Milliseconds | None = Field(default=None, description="99 of 100.")

    @field_validator("p90", "p95", "p99")
    @classmethod
    def _not_below_a_smaller_share(
        cls, value: Decimal | None, info: ValidationInfo
    ) -> Decimal | None:
        for share, ms in info.data.items():
            if value is not None and ms is not None and ms > value:
                raise ValueError(
                    f"is below {share}, {ms:f}: more requests cannot be faster than fewer"
                )
        return value

    @model_validator(mode="after")
    def _some(self) -> PercentilesSpec:
        if not self.model_fields_set:
            raise ValueError("names no percentile; write {p90: 800}")
        return self


class SloSpec(Spec):
    """A latency objective. Who is measured to miss it is asked after all others, never dropped."""

    ttft_ms: PercentilesSpec | None = Field(
        default=None, description="Time to a stream's first token: {p90: 800}."
    )
    total_ms: PercentilesSpec | None = Field(
        default=None, description="Time to a whole answer: {p50: 2000}."
    )

    @model_validator(mode="after")
    def _some(self) -> SloSpec:
        if not self.model_fields_set:
            raise ValueError("is empty; write {ttft_ms: {p90: 800}}")
        return self


class CeilingsSpec(Spec):
    """What a candidate may cost. One whose price is not known is above every ceiling."""

    max_output_price: UsdPerMtok | None = Field(
        default=None, description="USD per 1,000,000 completion tokens."
    )
    max_request_cost: UsdAmount | None = Field(
        default=None,
        description="USD that the request is expected to cost, by its own prompt and max_tokens.",
    )


class UseSpec(CeilingsSpec):
    """Whom to ask: one of model, tier, bucket and split; and what narrows or orders them."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [kind]} for kind in ENTRY_KINDS]}
    )
    model: ModelName | None = Field(default=None, description="A model of `models`.")
    tier: Name | None = Field(
        default=None, description="Every model of a price tier; the cheapest for the request first."
    )
    bucket: Bucket | None = Field(default=None, description="What `buckets` says of it.")
    split: dict[ModelName, Weight] | None = Field(
        default=None,
        min_length=1,
        description="Models with weights: each gets its share of the requests. {a: 70, b: 30}.",
    )
    sticky_by: StickyBy | None = Field(
        default=None,
        description="Of a split: requests with the same value get the same model. session (default), tenant, "
        "feature, or metadata.KEY.",
    )
    on: Names | None = Field(
        default=None,
        description="The only backends to ask; in this order, where neither price nor weights nor "
        "order_by give another. Default: all that serve it, by load.",
    )
    order_by: Order | None = Field(
        default=None, description="Who is asked first. Default: load; with `on`, its order."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> UseSpec:
        kinds = [kind for kind in ENTRY_KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            told = f"names {' and '.join(kinds)}" if kinds else "names nobody"
            raise ValueError(f"{told}; it takes exactly one of {', '.join(ENTRY_KINDS)}")
        return self

    @field_validator("order_by")
    @classmethod
    def _not_of_a_split(cls, value: Order | None, info: ValidationInfo) -> Order | None:
        if value is not None and info.data.get("split"):
            raise ValueError("does not fit a split, which is ordered by its weights")
        return value

    @field_validator("sticky_by")
    @classmethod
    def _of_a_split(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("split", value) is None:
            raise ValueError("fits a split only; write it beside `split`")
        return value


def _used(value: object) -> object:
    return {"model": value} if isinstance(value, str) else value


def _as_uses(value: object) -> object:
    return [value] if isinstance(value, (str, dict)) else value


Used = Annotated[UseSpec, BeforeValidator(_used, json_schema_input_type=UseSpec | str)]
Uses = Annotated[
    tuple[Used, ...],
    Field(min_length=1),
    BeforeValidator(_as_uses, json_schema_input_type=UseSpec | str | list[UseSpec | str]),
]


class BucketSpec(CeilingsSpec):
    """Whom to ask for tasks of a bucket; routes take it by `use: [{bucket: ...}]`."""

    use: Uses = Field(description="As in a route.")


class RouteSpec(CeilingsSpec):
    """A rule: the first one whose `when` holds decides."""

    name: Name = Field(description="Shown in receipts, spans and explanations; used once.")
    mode: Mode = Field(
        default="enforce",
        description="observe: it is evaluated and counted, and the next route decides.",
    )
    when: WhenSpec = Field(
        default_factory=WhenSpec.model_construct,
        description="Conditions. Default: none, it takes every request.",
    )
    use: Uses = Field(description="Whom to ask, in this order.")
    fallbacks: Uses | None = Field(
        default=None,
        description="Whom to ask when all of `use` failed; the receipt marks their answers.",
    )
    order_by: Order | None = Field(
        default=None,
        description="Orders all candidates of `use` together. Default: entry by entry.",
    )
    slo: SloSpec | None = Field(
        default=None, description="Latency objective; a task's own holds too."
    )
    overflow: Overflows | None = Field(
        default=None,
        description="When requests leave a backend that has too much to do, and for whom. Both are in `use` "
        "or `fallbacks`.",
    )
    shadow: ShadowSpec | None = Field(
        default=None,
        description="Copies of some requests go to another model, to compare. Default: none.",
    )
    cache: CacheSpec | None = Field(
        default=None,
        description="Whether answers are kept for equal requests, in memory. Default: no.",
    )
    cascade: CascadeSpec | None = Field(
        default=None,
        description="A cheap answer first, and a better model where it does not pass. Both are in `use` or "
        "`fallbacks`.",
    )


class AllowSpec(Spec):
    """What is allowed; what is left out is not restricted."""

    regions: Names | None = Field(default=None, description="Regions of backends.")
    operators: Operators | None = Field(default=None, description="Operators of backends.")
    retention: Retentions | None = Field(default=None, description="Retention terms of backends.")
    backends: Names | None = Field(default=None, description="Backends.")
    models: ModelNames | None = Field(default=None, description="Models.")


class DenySpec(Spec):
    """What is never used."""

    backends: Names | None = Field(default=None, description="Backends.")
    models: ModelNames | None = Field(default=None, description="Models.")


class ConstraintSpec(CeilingsSpec):
    """A restriction on every request that it fits, whatever route decides or model is pinned."""

    name: Name = Field(description="Shown where it drops or denies; used once.")
    when: WhenSpec = Field(
        default_factory=WhenSpec.model_construct,
        description="Conditions. Default: none, it holds for every request.",
    )
    allow: AllowSpec = Field(
        default_factory=AllowSpec.model_construct, description="The only ones that may be asked."
    )
    deny: DenySpec = Field(
        default_factory=DenySpec.model_construct, description="Those that may not be asked."
    )
    mode: Mode = Field(
        default="enforce",
        description="observe: it is evaluated and counted, and drops nobody. Not where data may go.",
    )

    @field_validator("mode")
    @classmethod
    def _data_is_never_observed(cls, value: Mode, info: ValidationInfo) -> Mode:
        allow = info.data.get("allow")
        if (
            value == "observe"
            and isinstance(allow, AllowSpec)
            and (allow.regions or allow.operators or allow.retention)
        ):
            raise ValueError(
                "does not fit a constraint on regions, operators or retention: where data may go is "
                "enforced or not said"
            )
        return value
