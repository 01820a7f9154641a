"""What requests ask for: chat with nothing special, with a capability, as a stream; embeddings of a space.

A request that needs more is allowed no candidate that one that needs less is not. So of all sets of
capabilities that conditions cannot tell apart, the smallest are enough, and for each capability the
smallest that hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

from hybridllm._core.decide.match import Subject, holds
from hybridllm._core.decide.snapshot import EPOCH
from hybridllm._core.policy.compiled import Capability, Policy
from hybridllm._core.policy.conditions import Leaf, When
from hybridllm._core.proof.atoms import Axis, Bits
from hybridllm._core.request.facts import Facts

ASK = "ask"
OF_ASK = frozenset({"capability", "stream"})
EMBEDDINGS = frozenset({Capability.EMBEDDINGS})
_OF_CHAT = tuple(one for one in Capability if one is not Capability.EMBEDDINGS)

Met = Callable[["Ask"], tuple[bool, ...]]


class Ask(NamedTuple):
    """What a request asks for, and no more than that.

    Attributes:
        space: Vector space that the caller names.
        least: True if no smaller set of capabilities meets the same conditions.
    """

    needs: frozenset[Capability] = frozenset()
    stream: bool = False
    space: str | None = None
    least: bool = True

    @property
    def operation(self) -> str:
        """`chat` or `embeddings`."""
        return "embeddings" if Capability.EMBEDDINGS in self.needs else "chat"

    @property
    def label(self) -> str:
        """What it needs, in words; nothing special is none of it."""
        return " and ".join(sorted(self.needs))


def asks_of(policies: Sequence[Policy], leaves: Sequence[Leaf]) -> tuple[Axis, Bits]:
    """Return what requests can ask for, and which conditions on it hold."""
    alone = [When((leaf,)) for leaf in leaves]

    def met(ask: Ask) -> tuple[bool, ...]:
        subject = Subject(Facts(needs=ask.needs, stream=ask.stream), (), None, EPOCH)
        return tuple([holds(when, subject) for when in alone])

    looks_at = {leaf.fact for leaf in leaves}
    spaces = {m.vector_space for p in policies for m in p.models.values() if m.vector_space}
    asks = [
        *_chats("capability" in looks_at, (False, True)[: 1 + ("stream" in looks_at)], met),
        *(Ask(EMBEDDINGS, space=space) for space in (None, *sorted(spaces))),
    ]
    truths = [met(ask) for ask in asks]
    bits = {
        leaf: sum(1 << place for place, truth in enumerate(truths) if truth[number])
        for number, leaf in enumerate(leaves)
    }
    return Axis(ASK, tuple(asks), tuple((ask.label,) for ask in asks)), bits


def _chats(told_apart: bool, streams: Iterable[bool], met: Met) -> Iterable[Ask]:
    most = len(_OF_CHAT) if told_apart else 1
    sets = [frozenset(some) for size in range(most + 1) for some in combinations(_OF_CHAT, size)]
    for stream in streams:
        least: dict[tuple[bool, ...], list[frozenset[Capability]]] = {}
        with_one: dict[tuple[Capability, tuple[bool, ...]], list[frozenset[Capability]]] = {}
        for needs in sets:  # the smaller first
            truth = met(Ask(needs, stream))
            smaller = least.setdefault(truth, [])
            is_least = not any(one <= needs for one in smaller)
            if is_least:
                smaller.append(needs)
            wanted = is_least
            for one in needs:
                holding = with_one.setdefault((one, truth), [])
                if not any(other <= needs for other in holding):
                    holding.append(needs)
                    wanted = True
            if wanted:
                yield Ask(needs, stream, least=is_least)
