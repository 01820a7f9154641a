"""What a residency tag allows, as the router runs it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Residency:
    """What a residency tag allows; an empty set of names restricts nothing in that respect.

    Attributes:
        taint_s: How long a session that has carried the tag keeps it, from the last time; None: not at
            all; infinite: for the life of the router.
        cache: Whether answers to requests that carry it may be kept by a response cache.
    """

    tag: str
    regions: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()
    retention: frozenset[str] = frozenset()
    taint_s: float | None = None
    cache: bool = False
