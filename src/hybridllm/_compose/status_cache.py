"""What the response caches of a policy's routes hold and have saved: one row per route that has one."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hybridllm._core.receipt_text import usd

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy
    from hybridllm._runtime.engine import Engine


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """A route with a response cache; counts are since its policy was put in force.

    Attributes:
        route: Its name.
        entries: Answers that are kept now; `size_bytes`: how much memory they take, about.
        hits: Requests that were answered by a kept answer; `shared`: by that of an equal request under way.
        misses: Requests that might have been, and were sent.
        saved_usd: What the answers of hits and shared ones had cost, as far as known.
    """

    route: str
    entries: int = 0
    size_bytes: int = 0
    hits: int = 0
    shared: int = 0
    misses: int = 0
    saved_usd: Decimal = Decimal(0)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; amounts of money are texts."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return told | {"saved_usd": f"{self.saved_usd:f}"}

    def __str__(self) -> str:
        asked = self.hits + self.shared + self.misses
        return (
            f"cache of {self.route}: {self.hits} hits and {self.shared} shared of {asked}; "
            f"{self.entries} answers, {self.size_bytes / 1024:.0f} KiB; saved {usd(self.saved_usd)}"
        )


def cache_rows(policy: Policy, engine: Engine | None) -> tuple[CacheStatus, ...]:
    """Return the routes that keep answers, in the order of the policy; None: nothing was sent yet."""
    rows = []
    for route in policy.routes:
        if route.cache is None:
            continue
        kept = None
        if engine is not None:
            kept = engine.response_caches.kept.get((policy.version, route.name))
        if kept is None:
            rows.append(CacheStatus(route.name))
            continue
        counts = (kept.entries, kept.size_bytes, kept.hits, kept.shared, kept.misses)
        rows.append(CacheStatus(route.name, *counts, kept.saved_usd))
    return tuple(rows)
