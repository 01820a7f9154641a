"""What a starter policy says, from what was found and what was answered. Pure: no file, no network.

Owns every choice: how backends and models are called, which model is for what, who is asked first.
`write.py` puts it into words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from hybridllm.cli.init.hosted import HostedApi
from hybridllm.cli.init.names import logical_name
from hybridllm.cli.init.servers import UNKNOWN, Listed, Server

PUBLIC, PRIVATE = "public", "private"
QUICK, DEFAULT = "quick", "default"
BANDWIDTH_TASKS = frozenset(
    {"classify", "extract", "label", "moderate", "route", "sentiment", "tag", "triage"}
)
_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", re.IGNORECASE)


class Side(StrEnum):
    """Who runs a backend."""

    OWN = "own"
    HOSTED = "hosted"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was answered, or given as options.

    Attributes:
        first: Who is asked first, where both can answer.
        private: Whether some data has to stay on your own servers.
        region: Where your own servers are, and a tag that keeps data there; None: not said.
        tasks: What the application does.
    """

    first: Side
    private: bool
    region: str | None
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OwnBackend:
    """A server of your own, under its name in the policy."""

    name: str
    server: Server

    @property
    def is_surely_own(self) -> bool:
        """False if it may be a gateway that passes prompts on."""
        return self.server.kind is not UNKNOWN


@dataclass(slots=True)
class DraftModel:
    """A logical model.

    Attributes:
        on: The name that each backend knows it by.
        sides: Who serves it.
    """

    name: str
    on: dict[str, str] = field(default_factory=dict)
    sides: dict[Side, list[str]] = field(default_factory=dict)
    context_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    embeds: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A model on the backends of one side."""

    model: str
    side: Side


@dataclass(frozen=True, slots=True)
class DraftRoute:
    """A route: who is asked, in order. Those behind the first model are its fallbacks."""

    name: str
    chain: tuple[Asked, ...]

    @property
    def use(self) -> tuple[Asked, ...]:
        """The first model, wherever it is served."""
        return tuple(asked for asked in self.chain if asked.model == self.chain[0].model)

    @property
    def fallbacks(self) -> tuple[Asked, ...]:
        """The other models."""
        return tuple(asked for asked in self.chain if asked.model != self.chain[0].model)


@dataclass(frozen=True, slots=True)
class Draft:
    """A starter policy.

    Attributes:
        locked: Base URLs of servers that ask for a key: they are shown, as comments.
    """

    own: tuple[OwnBackend, ...]
    hosted: tuple[HostedApi, ...]
    models: tuple[DraftModel, ...]
    routes: tuple[DraftRoute, ...]
    wishes: Wishes
    locked: tuple[str, ...] = ()

    def backends_of(self, model: str, side: Side) -> list[str]:
        """Return who of one side serves a model."""
        return next(one for one in self.models if one.name == model).sides.get(side, [])


def draft_of(
    servers: Iterable[Server],
    apis: Iterable[HostedApi],
    wishes: Wishes,
    *,
    book: Mapping[str, int | None] = MappingProxyType({}),
) -> Draft:
    """Return a starter policy.

    Args:
        servers: Of your own, each with at least one model.
        apis: Hosted ones; there is at least one of both together.
        wishes: What was asked for.
        book: Context length in tokens, by model id, as the model book has it.
    """
    own, hosted = tuple(_named(servers)), tuple(apis)
    models: dict[str, DraftModel] = {}
    chat: list[tuple[Listed, str]] = []
    for backend in own:
        for listed in backend.server.models:
            model = _add_own(models, backend, listed)
            if not listed.embeds:
                chat.append((listed, model.name))
    pairs = [
        (
            _add_hosted(models, api, api.small, book).name,
            _add_hosted(models, api, api.large, book).name,
        )
        for api in hosted
    ]
    small, large = _smallest_and_largest(chat)
    chains = _Chains(models, wishes.first)
    routes = []
    if any(task in BANDWIDTH_TASKS for task in wishes.tasks):
        quick = chains.chain([small, large], [first for first, _ in pairs])
        routes.append(DraftRoute(QUICK, quick))
    default = chains.chain([large, small], [second for _, second in pairs])
    routes.append(DraftRoute(DEFAULT, default))
    return Draft(own, hosted, tuple(models.values()), tuple(routes), wishes)


def _named(servers: Iterable[Server]) -> Iterator[OwnBackend]:
    """Yield the servers under names that differ: `vllm`, `vllm-2`."""
    count: dict[str, int] = {}
    for server in servers:
        name = server.kind.backend
        count[name] = count.get(name, 0) + 1
        yield OwnBackend(name if count[name] == 1 else f"{name}-{count[name]}", server)


def _add_own(models: dict[str, DraftModel], backend: OwnBackend, listed: Listed) -> DraftModel:
    name = _free(models, logical_name(listed.name), backend.name, embeds=listed.embeds)
    model = models.setdefault(name, DraftModel(name, embeds=listed.embeds))
    model.on[backend.name] = listed.name
    model.sides.setdefault(Side.OWN, []).append(backend.name)
    lengths = [length for length in (model.context_tokens, listed.context_tokens) if length]
    model.context_tokens = min(lengths, default=None)
    if not listed.embeds:
        both = backend.server.kind.capabilities
        model.capabilities = _common(model.capabilities, both, first=len(model.on) == 1)
    return model


def _add_hosted(
    models: dict[str, DraftModel], api: HostedApi, wire_name: str, book: Mapping[str, int | None]
) -> DraftModel:
    name = logical_name(wire_name)
    if name in book and not api.in_the_book:  # its price is another one
        name = f"{name}-{api.name}"
    for known in models.values():
        if known.on.get(api.name) == wire_name:
            return known  # one model for small and large
    name = _free(models, name, api.name, embeds=False)
    model = models.setdefault(name, DraftModel(name))
    model.on[api.name] = wire_name
    model.sides.setdefault(Side.HOSTED, []).append(api.name)
    lengths = [length for length in (model.context_tokens, book.get(name)) if length]
    if model.context_tokens:
        model.context_tokens = min(lengths)
    model.capabilities = _common(model.capabilities, api.capabilities, first=len(model.on) == 1)
    return model


def _common(held: tuple[str, ...], more: tuple[str, ...], *, first: bool) -> tuple[str, ...]:
    """Return what a model can do wherever it is served."""
    return more if first else tuple(one for one in held if one in more)


def _free(models: dict[str, DraftModel], name: str, backend: str, *, embeds: bool) -> str:
    """Return a name under which the backend serves nothing yet, and others nothing of another kind."""
    number, free = 1, name
    while free in models and (backend in models[free].on or models[free].embeds is not embeds):
        number += 1
        free = f"{name}-{number}"
    return free


def size(name: str) -> float | None:
    """Return how many billions of parameters a model has, by its name; None: it does not say."""
    found = _SIZE.search(name)
    if found is None:
        return None
    count = float(found[2]) * int(found[1] or 1)
    return count if found[3] in "bB" else count / 1_000


def _smallest_and_largest(chat: list[tuple[Listed, str]]) -> tuple[str | None, str | None]:
    """Return the names of both, by the sizes in their names; without any, the first of the list."""
    if not chat:
        return None, None
    sized = [(known, name) for listed, name in chat if (known := size(listed.name)) is not None]
    if not sized:
        return chat[0][1], chat[0][1]
    return min(sized)[1], max(sized)[1]


class _Chains:
    """Who is asked, in order."""

    def __init__(self, models: dict[str, DraftModel], first: Side) -> None:
        self._models = models
        self._first = first

    def chain(self, own: list[str | None], hosted: list[str]) -> tuple[Asked, ...]:
        """Return everybody once: the side that goes first with its best model, then the others.

        Args:
            own: The best model for the work on your own servers, and one more.
            hosted: The best model of each hosted API.
        """
        best = own[0]
        ours = [Asked(best, Side.OWN)] if best else []
        theirs = [Asked(name, Side.HOSTED) for name in hosted]
        spare = [Asked(name, Side.OWN) for name in own[1:] if name]
        ordered = [*ours, *theirs] if self._first is Side.OWN else [*theirs, *ours]
        chain: dict[Asked, None] = {}
        for asked in [*ordered, *spare]:
            chain.setdefault(asked)
        first = next(iter(chain))
        # The same model elsewhere comes before another model.
        same = [
            Asked(first.model, side)
            for side in Side
            if side is not first.side and side in self._models[first.model].sides
        ]
        rest = [asked for asked in chain if asked != first and asked not in same]
        return (first, *same, *rest)
