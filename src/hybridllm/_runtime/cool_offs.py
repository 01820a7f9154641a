"""Who is left alone for a while, and until when: the gates.

The only door to `cachetools`. A gate is not a breaker: it comes from one answer that says so plainly (a
wrong key, an exhausted quota, an unknown model, a `Retry-After`), and it ends by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from cachetools import TLRUCache

from hybridllm._core.resilience.outcome import Failure, Gate

ENTRIES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Closed:
    """A gate that is closed.

    Attributes:
        gate: Why.
        until_s: Monotonic.
        failure: What it was closed after.
    """

    gate: Gate
    until_s: float
    failure: Failure

    @property
    def words(self) -> str:
        """For people; nothing that a backend said."""
        return f"{self.gate.value} gate after {self.failure.label}"


class CoolOffs:
    """Pairs of (backend, model), or whole backends, that nobody should ask for now.

    Args:
        now_s: The clock's monotonic seconds.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._closed: TLRUCache[tuple[str, str | None], Closed] = TLRUCache(
            maxsize=ENTRIES_MAX, ttu=lambda _key, value, _now: value.until_s, timer=now_s
        )
        self._now_s = now_s

    def add(self, backend: str, model: str | None, gate: Gate, failure: Failure) -> None:
        """Leave a pair, or with `model=None` the whole backend, alone; a longer time stays."""
        until_s = self._now_s() + (failure.cool_off_s or 0.0)
        standing = self._closed.get((backend, model))
        if standing is None or standing.until_s < until_s:
            self._closed[backend, model] = Closed(gate, until_s, failure)

    def gate(self, backend: str, model: str) -> Closed | None:
        """Return the gate that refuses a pair now, or None."""
        return self._closed.get((backend, None)) or self._closed.get((backend, model))

    @property
    def backends(self) -> frozenset[str]:
        """Of which one gate at least is closed."""
        return frozenset(backend for backend, _ in self._closed)

    def keep(self, endpoints: Collection[tuple[str, str | None]]) -> None:
        """Forget all but these."""
        for key in [key for key in self._closed if key not in endpoints]:
            self._closed.pop(key, None)

    def __bool__(self) -> bool:
        return self._closed.currsize > 0
