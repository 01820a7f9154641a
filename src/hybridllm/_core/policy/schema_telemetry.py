"""What may stand in a policy about metrics and spans, as pydantic models: the shape only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from hybridllm._core.policy.fields import Names, as_list
from hybridllm._core.policy.spec import Spec
from hybridllm._core.policy.telemetry import Dialect

MetricKey = Literal["feature", "task"]
MetricKeys = Annotated[
    tuple[MetricKey, ...],
    BeforeValidator(as_list, json_schema_input_type=MetricKey | list[MetricKey]),
]
Dialects = Annotated[
    tuple[Dialect, ...], BeforeValidator(as_list, json_schema_input_type=Dialect | list[Dialect])
]


class MetricsSpec(Spec):
    """Whose money the metric `hybridllm.cost` tells apart. The ledger tells all of it apart."""

    attribution: MetricKeys = Field(
        default=(), description="Of feature and task, those that it tells apart. Default: none."
    )
    tenants: Names | None = Field(
        default=None,
        max_length=200,
        description="Tenants that it tells apart; all others are `other`. At most 200. Default: it tells "
        "of no tenant.",
    )


class TelemetrySpec(Spec):
    """What metrics and spans say beyond what they always say."""

    metrics: MetricsSpec = Field(
        default_factory=MetricsSpec.model_construct, description="What metrics tell apart."
    )
    dialects: Dialects = Field(
        default=(),
        description="Tools whose own names spans carry too, so that they show our costs. Default: none.",
    )
