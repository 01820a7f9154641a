"""What may stand in a policy's tests, as pydantic models: the shape only."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from hybridllm._core.policy.compiled import Capability
from hybridllm._core.policy.fields import (
    BudgetUsd,
    Chance,
    Count,
    Flag,
    Glob,
    Instant,
    MetadataKey,
    ModelName,
    Name,
    Names,
    TokenCount,
    UsdAmount,
    as_list,
    as_text,
)
from hybridllm._core.policy.schema_given import GivenVolumes, Loads, Side
from hybridllm._core.policy.schema_routes import PercentilesSpec
from hybridllm._core.policy.spec import Spec

Words = Annotated[
    tuple[Glob, ...], BeforeValidator(as_list, json_schema_input_type=str | list[str])
]
Needs = Annotated[
    tuple[Capability, ...],
    BeforeValidator(as_list, json_schema_input_type=Capability | list[Capability]),
]
CandidateNames = Annotated[
    tuple[str, ...],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=str | list[str]),
]
_OF_AN_ANSWER = ("backend", "model", "reason", "escalates_to")


class GivenSpec(Spec):
    """A request, and the state of the world it meets."""

    operation: Literal["chat", "embeddings"] = Field(default="chat", description="What is called.")
    task: Name | None = Field(default=None, description="The request's task.")
    residency: Name | None = Field(default=None, description="Its residency tag.")
    tenant: Glob | None = Field(default=None, description="Its tenant.")
    feature: Glob | None = Field(default=None, description="Its feature.")
    session: Glob | None = Field(default=None, description="Its session.")
    carried: Names | None = Field(
        default=None, description="Residency tags that the session has carried before."
    )
    tags: Words = Field(default=(), description="Tags that the caller gave it.")
    metadata: dict[MetadataKey, Annotated[str, BeforeValidator(as_text)]] = Field(
        default_factory=dict, description="The caller's own keys."
    )
    environment: Name | None = Field(
        default=None, description="Where it runs. Default: the policy's environment."
    )
    model: ModelName | None = Field(default=None, description="Model that the caller pins.")
    vector_space: Name | None = Field(default=None, description="Vector space the caller names.")
    stream: Flag = Field(default=False, description="Whether it is a stream.")
    needs: Needs = Field(default=(), description="Capabilities that it needs.")
    input_tokens: TokenCount = Field(default=0, description="Length of the prompt.")
    max_tokens: TokenCount | None = Field(default=None, description="Of the answer.")
    max_cost_usd: UsdAmount | None = Field(
        default=None, description="What it may be expected to cost, in USD."
    )
    down: Names = Field(default=(), description="Backends that do not answer.")
    in_flight: dict[Name, Count] = Field(
        default_factory=dict, description="Requests under way, by backend."
    )
    ttft_ms: dict[str, PercentilesSpec] = Field(
        default_factory=dict,
        description="Measured time to the first token, by backend or backend/model.",
    )
    total_ms: dict[str, PercentilesSpec] = Field(
        default_factory=dict,
        description="Measured time to a whole answer, by backend or backend/model.",
    )
    load: Loads = Field(
        default_factory=dict,
        description="How busy backends are: {vllm-fra: {waiting: 9}}; * is every one of your own.",
    )
    volume: GivenVolumes = Field(
        default=(), description="What has come in: {tokens_per_day: 600M, sustained: 120d}."
    )
    break_even: Side | None = Field(
        default=None,
        description="Whether the APIs would cost more (above) or less than own machines.",
    )
    spent: dict[Glob, BudgetUsd] = Field(
        default_factory=dict,
        description="USD that were spent of budgets in their running period, by their names.",
    )
    now: Instant | None = Field(
        default=None,
        description="The time: 2026-12-01T09:00Z. Default: Monday, 5 January 2026, noon UTC.",
    )
    chance: Chance = Field(
        default=Decimal(0), description="What is drawn for a split without a value to stick to."
    )

    @field_validator("stream")
    @classmethod
    def _fits_the_operation(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("operation") == "embeddings":
            raise ValueError("does not fit embeddings, which cannot be streamed")
        return value

    @field_validator("carried")
    @classmethod
    def _of_a_session(
        cls, value: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        if value and info.data.get("session") is None:
            raise ValueError("is kept by a session; give `session` as well, as a call must")
        return value


PLAIN = GivenSpec.model_construct()
"""A plain request in a world where all is well; made once, since a file may hold a thousand cases."""


class ExpectSpec(Spec):
    """What the policy must make of it; at least one key."""

    route: str | None = Field(default=None, description="The route that decides, or (pinned).")
    backend: Name | None = Field(default=None, description="The backend that answers.")
    model: ModelName | None = Field(default=None, description="The model that answers.")
    reason: Literal["primary", "failover", "fallback", "overflow"] | None = Field(
        default=None, description="Why that one answers."
    )
    error: Literal["policy_denied", "budget_exceeded", "route_exhausted", "warming_up"] | None = (
        Field(default=None, description="What is raised instead of an answer.")
    )
    rule: str | None = Field(default=None, description="What denies it: residency 'phi'.")
    candidates: CandidateNames | None = Field(
        default=None, description="All that may be asked, backend/model, in order."
    )
    escalates_to: ModelName | None = Field(
        default=None,
        description="The model that a cascade asks if the answer does not pass its checks.",
    )
    never: Names | None = Field(
        default=None, description="Backends that may not be among the candidates."
    )

    @property
    def denial(self) -> bool:
        """Whether the policy is to deny the request."""
        return self.error == "policy_denied" or self.rule is not None

    @model_validator(mode="after")
    def _something_possible(self) -> ExpectSpec:
        written = self.model_fields_set
        given = [name for name in _EXPECTED if name in written and getattr(self, name) is not None]
        if not given:
            raise ValueError(f"expects nothing; write one of {', '.join(_EXPECTED)}")
        answered = [name for name in given if name in _OF_AN_ANSWER]
        if answered and (self.error is not None or self.denial):
            error = "error" if self.error is not None else "rule"
            raise ValueError(f"expects an answer ({', '.join(answered)}) and an error ({error})")
        if self.rule is not None and self.error not in (None, "policy_denied"):
            what = {
                "budget_exceeded": "a budget without room",
                "route_exhausted": "an exhausted route",
            }.get(self.error, "a backend that sleeps")
            raise ValueError(f"expects a rule that denies, and {what}; write one of them")
        if self.denial and self.candidates is not None:
            raise ValueError("expects a denial, which has no candidates; leave out `candidates`")
        return self


_EXPECTED = tuple(ExpectSpec.model_fields)


class CaseSpec(Spec):
    """A test of the policy: given this request and this world, expect that."""

    name: str | None = Field(
        default=None, max_length=200, description="What it shows, in a sentence."
    )
    given: GivenSpec = Field(default_factory=lambda: PLAIN, description="Request and world.")
    expect: ExpectSpec = Field(description="What must come of it.")
