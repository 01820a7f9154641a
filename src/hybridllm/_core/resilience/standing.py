"""Who of a plan can be asked now, as one value: what breakers, gates, slots and the time left say.

Places are those of the plan's `kept`. The fleet makes it; `next_step` and `explain` read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NO_REASONS: Mapping[int, str] = MappingProxyType({})
_NO_GATES: Mapping[int, float] = MappingProxyType({})
_NOBODY: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Standing:
    """Who of a plan can be asked now.

    Attributes:
        refused: Place -> why, in words: an open breaker or a gate.
        gates: Those of `refused` that a gate refuses, not just a breaker -> seconds until it is over.
        full: Places whose backend has no free slot.
        slow: Places that usually take longer than the time that is left.
        panic: Whom to ask all the same if everybody is refused, in this order; None: whoever is refused, in
            the plan's order, those behind a gate last.
        cold: Those of `refused` that sleep -> seconds until they are expected to be awake.
    """

    refused: Mapping[int, str] = field(default_factory=lambda: _NO_REASONS)
    gates: Mapping[int, float] = field(default_factory=lambda: _NO_GATES)
    full: frozenset[int] = _NOBODY
    slow: frozenset[int] = _NOBODY
    panic: tuple[int, ...] | None = None
    cold: Mapping[int, float] = field(default_factory=lambda: _NO_GATES)

    def in_panic(self) -> tuple[int, ...]:
        """Return whom to ask though refused, in order."""
        if self.panic is not None:
            return self.panic
        places = sorted(self.refused.keys() - self.cold.keys())
        return (
            *(i for i in places if i not in self.gates),
            *(i for i in places if i in self.gates),
        )


ALL_FREE = Standing()
