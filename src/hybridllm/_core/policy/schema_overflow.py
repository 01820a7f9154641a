"""What may stand in a policy about leaving a backend that has too much to do, as pydantic models."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from hybridllm._core.policy.fields import Above, Names, QueueMs
from hybridllm._core.policy.schema_hybrid import Amount
from hybridllm._core.policy.spec import Spec

WORDS = ("saturated", "rate_limited", "outage", "budget")


class AboveSpec(Spec):
    """A bound on a number."""

    gt: Above = Field(description="More than.")


class SpendSpec(Spec):
    """Money that a backend may cost; `true` in its place: our credit there, as it says itself."""

    usd: Amount | None = Field(description="From so much on it is left.")
    per: Literal["day", "month"] = Field(
        default="day", description="Of the UTC day, or the UTC month."
    )

    @field_validator("usd")
    @classmethod
    def _some(cls, value: Decimal | None) -> Decimal | None:
        if not value:
            raise ValueError("is no budget; write {usd: 50, per: day}")
        return value


def _yes(value: object) -> bool:
    if value is True or value == "true":
        return True
    raise ValueError("is not true; leave it out where it is no cause")


def _spend(value: object) -> object:
    if isinstance(value, dict):
        return value
    if value is True or value == "true":
        return SpendSpec.model_construct(usd=None)
    raise ValueError("is no budget; write true, or {usd: 50, per: day}")


Yes = Annotated[bool, BeforeValidator(_yes, json_schema_input_type=Literal[True])]
Spend = Annotated[
    SpendSpec, BeforeValidator(_spend, json_schema_input_type=SpendSpec | Literal[True])
]


class CausesSpec(Spec):
    """Why requests leave; any one is enough."""

    saturated: Yes | None = Field(
        default=None,
        description="It has as much to do as it can take (`saturation`, `concurrency`).",
    )
    predicted_wait_ms: AboveSpec | None = Field(
        default=None,
        description="A new request would wait so long for its first token: {gt: 1500}.",
    )
    kv_cache_pct: AboveSpec | None = Field(
        default=None, description="Percent of its KV cache in use: {gt: 85}."
    )
    inflight: AboveSpec | None = Field(
        default=None, description="Our requests under way there: {gt: 64}."
    )
    rate_limited: Yes | None = Field(
        default=None, description="It said 429, until its Retry-After has passed."
    )
    outage: Yes | None = Field(default=None, description="Its breaker is open.")
    budget: Spend | None = Field(
        default=None,
        description="Our credit there is used up, as it says itself; or {usd: 50, per: day} is.",
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("names no cause; write saturated, or {predicted_wait_ms: {gt: 1500}}")
        return self


def _causes(value: object, read: ValidatorFunctionWrapHandler) -> CausesSpec:
    if isinstance(value, dict):
        return read(value)  # type: ignore[no-any-return]  # pydantic types every handler as Any
    words = value if isinstance(value, list) else [value]
    wrong = [word for word in words if word not in WORDS]
    if wrong or not words:
        told = f"holds {str(wrong[0])[:20]!r}, which is no cause" if words else "names no cause"
        raise ValueError(
            f"{told if isinstance(value, list) else 'is no cause'}; write {', '.join(WORDS)}, or a bound: "
            "{predicted_wait_ms: {gt: 1500}}"
        )
    return read(dict.fromkeys(words, True))  # type: ignore[no-any-return]


Causes = Annotated[
    CausesSpec,
    WrapValidator(
        _causes,
        json_schema_input_type=CausesSpec
        | Literal["saturated", "rate_limited", "outage", "budget"]
        | list[Literal["saturated", "rate_limited", "outage", "budget"]],
    ),
]


class OverflowSpec(Spec):
    """Leaving backends that have too much to do, and coming back when they have not."""

    from_: Names = Field(alias="from", description="Backends that are left.")
    to: Names = Field(description="Backends that take what leaves; otherwise asked after `from`.")
    when: Causes = Field(description="Why: saturated, rate_limited, outage, budget, or a bound.")
    queue_ms: QueueMs | None = Field(
        default=None,
        description="How long a request that may not leave waits for a slot, or for a backend that is out; "
        "then it fails with Overloaded or BackendsUnavailable. Default: for a slot by its priority, 1s for "
        "interactive; for one that is out not at all.",
    )


def _as_overflows(value: object) -> object:
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return value
    raise ValueError(
        "is no overflow; write {from: own, to: [api], when: saturated}, or a list of such"
    )


Overflows = Annotated[
    tuple[OverflowSpec, ...],
    Field(min_length=1, max_length=8),
    BeforeValidator(_as_overflows, json_schema_input_type=OverflowSpec | list[OverflowSpec]),
]
