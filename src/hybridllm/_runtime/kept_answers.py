"""The answers that a route keeps: bounded by number and size, each for a while, the least used goes first.

A door to `cachetools`. In memory only, and under keys that tell nothing of what was asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from cachetools import TLRUCache

from hybridllm._core.cache.rule import Cache

OVERHEAD_BYTES = 512
"""Of an entry beside its answer: key, places in the mapping, the entry itself."""

Event = tuple[bytes, bytes]
"""Of a stream: the name of a server-sent event, and its data."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A whole answer, as bytes: every caller gets objects of its own. Its repr shows no content.

    Attributes:
        body: A completion or embeddings in JSON; of a stream its events.
        backend: Who answered, and `model`: with which logical model.
        cost_usd: What that cost; None: not known.
    """

    body: bytes | tuple[Event, ...] = field(repr=False)
    backend: str
    model: str
    cost_usd: Decimal | None

    @property
    def size_bytes(self) -> int:
        """How much memory it takes, about."""
        if isinstance(self.body, bytes):
            return len(self.body) + OVERHEAD_BYTES
        return sum(len(data) + 120 for _, data in self.body) + OVERHEAD_BYTES


class KeptAnswers:
    """Of one route, under one version of the policy.

    Attributes:
        hits: Requests that were answered by a kept answer; `shared`: by that of an equal request under way.
        misses: Requests that might have been, and were sent.
        saved_usd: What hits and shared answers had cost, as far as known.

    Args:
        now_s: The clock's monotonic seconds.
    """

    def __init__(self, rule: Cache, now_s: Callable[[], float]) -> None:
        self.rule = rule
        self.hits = self.shared = self.misses = 0
        self.saved_usd = Decimal(0)
        self._kept: TLRUCache[bytes, Entry] = TLRUCache(
            maxsize=rule.size_bytes,
            ttu=lambda _key, _entry, now: now + rule.ttl_s,
            timer=now_s,
            getsizeof=lambda entry: entry.size_bytes,
        )

    def get(self, key: bytes) -> Entry | None:
        """Return what is kept under a key; None: nothing, or not any more."""
        return self._kept.get(key)

    def keep(self, key: bytes, entry: Entry) -> None:
        """Keep an answer; one that is larger than all that may be kept is not."""
        if entry.size_bytes > self.rule.size_bytes:
            return
        self._kept[key] = entry
        while len(self._kept) > self.rule.entries:
            self._kept.popitem()

    @property
    def entries(self) -> int:
        """How many are kept now."""
        self._kept.expire()
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """How large all of them are, about."""
        self._kept.expire()
        return int(self._kept.currsize)
