"""What `chaos` does to backends, and whom it strikes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridllm.testing import Ailment, Crowded, Fault, Flapping, Killed, Slower

if TYPE_CHECKING:
    from hybridllm import Policy


@dataclass(frozen=True, slots=True)
class Trouble:
    """An entry of the catalogue: a name, what it is in words, and what it does."""

    name: str
    words: str
    ailment: Ailment


CATALOGUE = {
    trouble.name: trouble
    for trouble in (
        Trouble("dead", "the server dies: streams are cut off, connections refused", Killed()),
        Trouble("hang", "requests are taken and never answered", Fault.hang()),
        Trouble("503", "every request gets a 503 at once", Fault.status(503)),
        Trouble("slow", "everything takes 10 times as long", Slower(10)),
        Trouble("errors", "20 % of the requests get a 500", Fault.status(500, probability=0.2)),
        Trouble(
            "cut",
            "20 % of the streams break after their first token",
            Fault.cut_after(1, "rst", probability=0.2),
        ),
        Trouble(
            "429", "every request gets a 429, retry after 5 s", Fault.status(429, retry_after=5)
        ),
        Trouble("blackhole", "connecting hangs: packets are lost", Fault.blackhole()),
        Trouble("reset", "the connection is reset without an answer", Fault.reset_before_head()),
        Trouble("garbage", "200 with a web page in place of an answer", Fault.html()),
        Trouble("flapping", "5 s refusing, 5 s well, and so on", Flapping(Fault.refuse())),
        Trouble("crowded", "2 requests at once, 8 may wait, more get a 503", Crowded(2, 8)),
    )
}
USUAL = ("dead", "hang", "503", "slow", "errors", "cut")
ALL = "all"


@dataclass(frozen=True, slots=True)
class Struck:
    """Backends that have the same trouble at the same time.

    Attributes:
        name: `global-us`, `region eu`, `operator self`, `all`.
    """

    name: str
    backends: tuple[str, ...]


def struck_sets(policy: Policy) -> list[Struck]:
    """Return each backend alone, all of a region, all of an operator, and all; each set once."""
    names = tuple(policy.backends)
    found: dict[tuple[str, ...], str] = {(name,): name for name in names}
    places: dict[str, list[str]] = defaultdict(list)
    for backend in policy.backends.values():
        if backend.region is not None:
            places[f"region {backend.region}"].append(backend.name)
    for backend in policy.backends.values():
        if backend.operator is not None:
            places[f"operator {backend.operator}"].append(backend.name)
    for place, there in places.items():
        if len(there) < len(names):
            found.setdefault(tuple(there), place)
    found.setdefault(names, ALL)
    return [Struck(name, backends) for backends, name in found.items()]


def chosen_troubles(names: Sequence[str]) -> list[Trouble]:
    """Return the troubles that are asked for, each once; none named: the usual ones.

    Raises:
        KeyError: If one is not in the catalogue.
    """
    wanted = list(dict.fromkeys(names)) or list(USUAL)
    if ALL in wanted:
        return list(CATALOGUE.values())
    return [CATALOGUE[name] for name in wanted]
