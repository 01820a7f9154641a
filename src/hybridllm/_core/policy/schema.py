"""What may stand in a policy file, as pydantic models: the shape only.

Whether names fit together is told by `references.py`; what they come to, by `compile.py`. The models
also give the JSON Schema that editors use (`json_schema.py`). Field names are the file's keys.
"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from hybridllm._core.policy.addresses import plainly_private
from hybridllm._core.policy.base_url import checked_base_url, host_of
from hybridllm._core.policy.compiled import BackendKind, Bucket, Capability
from hybridllm._core.policy.fields import (
    ConnectS,
    ContextTokens,
    Dimensions,
    Flag,
    HeaderName,
    HeaderValue,
    ModelName,
    Name,
    Names,
    RequestS,
    Retention,
    Retentions,
    TaintS,
    VariableName,
    WaitS,
    WireName,
    as_empty_mapping,
    as_list,
)
from hybridllm._core.policy.schema_attribution import AttributionSpec
from hybridllm._core.policy.schema_budgets import Budgets
from hybridllm._core.policy.schema_hybrid import CapacitySpec, ColdStartSpec, SaturationSpec
from hybridllm._core.policy.schema_limits import (
    HealthPath,
    HedgeSpec,
    MaybeConcurrency,
    Priority,
    RetriesSpec,
)
from hybridllm._core.policy.schema_price import Currency, MaybePrice, SheetEntrySpec, UsdPerUnit
from hybridllm._core.policy.schema_routes import (
    BucketSpec,
    ConstraintSpec,
    Operator,
    Operators,
    RouteSpec,
    SloSpec,
)
from hybridllm._core.policy.schema_telemetry import TelemetrySpec
from hybridllm._core.policy.schema_tests import CaseSpec
from hybridllm._core.policy.spec import Spec
from hybridllm._core.policy.units import usd

Capabilities = Annotated[
    tuple[Capability, ...],
    BeforeValidator(as_list, json_schema_input_type=Capability | list[Capability]),
]


class BackendTimeoutsSpec(Spec):
    """Limits of one attempt on a backend; the time left of a request's deadline also limits each."""

    connect: ConnectS | None = Field(
        default=None, description="DNS, TCP and TLS together. Default: 2s."
    )
    first_token: WaitS | None = Field(
        default=None,
        description="From sending to a stream's first token. Default: 10s for kind api, 20s for kind vllm.",
    )
    idle: WaitS | None = Field(
        default=None, description="Between two tokens of a stream. Default: 20s."
    )
    attempt: RequestS | None = Field(
        default=None,
        description="One attempt that is no stream. Default: an equal share of the time left for each "
        "candidate left.",
    )


class TaskTimeoutsSpec(BackendTimeoutsSpec):
    """Limits of a request of this task; they go before the backend's."""

    total: RequestS | None = Field(
        default=None,
        description="The whole request, retries and stream included, unless the caller sets a "
        "deadline. Default: 60s.",
    )


class BackendSpec(Spec):
    """An OpenAI-compatible endpoint, and the name of our credentials for it."""

    kind: BackendKind = Field(description="api: a hosted API. vllm: a vLLM server.")
    allow_plaintext: Flag = Field(
        default=False,
        description="Allows http:// to another machine: prompts and keys go over the network unencrypted.",
    )
    private: Flag | None = Field(
        default=None,
        description="Whether its host may have an address of a private network. Default: yes for kind vllm, "
        "for operator: self, for http:// and for a host that is plainly private (localhost, 10.0.0.7, "
        "llm.internal); no for any other. Link-local and metadata addresses: never.",
    )
    base_url: str = Field(description="Up to and including /v1; https, or http to this machine.")
    api_key_env: VariableName | None = Field(
        default=None,
        description="Name of the environment variable that holds the key. Default: no key is sent.",
    )
    region: Name | None = Field(
        default=None,
        description="Where the data goes. Undeclared, no tag that asks for a region allows the backend.",
    )
    operator: Operator | None = Field(
        default=None,
        description="Who runs it. Undeclared, no tag that asks for an operator allows the backend.",
    )
    retention: Retention | None = Field(
        default=None,
        description="How long it keeps data: none, 30d. Undeclared, no tag that asks for a retention "
        "allows the backend.",
    )
    environments: Names | None = Field(
        default=None, description="Environments that may use it. Default: all."
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict,
        max_length=32,
        description="Sent with every request. Never credentials, never what the router sets itself.",
    )
    price: MaybePrice = Field(
        default=None,
        description="For every model on it that says nothing else under `on`; free: tokens cost nothing.",
    )
    timeouts: BackendTimeoutsSpec = Field(
        default_factory=BackendTimeoutsSpec.model_construct,
        description="Of this backend, unless a task sets its own.",
    )
    prefill: Flag = Field(
        default=False,
        description="Whether it goes on with a last message of the assistant (vLLM: continue_final_message).",
    )
    concurrency: MaybeConcurrency = Field(
        default=None,
        description="Requests it may have at once; more wait for a moment, the most urgent first. auto: "
        "found by watching how soon first tokens come. Default: no limit.",
    )
    health: HealthPath | None = Field(
        default=None,
        description="Path that is looked at while its breaker is open, so that it is tried again soon after "
        "it is back; off: none. Default: /health for kind vllm, the list of models for kind api.",
    )
    propagate_trace: Flag | None = Field(
        default=None,
        description="Whether traceparent is sent to it. Default: only to a vLLM with operator: self.",
    )
    saturation: SaturationSpec | None = Field(
        default=None,
        description="From when on it has as much to do as it can take; what `overflow` looks at. Default: "
        "{queue_depth: 0, kv_cache_pct: 90, stale_after: 5s}.",
    )
    capacity: CapacitySpec | None = Field(
        default=None,
        description="What it costs, whatever it does, and how much it can do. Of machines of your own.",
    )
    cold_start: ColdStartSpec | None = Field(
        default=None,
        description="Says that it may sleep, and how it is woken. Default: who does not answer is down.",
    )

    @field_validator("headers")
    @classmethod
    def _each_once(cls, value: dict[str, str]) -> dict[str, str]:
        if len({name.lower() for name in value}) < len(value):
            raise ValueError("names a header twice; upper and lower case are the same header")
        return value

    @field_validator("base_url")
    @classmethod
    def _usable(cls, value: str, info: ValidationInfo) -> str:
        # An allow_plaintext that is wrong itself is told there; here it must not be told again.
        checked = checked_base_url(value, allow_plaintext=info.data.get("allow_plaintext", True))
        if info.data.get("private") is False and plainly_private(host_of(checked)):
            raise ValueError("is in a private network, which private: false forbids")
        return checked


class ServedSpec(Spec):
    """A model on one backend."""

    name: WireName = Field(description="The name that the backend knows the model by.")
    price: MaybePrice = Field(
        default=None, description="Of this model on this backend; goes before all other prices."
    )


def _served(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Served = Annotated[ServedSpec, BeforeValidator(_served, json_schema_input_type=ServedSpec | str)]


def _band(value: object) -> tuple[Decimal, Decimal]:
    if isinstance(value, list) and len(value) == 2:
        with suppress(ValueError):
            first, below = usd(value[0]), usd(value[1])
            if 0 <= first < below <= 100_000:
                return first, below
    raise ValueError("is not a band of prices; write [0.10, 0.30], the first below the second")


Band = Annotated[
    tuple[Decimal, Decimal], BeforeValidator(_band, json_schema_input_type=tuple[float, float])
]


class ModelSpec(Spec):
    """A logical model, and who serves it. What is left out comes from the model book."""

    like: str | None = Field(
        default=None,
        description="Model of the book whose figures this one takes. Default: the one with the same name.",
    )
    context: ContextTokens = Field(
        default=None,
        description="Prompt and answer together: 32K is 32,768 tokens. auto: not known, nothing is refused "
        "for its length.",
    )
    capabilities: Capabilities | None = Field(
        default=None,
        description="What it can do beyond text. A request that needs more goes elsewhere. "
        "Default: what the model book says; without an entry, nothing.",
    )
    price: MaybePrice = Field(
        default=None,
        description="On backends that are not your own. Default: the model book's price.",
    )
    dimensions: Dimensions | None = Field(
        default=None,
        description="Of an embedding model's vectors; an answer with others is a failure.",
    )
    vector_space: Name | None = Field(
        default=None,
        description="Vectors of models of one space compare with each other. Default: the model's own, "
        "which no other model shares.",
    )
    tier: Name | None = Field(
        default=None, description="Price tier. Default: the band that its price falls into."
    )
    on: dict[Name, Served] | None = Field(
        default=None,
        min_length=1,
        description="Who serves it: a backend, and the name that it knows the model by.",
    )


class ResidencySpec(Spec):
    """What a residency tag allows. What is left out is not restricted."""

    regions: Names | None = Field(default=None, description="Regions that may see the data.")
    operators: Operators | None = Field(
        default=None, description="Operators that may see the data."
    )
    retention: Retentions | None = Field(
        default=None, description="Retention terms that are good enough: none, 30d."
    )
    taint: TaintS = Field(
        default=None,
        description="Whether a session that has once carried the tag keeps it: true, or for how long "
        "after the last time: 30d. Default: false.",
    )
    cache: Flag = Field(
        default=False,
        description="Whether the response cache of a route may keep answers to requests that carry the tag.",
    )


class TaskSpec(Spec):
    """A task class."""

    bucket: Bucket | None = Field(
        default=None,
        description="bandwidth: much and cheap. judgment: good judgment. flagship: the best there is.",
    )
    residency: Name | None = Field(
        default=None, description="Holds for every request of this task, besides its own tag."
    )
    timeouts: TaskTimeoutsSpec = Field(
        default_factory=TaskTimeoutsSpec.model_construct,
        description="Of requests of this task, on whatever backend.",
    )
    slo: SloSpec | None = Field(default=None, description="Latency objective of this task.")
    priority: Priority | None = Field(
        default=None,
        description="Of requests that bring none: who gets a free slot first, and who is sent away last. "
        "Default: interactive.",
    )
    hedge: HedgeSpec | None = Field(
        default=None,
        description="Whether a second backend is asked when the first takes unusually long. Default: no.",
    )


MaybeModelSpec = Annotated[
    ModelSpec, BeforeValidator(as_empty_mapping, json_schema_input_type=ModelSpec | None)
]
MaybeResidencySpec = Annotated[
    ResidencySpec, BeforeValidator(as_empty_mapping, json_schema_input_type=ResidencySpec | None)
]
MaybeTaskSpec = Annotated[
    TaskSpec, BeforeValidator(as_empty_mapping, json_schema_input_type=TaskSpec | None)
]


class PolicySpec(Spec):
    """A policy of hybridllm: which backend may answer which request, and in which order."""

    version: Literal[1] = Field(description="Of the format of this file: 1.")
    environment: Name | None = Field(
        default=None, description="Where this runs: production, staging, ... Default: not declared."
    )
    default_residency: Name | None = Field(
        default=None,
        description="Tag of a request that brings none and whose task has none; deny: it is denied.",
    )
    backends: dict[Name, BackendSpec] = Field(min_length=1, description="Endpoints, by name.")
    models: dict[ModelName, MaybeModelSpec] = Field(
        min_length=1, description="Logical models, by name."
    )
    residency: dict[Name, MaybeResidencySpec] = Field(
        default_factory=dict,
        description="Residency tags, by name. A tag that is not declared here is denied.",
    )
    tasks: dict[Name, MaybeTaskSpec] = Field(
        default_factory=dict, description="Task classes, by name."
    )
    tiers: dict[Name, Band] = Field(
        default_factory=dict,
        description="Price tiers: [from, below], USD per 1,000,000 completion tokens. Default: those of the "
        "model book.",
    )
    buckets: dict[Bucket, BucketSpec] = Field(
        default_factory=dict, description="Whom to ask for tasks of a bucket."
    )
    routes: tuple[RouteSpec, ...] = Field(
        min_length=1, description="Rules; the first that fits decides."
    )
    constraints: tuple[ConstraintSpec, ...] = Field(
        default=(), description="Restrictions; every one that fits holds."
    )
    budgets: Budgets = Field(
        default=(), description="Money that may be spent; every one that fits holds."
    )
    tests: tuple[CaseSpec, ...] = Field(
        default=(), description="Cases that must hold, or the policy is refused."
    )
    prices: tuple[SheetEntrySpec, ...] = Field(
        default=(),
        max_length=1_000,
        description="Price sheet: dated prices by the name of the model that answered. What stands under "
        "`price` of a pair or a backend goes before it.",
    )
    currencies: dict[Currency, UsdPerUnit] = Field(
        default_factory=dict,
        description="USD for one unit of each currency that a price is in: {EUR: 1.08}.",
    )
    retries: RetriesSpec = Field(
        default_factory=RetriesSpec.model_construct,
        description="Limits on sending a request again.",
    )
    attribution: AttributionSpec | None = Field(
        default=None, description="Whom money is attributed to, on receipts and in the ledger."
    )
    telemetry: TelemetrySpec = Field(
        default_factory=TelemetrySpec.model_construct,
        description="More than metrics and spans always say.",
    )


class BesideSpec(Spec):
    """A file of tests beside a policy: NAME.test.yaml beside NAME.yaml."""

    tests: tuple[CaseSpec, ...] = Field(min_length=1, description="Cases, as in a policy.")
