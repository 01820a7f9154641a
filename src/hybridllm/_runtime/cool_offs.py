"""Who is left alone for a while, and until when.

The only door to `cachetools`. A cool-off is not a breaker: it comes from one answer that says so (a
wrong key, an exhausted quota, an unknown model, a `Retry-After`), and it ends by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from cachetools import TLRUCache

ENTRIES_MAX = 10_000


class CoolOffs:
    """Pairs of (backend, model), or whole backends, that nobody should ask for now.

    Args:
        now_s: The clock's monotonic seconds.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._until: TLRUCache[tuple[str, str | None], tuple[float, str]] = TLRUCache(
            maxsize=ENTRIES_MAX, ttu=lambda _key, value, _now: value[0], timer=now_s
        )
        self._now_s = now_s

    def add(self, backend: str, model: str | None, *, seconds: float, reason: str) -> None:
        """Leave a pair, or with `model=None` the whole backend, alone; a longer cool-off stays."""
        until = self._now_s() + seconds
        standing = self._until.get((backend, model))
        if standing is None or standing[0] < until:
            self._until[backend, model] = (until, reason)

    def reason(self, backend: str, model: str) -> str | None:
        """Return why a pair is left alone now, or None."""
        entry = self._until.get((backend, None)) or self._until.get((backend, model))
        return entry[1] if entry is not None else None

    def keep(self, endpoints: Collection[tuple[str, str | None]]) -> None:
        """Forget all but these."""
        for key in [key for key in self._until if key not in endpoints]:
            self._until.pop(key, None)

    def __bool__(self) -> bool:
        return self._until.currsize > 0
