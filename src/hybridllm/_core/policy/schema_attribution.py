"""What may stand in a policy about whom money is attributed to, as pydantic models: the shape only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from hybridllm._core.policy.fields import MetadataKey, as_list
from hybridllm._core.policy.spec import Spec

KEYS_MAX = 16
BaggageHint = Literal["tenant", "feature", "user_id", "session"]


class AttributionSpec(Spec):
    """Whom money is attributed to, beyond tenant, feature, task, user and session."""

    keys: Annotated[
        tuple[MetadataKey, ...],
        Field(min_length=1, max_length=KEYS_MAX),
        BeforeValidator(as_list, json_schema_input_type=str | list[str]),
    ] = Field(
        default=(),
        description="Keys of the caller's metadata that receipts, ledger and spans keep; all others they "
        "never see. Default: none.",
    )
    from_baggage: dict[BaggageHint, MetadataKey] = Field(
        default_factory=dict,
        description="Hints that a request without them takes from W3C baggage, and the key there. Whoever "
        "calls your application chooses what baggage says: only where that is trusted. Default: none.",
    )

    @field_validator("keys")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("names a key twice")
        return value
