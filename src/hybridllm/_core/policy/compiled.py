"""A policy as the router runs it: names resolved, units read, nothing left to check.

Made from the file by `compile.py` and only there; read by everybody. All values are frozen; every
reference is an object, never a name that might be missing. Named things are compared by identity:
a policy makes each of them once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from hybridllm._core.cache.rule import Cache
from hybridllm._core.cascade.rule import Cascade
from hybridllm._core.money.price import Price
from hybridllm._core.money.tariff import Atto, Entry, Tariff, atto_of
from hybridllm._core.policy.budgets import Budget
from hybridllm._core.policy.ceilings import NO_CEILINGS, Ceilings
from hybridllm._core.policy.conditions import ALWAYS, When
from hybridllm._core.policy.hybrid import (
    DEFAULT_SATURATION,
    BreakEven,
    Capacity,
    ColdStart,
    Overflow,
    Saturation,
    Volume,
)
from hybridllm._core.policy.objectives import NO_SLO, Hedge, Slo, Timeouts
from hybridllm._core.policy.residency import Residency
from hybridllm._core.policy.shadow import Shadow
from hybridllm._core.policy.telemetry import PLAIN, Telemetry
from hybridllm._core.resilience.budget import DEFAULT as DEFAULT_BUDGET
from hybridllm._core.resilience.budget import BudgetConfig
from hybridllm._core.resilience.limit import Concurrency


class Capability(StrEnum):
    """What a request may need of a model beyond text."""

    TOOLS = "tools"
    JSON_SCHEMA = "json_schema"
    VISION = "vision"
    AUDIO = "audio"
    LOGPROBS = "logprobs"
    EMBEDDINGS = "embeddings"
    REASONING = "reasoning"


class BackendKind(StrEnum):
    """What stands behind a base URL."""

    API = "api"
    VLLM = "vllm"


class Bucket(StrEnum):
    """Task classes by what they need: much and cheap, good judgment, or the best there is."""

    BANDWIDTH = "bandwidth"
    JUDGMENT = "judgment"
    FLAGSHIP = "flagship"


class OrderBy(StrEnum):
    """What decides who of several candidates is asked first."""

    FILE = "file"  # as the policy file has them
    LOAD = "load"  # least requests under way
    PRICE = "price"  # what this request is expected to cost
    LATENCY = "latency"  # measured; who was not measured yet goes first
    SPLIT = "split"  # by weights
    MARGINAL_PRICE = (
        "marginal_price"  # what this request adds to the bill; own machines are paid already
    )
    PREFIX = "prefix"  # requests that begin alike go where that beginning is cached


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Backend:
    """An OpenAI-compatible endpoint, and the name of our credentials for it.

    Attributes:
        base_url: Up to and including `/v1`, without a slash at its end.
        api_key_env: Name of the environment variable that holds the key; None: no key is sent.
        region: Where the data goes, `eu`; None: not declared, so no tag that asks for a region allows it.
        operator: Who runs it, `self` or `third_party`; None: not declared.
        retention: How long it keeps data, `none` or `30d`; None: not declared.
        environments: Where it may be used; empty: everywhere.
        propagate_trace: Whether `traceparent` is sent to it.
        private: Whether its host may have an address of a private network.
        prefill: Whether it continues a last message of the assistant (`continue_final_message`).
        concurrency: How many requests it may have at once; None: no limit.
        health_url: Looked at while its breaker is open; None: nothing is.
        saturation: From when on it has as much to do as it can take.
        capacity: What it costs, whatever it does; None: not declared.
        cold_start: How it wakes; None: it never sleeps.
    """

    name: str
    kind: BackendKind
    base_url: str
    api_key_env: str | None = None
    region: str | None = None
    operator: str | None = None
    retention: str | None = None
    environments: frozenset[str] = frozenset()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeouts: Timeouts = field(default_factory=Timeouts)
    propagate_trace: bool = False
    private: bool = False
    prefill: bool = False
    concurrency: Concurrency | None = None
    health_url: str | None = None
    saturation: Saturation = DEFAULT_SATURATION
    capacity: Capacity | None = None
    cold_start: ColdStart | None = None

    @property
    def own(self) -> bool:
        """Whether it is a server of one's own: it queues and tells its load, where a hosted API says 429."""
        return self.kind is BackendKind.VLLM or self.operator == "self"

    @property
    def terms_declared(self) -> bool:
        """Whether it says anything of where data goes; if not, no request with a tag may use it."""
        return not (self.region is None and self.operator is None and self.retention is None)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A logical model: what it can do, whoever serves it.

    Attributes:
        context_tokens: Prompt and answer together; None: not known, so nothing is refused for its length.
        dimensions: Of an embedding model's vectors; None: not declared.
        vector_space: Vectors of models of one space compare with each other; None: it does not embed.
        tier: Its price class, `budget`; None: in none.
    """

    name: str
    capabilities: frozenset[Capability] = frozenset()
    context_tokens: int | None = None
    dimensions: int | None = None
    vector_space: str | None = None
    tier: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A backend and a model on it.

    Attributes:
        backend: Who would be asked.
        model: The logical model.
        wire_model: The name that the backend knows the model by.
        price: The one that always holds, or, with a tariff, the last that is declared for short requests;
            None: not known, so its attempts have no cost.
        tariff: All its prices, if there is more than one.
        name: `backend/model`, as reasons and errors call it.
        varies: Whether the time or the length of a prompt has a say in what it is expected to cost.
        atto: Of `price`.
    """

    backend: Backend
    model: Model
    wire_model: str
    price: Price | None = None
    tariff: Tariff | None = None
    name: str = field(init=False)
    varies: bool = field(init=False)
    atto: Atto | None = field(init=False)

    def __post_init__(self) -> None:
        tariff = self.tariff
        object.__setattr__(self, "name", f"{self.backend.name}/{self.model.name}")
        object.__setattr__(self, "varies", tariff is not None and (tariff.moves or tariff.stepped))
        object.__setattr__(self, "atto", None if self.price is None else atto_of(self.price))

    def price_at(
        self,
        at: datetime,
        input_tokens: int | None = 0,
        *,
        served: str | None = None,
        service_tier: str | None = None,
    ) -> Price | None:
        """Return the price in force for an attempt that begins then; see `Tariff.price`."""
        tariff = self.tariff
        if tariff is None:
            return self.price
        return tariff.price(at, input_tokens=input_tokens, served=served, service_tier=service_tier)

    def atto_at(self, at: datetime, input_tokens: int) -> Atto | None:
        """Return the same in whole numbers."""
        tariff = self.tariff
        if tariff is None or not self.varies:
            return self.atto
        step = tariff.step(at, input_tokens)
        return None if step is None else step.atto

    def __repr__(self) -> str:
        return f"Candidate({self.name})"


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A task class.

    Attributes:
        timeouts: Names of `Timeouts` fields this task sets, with their values in seconds.
        priority: Of requests that bring none.
        hedge: None: its requests are not hedged.
    """

    name: str
    bucket: Bucket | None = None
    residency: str | None = None
    timeouts: Mapping[str, float] = field(default_factory=_nothing)
    slo: Slo = NO_SLO
    priority: str | None = None
    hedge: Hedge | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """One entry of `use` or `fallbacks`, names resolved: some candidates, and what orders them.

    Attributes:
        candidates: In the order of the policy file; `order_by` may change it per request.
        what: In words: `model 1` (its place), `tier 'budget'`.
        weights: Of a split: (model's name, weight above 0) of each model in it.
        sticky_by: Of a split: the fact whose value decides; a request without it is drawn for.
        on_order: True if `on` gave the order of backends, so that load does not change it.
        fallback: True if it stands under `fallbacks`.
    """

    candidates: tuple[Candidate, ...]
    what: str
    order_by: OrderBy = OrderBy.LOAD
    weights: tuple[tuple[str, float], ...] = ()
    sticky_by: str = "session"
    on_order: bool = False
    ceilings: Ceilings = NO_CEILINGS
    fallback: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A named rule of the policy file: when, use.

    Attributes:
        observe: True if it is evaluated and counted, and the next route decides.
        shadow: Copies of its requests that go to another model; None: there are none.
    """

    name: str
    when: When
    use: tuple[Use, ...]
    ceilings: Ceilings = NO_CEILINGS
    slo: Slo = NO_SLO
    observe: bool = False
    line: int = 0
    overflows: tuple[Overflow, ...] = ()
    shadow: Shadow | None = None
    cascade: Cascade | None = None
    cache: Cache | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Constraint:
    """A named restriction: it holds for every request that its `when` fits, whatever route decides.

    Attributes:
        regions: Allowed; empty: all. So are `operators`, `retention`, `backends` and `models`.
        denied_backends: Never asked; so are `denied_models`.
        observe: True if it is evaluated and counted, and drops nobody.
    """

    name: str
    when: When = ALWAYS
    regions: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()
    retention: frozenset[str] = frozenset()
    backends: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    denied_backends: frozenset[str] = frozenset()
    denied_models: frozenset[str] = frozenset()
    ceilings: Ceilings = NO_CEILINGS
    observe: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A whole policy file.

    Attributes:
        name: Of the file, without its ending.
        version: `sha256:` and the first 12 hex digits of the digest of the file's bytes and, if it has any,
            of its variables' values, and of an environment that was handed in.
        default_residency: Tag of a request that brings none; None: such a request carries no tag.
        deny_untagged: True if a request without a tag is denied.
        candidates: Per logical model, who serves it, in the order of the file.
        constraints: All that fit a request hold, together.
        looks_at: The facts that some condition looks at: `task`, `metadata.plan`.
        splits: True if a route splits its requests, so that a decision needs its chance.
        taints: Tags that a session keeps once it has carried them, and for how many seconds.
        measures: True if measured latency orders candidates somewhere.
        balances: True if load orders candidates somewhere.
        loaded: Backends whose load decides somewhere: those that overflows leave, those of one's own that are
            ordered by marginal price, and those among which prefixes decide.
        list_prices: Per model, what hosted APIs ask for it; no entry is the cheapest for every mix of tokens.
            With prices that differ, what they ask at last: see `listed_prices.py`.
        listed: Per model, the prices that are its own, and the model book's.
        prices_move: True if the time has a say in some candidate's price.
        prices_differ: True if some candidate has more than one price.
        prefixes: True if prefixes order candidates somewhere.
        live: The conditions on volume and on break-even, each once.
        known_tasks: Every task that the file names, in `tasks` or in a route; empty: any task will do.
        attribution: Keys of the caller's metadata that receipts and ledger keep.
        shadows: Of each route that has one, by its name.
        telemetry: What metrics and spans say beyond what they always say.
        retries_max: Repeats on one candidate, within one request.
        attempts_max: Attempts of one request, all candidates together.
        budget: What all requests together may spend on attempts beyond the first.
        budgets: Money that may be spent; every one that fits a request holds.
    """

    name: str
    version: str
    environment: str
    backends: Mapping[str, Backend]
    models: Mapping[str, Model]
    candidates: Mapping[str, tuple[Candidate, ...]]
    residency: Mapping[str, Residency]
    tasks: Mapping[str, Task]
    routes: tuple[Route, ...]
    default_residency: str | None = None
    deny_untagged: bool = False
    known_tasks: frozenset[str] = frozenset()
    retries_max: int = 2
    attempts_max: int = 6
    budget: BudgetConfig = DEFAULT_BUDGET
    constraints: tuple[Constraint, ...] = ()
    looks_at: frozenset[str] = frozenset()
    splits: bool = False
    measures: bool = False
    balances: bool = False
    loaded: frozenset[str] = frozenset()
    prefixes: bool = False
    live: tuple[Volume | BreakEven, ...] = ()
    list_prices: Mapping[str, tuple[Price, ...]] = field(default_factory=_nothing)
    listed: Mapping[str, tuple[Entry, ...]] = field(default_factory=_nothing)
    prices_move: bool = False
    prices_differ: bool = False
    taints: Mapping[str, float] = field(default_factory=_nothing)
    attribution: tuple[str, ...] = ()
    shadows: Mapping[str, Shadow] = field(default_factory=_nothing)
    telemetry: Telemetry = PLAIN
    budgets: tuple[Budget, ...] = ()
    # What decisions remember; it goes when the policy goes.
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)
