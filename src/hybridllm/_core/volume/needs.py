"""What a policy's conditions need counted, and nothing else: scopes, and the windows of each.

A scope is `all`, or `KIND:NAME`, as `volume: {of: ...}` writes it. Of conditions on a request's own task or
tenant, the scopes come with the requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.hybrid import BreakEven, Measure, Trigger, Volume, Window
from hybridllm._core.volume.ring import SHAPES

ALL = "all"
OWN = ("tenant", "task")
"""What a request has of its own: the kinds of scopes that are not known before it comes."""

Rings = frozenset[tuple[Measure, Window]]
_NO_SCOPES: Mapping[str, Rings] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Needs:
    """What is counted.

    Attributes:
        fixed: Scopes that are known, each with the windows that need a ring.
        own: Kinds of scopes that come with requests, each with the windows of every such scope.
    """

    fixed: Mapping[str, Rings] = field(default_factory=lambda: _NO_SCOPES)
    own: Mapping[str, Rings] = field(default_factory=lambda: _NO_SCOPES)

    def __bool__(self) -> bool:
        return bool(self.fixed)


def needs_of(policy: Policy, *, kept: bool) -> Needs:
    """Return what is to be counted for a policy; it is empty if nothing is.

    Args:
        policy: Whose conditions ask.
        kept: True if totals are kept in a file: then the whole and every model are counted in any case, so
            that there is a history when the policy begins to ask for it.
    """
    asked = list(_asked(policy))
    if not asked and not kept:
        return Needs()
    fixed: dict[str, set[tuple[Measure, Window]]] = {ALL: set()}
    own: dict[str, set[tuple[Measure, Window]]] = {}
    for scope, ring in asked:
        rings = (own if scope in OWN else fixed).setdefault(scope, set())
        if ring is not None:
            rings.add(ring)
    if kept:
        for model in policy.models:
            fixed.setdefault(f"model:{model}", set())
    for kind, rings in own.items():  # one that is named too is counted once, for both
        for scope in fixed:
            if scope.startswith(f"{kind}:"):
                fixed[scope] |= rings
    return Needs(_frozen(fixed), _frozen(own))


def _asked(policy: Policy) -> Iterator[tuple[str, tuple[Measure, Window] | None]]:
    """Yield every scope that somebody looks at, with the window that needs a ring, if one does."""
    for condition in policy.live:
        if isinstance(condition, BreakEven):
            yield from ((f"model:{model}", None) for model in policy.models)
        else:
            yield condition.scope, ring_of(condition)
    for route in policy.routes:
        for overflow in route.overflows:
            if any(cause.trigger is Trigger.BUDGET and cause.per for cause in overflow.causes):
                yield from ((f"backend:{name}", None) for name in overflow.sources)


def ring_of(volume: Volume) -> tuple[Measure, Window] | None:
    """Return what a condition's ring counts; None: it looks at whole days."""
    if volume.sustained_days or volume.window not in SHAPES:
        return None
    return volume.measure, volume.window


def _frozen(scopes: Mapping[str, set[tuple[Measure, Window]]]) -> Mapping[str, Rings]:
    return MappingProxyType({scope: frozenset(rings) for scope, rings in scopes.items()})
