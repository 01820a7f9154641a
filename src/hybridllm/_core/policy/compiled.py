"""A policy as the router runs it: names resolved, units read, nothing left to check.

Made from the file by `compile.py` and only there; read by everybody. All values are frozen; every
reference is an object, never a name that might be missing. Named things are compared by identity:
a policy makes each of them once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from hybridllm._core.money.price import Price


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


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds; each is also clipped to what is left of the request's deadline.

    Attributes:
        total_s: The whole request, retries and stream included, unless the caller sets a deadline.
        connect_s: DNS, TCP and TLS of one attempt.
        first_token_s: From sending to the first semantic token of a stream.
        idle_s: Between two semantic tokens of a stream.
        attempt_s: One non-stream attempt; None: an equal share of the time left.
    """

    total_s: float = 60.0
    connect_s: float = 2.0
    first_token_s: float = 10.0
    idle_s: float = 20.0
    attempt_s: float | None = None


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
    """

    name: str
    kind: BackendKind
    base_url: str
    api_key_env: str | None = None
    region: str | None = None
    operator: str | None = None
    retention: str | None = None
    environments: frozenset[str] = frozenset()
    headers: tuple[tuple[str, str], ...] = ()
    timeouts: Timeouts = field(default_factory=Timeouts)
    propagate_trace: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A logical model: what it can do, whoever serves it.

    Attributes:
        context_tokens: Prompt and answer together; None: not known, so nothing is refused for its length.
        dimensions: Of an embedding model's vectors; None: not declared.
    """

    name: str
    capabilities: frozenset[Capability] = frozenset()
    context_tokens: int | None = None
    dimensions: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A backend and a model on it.

    Attributes:
        backend: Who would be asked.
        model: The logical model.
        wire_model: The name that the backend knows the model by.
        price: In force for this pair; None: not known, so its attempts have no cost.
        name: `backend/model`, as reasons and errors call it.
    """

    backend: Backend
    model: Model
    wire_model: str
    price: Price | None = None
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.backend.name}/{self.model.name}")

    def __repr__(self) -> str:
        return f"Candidate({self.name})"


@dataclass(frozen=True, slots=True)
class Residency:
    """What a residency tag allows; an empty set of names restricts nothing in that respect."""

    tag: str
    regions: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()
    retention: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A task class.

    Attributes:
        timeouts: Names of `Timeouts` fields this task sets, with their values in seconds.
    """

    name: str
    bucket: Bucket | None = None
    residency: str | None = None
    timeouts: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class When:
    """Conditions of a route: all must hold; an empty set asks nothing. Values may be globs (`acme-*`)."""

    task: frozenset[str] = frozenset()
    residency: frozenset[str] = frozenset()
    tenant: frozenset[str] = frozenset()
    environment: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """One entry of `use` or `fallbacks`: a model and the backends it may be asked on.

    Attributes:
        candidates: In the order of the policy file; load decides among equals later.
        ordered: True if `on:` gave the order, so that load may not change it.
        fallback: True if it stands under `fallbacks`.
    """

    model: Model
    candidates: tuple[Candidate, ...]
    ordered: bool = False
    fallback: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A named rule of the policy file: when, use."""

    name: str
    when: When
    use: tuple[Use, ...]
    line: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A whole policy file.

    Attributes:
        name: Of the file, without its ending.
        version: `sha256:` and the first 12 hex digits of the file's bytes.
        default_residency: Tag of a request that brings none; None: such a request carries no tag.
        deny_untagged: True if a request without a tag is denied.
        candidates: Per logical model, who serves it, in the order of the file.
        known_tasks: Every task that the file names, in `tasks` or in a route; empty: any task will do.
        retries_max: Repeats on one candidate, within one request.
        attempts_max: Attempts of one request, all candidates together.
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
