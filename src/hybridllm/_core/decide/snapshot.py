"""What is known of the world when a request is decided: one immutable value, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the backends.

    Attributes:
        in_flight: Requests under way per backend name; a backend that is not named has none.
    """

    in_flight: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


IDLE = Snapshot()
