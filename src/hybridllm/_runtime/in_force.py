"""The policy in force, and what became of attempts to replace it. Knows nothing of event loops.

Whoever runs a request reads `policy` once, at its beginning: what a request began with, it ends with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from hybridllm._core.policy.compiled import Policy

RULES_COUNTED_MAX = 1_000
THE_REST = "(other rules)"


class Observed:
    """How often each rule in `mode: observe` would have done something."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def count(self, texts: Iterable[str]) -> None:
        """Count what a decision observed; beyond `RULES_COUNTED_MAX` texts, as one together."""
        counts = self._counts
        for text in texts:
            known = text in counts or len(counts) < RULES_COUNTED_MAX
            key = text if known else THE_REST
            counts[key] = counts.get(key, 0) + 1

    def keep(self, policy: Policy) -> None:
        """Drop what was counted of rules that do not observe, or are not, in this policy.

        What was counted as one together goes, too: nothing says whose it was.
        """
        routes = tuple(f"route {one.name!r} " for one in policy.routes if one.observe)
        constraints = tuple(
            f"constraint {one.name!r} " for one in policy.constraints if one.observe
        )
        mine = routes + constraints
        self._counts = {
            text: count for text, count in self._counts.items() if text.startswith(mine)
        }

    @property
    def counts(self) -> Mapping[str, int]:
        """A copy, the most frequent first."""
        ranked = sorted(self._counts.items(), key=lambda item: -item[1])
        return MappingProxyType(dict(ranked))


@dataclass(slots=True, eq=False)
class InForce:
    """The policy in force. To swap it is to set `policy`, one statement.

    Attributes:
        loaded_at: When `policy` was put in force, UTC.
        reloads: How often another policy was put in its place.
        failed: How often a reload failed, and the policy stayed.
        last_error: Why the last reload failed; None if the last one went well.
        last_error_at: When the last failure was; it stays when a later reload goes well.
    """

    policy: Policy
    loaded_at: datetime
    reloads: int = 0
    failed: int = 0
    last_error: str | None = None
    last_error_at: datetime | None = None
    observed: Observed = field(default_factory=Observed)
