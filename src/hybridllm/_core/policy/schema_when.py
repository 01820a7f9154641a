"""What may stand under `when`, as pydantic models: the shape only."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from hybridllm._core.policy.compiled import Bucket, Capability
from hybridllm._core.policy.fields import (
    LIST_LENGTH_MAX,
    Bound,
    ClockMinute,
    FirstMinute,
    Flag,
    Glob,
    Globs,
    MetadataKey,
    TextGlobs,
    Weekdays,
    Zone,
    as_list,
)
from hybridllm._core.policy.schema_hybrid import BreakEvenTest, VolumeSpec
from hybridllm._core.policy.spec import Spec


def _reserved(value: object) -> None:
    raise PydanticCustomError("reserved", "is reserved")


Reserved = Annotated[None, BeforeValidator(_reserved), WithJsonSchema({"not": {}})]
"""A key that later versions will know; today it is refused, and told apart from a misspelt one."""


# Which names there are is asked in `references_when.py`; these tell editors what to propose.
BucketGlobs = Annotated[
    tuple[Glob, ...],
    Field(min_length=1, max_length=LIST_LENGTH_MAX),
    BeforeValidator(as_list, json_schema_input_type=Bucket | str | list[Bucket | str]),
]
CapabilityGlobs = Annotated[
    tuple[Glob, ...],
    Field(min_length=1, max_length=LIST_LENGTH_MAX),
    BeforeValidator(as_list, json_schema_input_type=Capability | str | list[Capability | str]),
]

UNWRITTEN = "\0"
"""Key of what a file writes without a key. No file can hold it: a control character is refused."""


class BoundsSpec(Spec):
    """Bounds of a number; all that are given hold. Sizes may be written `8K`."""

    gte: Bound | None = Field(default=None, description="At least.")
    gt: Bound | None = Field(default=None, description="More than.")
    lte: Bound | None = Field(default=None, description="At most.")
    lt: Bound | None = Field(default=None, description="Less than.")

    @model_validator(mode="after")
    def _satisfiable(self) -> Self:
        if self._is_other():
            return self
        least = max((one for one in (self.gte, self.gt) if one is not None), default=None)
        most = min((one for one in (self.lte, self.lt) if one is not None), default=None)
        if least is None and most is None:
            raise ValueError("has no bound; write {gte: 8K}, with gte, gt, lte or lt")
        if least is not None and most is not None:
            strict = (self.gt == least) or (self.lt == most)
            if least > most or (strict and least == most):
                raise ValueError("holds for no number: its bounds exclude each other")
        return self

    def _is_other(self) -> bool:
        """Return whether something else than bounds is given."""
        return False


class MetadataTestSpec(BoundsSpec):
    """A name, a pattern or a list of them; or bounds, for values that are numbers."""

    names: TextGlobs | None = Field(
        default=None, alias="\0", description="Written without its key."
    )

    def _is_other(self) -> bool:
        return self.names is not None


def _metadata_test(value: object) -> object:
    return value if isinstance(value, dict) else {UNWRITTEN: value}


MetadataTest = Annotated[
    MetadataTestSpec,
    BeforeValidator(
        _metadata_test,
        json_schema_input_type=str | float | bool | list[str | float | bool] | BoundsSpec,
    ),
]


class TimeSpec(Spec):
    """Hours of the day, on some days of the week, as clocks in a zone show them."""

    from_: FirstMinute = Field(
        default=0, alias="from", description="Begin of the window, included: 08:00. Default: 00:00."
    )
    to: ClockMinute = Field(
        default=1_440,
        description="End of the window, not included: 18:00. Before `from`: on the next day. Default: 24:00.",
    )
    weekdays: Weekdays = Field(
        default=(0, 1, 2, 3, 4, 5, 6),
        description="Days on which the window begins: mon, mon-fri, [sat, sun]. Default: all.",
    )
    zone: Zone = Field(default="UTC", description="Of the clock: Europe/Berlin. Default: UTC.")

    @model_validator(mode="after")
    def _some_time(self) -> TimeSpec:
        if self.from_ == self.to:
            raise ValueError("is a window without length: `from` and `to` are the same")
        return self


class WhenSpec(Spec):
    """Conditions: all must hold. Most take a name, a pattern (`acme-*`) or a list of them."""

    task: Globs | None = Field(default=None, description="The request's task.")
    bucket: BucketGlobs | None = Field(
        default=None, description="The bucket of the request's task."
    )
    residency: Globs | None = Field(
        default=None, description="A residency tag that holds for the request."
    )
    tenant: Globs | None = Field(default=None, description="The request's tenant.")
    feature: Globs | None = Field(default=None, description="The request's feature.")
    session: Globs | None = Field(default=None, description="The request's session.")
    environment: Globs | None = Field(default=None, description="The router's environment.")
    capability: CapabilityGlobs | None = Field(
        default=None, description="A capability that the request needs: vision, embeddings, ..."
    )
    tags: Globs | None = Field(
        default=None, description="A tag that the caller gave the request; not a residency tag."
    )
    stream: Flag | None = Field(default=None, description="Whether the request is a stream.")
    input_tokens: BoundsSpec | None = Field(
        default=None, description="Length of the prompt, as estimated: {gte: 8K}."
    )
    metadata: dict[MetadataKey, MetadataTest] | None = Field(
        default=None,
        min_length=1,
        description="Keys of the request's metadata: {plan: [pro, ent-*], seats: {gte: 100}}.",
    )
    time: TimeSpec | None = Field(default=None, description="Hours and weekdays.")
    not_: WhenSpec | None = Field(
        default=None, alias="not", description="Conditions that must not hold together."
    )
    any: tuple[WhenSpec, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="Sets of conditions, of which one must hold.",
    )
    volume: VolumeSpec | None = Field(
        default=None, description="Live volume: {tokens_per_day: {gte: 500M}, sustained: 90d}."
    )
    budget: Reserved = Field(default=None, description="Reserved for money spent.")
    load: Reserved = Field(default=None, description="Reserved for live load of backends.")
    break_even: BreakEvenTest | None = Field(
        default=None,
        description="above: the APIs would cost more than the own machines do (`capacity`). below: less.",
    )
