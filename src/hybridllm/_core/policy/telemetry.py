"""What metrics and spans say beyond what they always say, as the policy file wants it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Dialect(StrEnum):
    """A tool whose own names spans carry too."""

    MLFLOW = "mlflow"
    OPENINFERENCE = "openinference"
    LANGFUSE = "langfuse"
    LOGFIRE = "logfire"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What is told, and to whom.

    Attributes:
        attribution: Of `feature` and `task`, those that the metric of money tells apart.
        tenants: Those that it tells apart, all others are one; empty: it tells of no tenant.
        dialects: Whose names spans carry besides the standard ones.
        from_baggage: (hint, key of W3C baggage) of hints that a request without them takes from there.
    """

    attribution: tuple[str, ...] = ()
    tenants: frozenset[str] = frozenset()
    dialects: frozenset[Dialect] = frozenset()
    from_baggage: tuple[tuple[str, str], ...] = ()


PLAIN = Telemetry()
