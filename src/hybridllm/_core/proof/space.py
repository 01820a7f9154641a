"""All requests there can be, as one box: the facts that a policy looks at, each cut into classes.

Two policies can share one: then it is cut by the conditions of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from hybridllm._core.decide.match import Subject, holds
from hybridllm._core.decide.snapshot import EPOCH, Snapshot
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.conditions import METADATA, Leaf, Live, When, leaves
from hybridllm._core.proof.asks import OF_ASK, Ask, asks_of
from hybridllm._core.proof.atoms import Axis, cut, fields_of
from hybridllm._core.proof.boxes import Box, Table
from hybridllm._core.proof.live import LIVE, held_for, live_axis
from hybridllm._core.proof.who import OF_WHO, Standing, Who, standing, who_of
from hybridllm._core.request.facts import Facts

WHO_AT, ASK_AT = 0, 1
ENVIRONMENT = "environment"


class View(NamedTuple):
    """A space as one policy sees it.

    Attributes:
        whole: Every request that is not denied before a route is looked at.
        standing: What the policy makes of each class of tasks and tags.
    """

    policy: Policy
    whole: Box
    table: Table
    standing: Standing


class Space(NamedTuple):
    """Facts, and the classes of each.

    Attributes:
        axes: In the order of a box; first who, then what is asked for.
        views: One for each policy.
    """

    who: Who
    axes: tuple[Axis, ...]
    views: tuple[View, ...]

    @property
    def asks(self) -> tuple[Ask, ...]:
        """What requests ask for, class by class."""
        return self.axes[ASK_AT].values

    def place(self, fact: str) -> int | None:
        """Return where a fact stands in a box; None: no condition looks at it."""
        return next((at for at, axis in enumerate(self.axes) if axis.fact == fact), None)

    def request(self, box: Box, view: View, model: str | None = None) -> tuple[Facts, Snapshot]:
        """Return a request of the first classes in a box, as small as they allow, and the world then."""
        ask = self.asks[_first(box[ASK_AT])]
        metadata: dict[str, str] = {}
        fields: dict[str, Any] = {
            **self.who.fields(_first(box[WHO_AT]), view.policy),
            "model": model,
            "metadata": metadata,
            "operation": ask.operation,
            "needs": ask.needs,
            "stream": ask.stream,
            "vector_space": ask.space,
            "environment": view.policy.environment,
            "output_tokens_max": 0,
        }
        now: datetime = EPOCH
        live: list[Live] = []
        for axis, classes in zip(self.axes[2:], box[2:], strict=True):
            value = axis.values[_first(classes)]
            if axis.fact == "time":
                now = value
            elif axis.fact == LIVE:
                live += [value] if value is not None else []
            elif axis.fact.startswith(METADATA):
                metadata |= fields_of(axis.fact, value)["metadata"]
            elif axis.fact != ENVIRONMENT:
                fields |= fields_of(axis.fact, value)
        facts = Facts(**fields)
        return facts, Snapshot(now_utc=now, held=held_for(facts, live))


def space_of(*policies: Policy, environment_free: bool = True) -> Space:
    """Return the space of all requests to these policies.

    Args:
        *policies: One, or two to compare.
        environment_free: Whether the environment is a fact like others, or that of each policy.

    Raises:
        Entangled: If values that conditions tell apart cannot be found.
    """
    found = dict.fromkeys(leaf for policy in policies for leaf in _leaves(policy))
    by_fact: dict[str, list[Leaf]] = {}
    for leaf in found:
        if not isinstance(leaf, Live):
            by_fact.setdefault(leaf.fact, []).append(leaf)
    of_who = [leaf for leaf in found if leaf.fact in OF_WHO]
    who = who_of(policies, of_who)
    ask_axis, ask_bits = asks_of(policies, [leaf for leaf in found if leaf.fact in OF_ASK])
    axes: list[Axis] = [who.axis, ask_axis]
    table = {leaf: (ASK_AT, bits) for leaf, bits in ask_bits.items()}
    for fact, on_it in by_fact.items():
        if fact == ENVIRONMENT and not environment_free:
            continue
        if fact not in OF_WHO and fact not in OF_ASK:
            first = policies[0].environment if fact == ENVIRONMENT else None
            axis, bits = cut(fact, on_it, first=first)
            table |= {leaf: (len(axes), where) for leaf, where in bits.items()}
            axes.append(axis)
    for leaf in found:
        if isinstance(leaf, Live):
            axis, bits = live_axis(leaf)
            table |= {leaf: (len(axes), bits[leaf])}
            axes.append(axis)
    views = []
    for policy in policies:
        seen = standing(who, policy, of_who)
        whole = (seen.passing, *(axis.whole for axis in axes[1:]))
        own = table | {leaf: (WHO_AT, bits) for leaf, bits in seen.bits.items()}
        if not environment_free:
            own |= _of_environment(by_fact.get(ENVIRONMENT, ()), policy, whole[ASK_AT])
        views.append(View(policy, whole, own, seen))
    return Space(who, tuple(axes), tuple(views))


def _of_environment(
    on_it: Iterable[Leaf], policy: Policy, every_ask: int
) -> dict[Leaf, tuple[int, int]]:
    """A condition on the environment holds for every request or for none."""
    subject = Subject(Facts(environment=policy.environment), (), None, EPOCH)
    return {leaf: (ASK_AT, every_ask if holds(When((leaf,)), subject) else 0) for leaf in on_it}


def _leaves(policy: Policy) -> Iterator[Leaf]:
    whens = [*(one.when for one in policy.routes), *(one.when for one in policy.constraints)]
    for when in whens:
        yield from leaves(when)


def _first(classes: int) -> int:
    return (classes & -classes).bit_length() - 1
