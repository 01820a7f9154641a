"""How many tokens backends that are paid by the month process now, and what a token costs at that.

Counted where attempts end, all tokens of an attempt at its end; only what went through this router. A minute
in twelve buckets per backend, so that adding is one step and memory does not grow. Reading changes nothing
that counts, so any thread may look.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from hybridllm._core.money.capacity import FixedCost, Use, fixed_cost

if TYPE_CHECKING:
    from hybridllm._core.money.usage import Usage
    from hybridllm._core.policy.compiled import Backend
    from hybridllm._core.policy.hybrid import Capacity

WATCHED_S_MIN = 10.0
"""Shorter than that nobody can tell a rate from a single answer."""

_BUCKET_S = 5.0
_BUCKETS = 12
_KNOWN_FOR_S = 1.0  # without a new answer a price moves by the minute


class Meter:
    """Counts the tokens of one backend."""

    __slots__ = ("_best", "_counts", "_known", "_last", "_since_s")

    def __init__(self, since_s: float) -> None:
        self._since_s = since_s
        self._counts = [(0, 0)] * _BUCKETS  # (number of a bucket since the clock's 0, tokens)
        self._last = int(since_s // _BUCKET_S)  # the bucket that was written last
        self._best: float | None = None
        self._known: tuple[Capacity, float, FixedCost] | None = None

    def ended(self, usage: Usage | None, now_s: float) -> None:
        """Count an attempt's tokens, as far as they are known."""
        if usage is None:
            return
        self._known = None
        bucket = int(now_s // _BUCKET_S)
        if bucket != self._last:
            self._best = self._best_so_far()
            self._last = bucket
        number, tokens = self._counts[bucket % _BUCKETS]
        tokens = tokens if number == bucket else 0
        self._counts[bucket % _BUCKETS] = (
            bucket,
            tokens + usage.input_tokens + usage.output_tokens,
        )

    def use(self, now_s: float) -> Use:
        """Return what it processes now; a rate only once it was watched for a while."""
        if now_s - self._since_s < WATCHED_S_MIN:
            return Use(None, self._best)
        bucket = int(now_s // _BUCKET_S)
        begin_s = max(self._since_s, (bucket - _BUCKETS + 1) * _BUCKET_S)
        return Use(self._tokens(bucket) / (now_s - begin_s), self._best)

    def price(self, capacity: Capacity, now_s: float) -> FixedCost:
        """Return what a token costs now."""
        known = self._known
        if known is None or known[0] is not capacity or now_s - known[1] >= _KNOWN_FOR_S:
            known = self._known = (capacity, now_s, fixed_cost(capacity, self.use(now_s)))
        return known[2]

    def _best_so_far(self) -> float | None:
        """The best with the minute that ends with the bucket written last, if all of it was watched."""
        if self._since_s > (self._last - _BUCKETS + 1) * _BUCKET_S:
            return self._best
        return max(self._best or 0.0, self._tokens(self._last) / (_BUCKETS * _BUCKET_S)) or None

    def _tokens(self, bucket: int) -> int:
        """Tokens of the minute that ends with a bucket."""
        return sum(
            tokens for number, tokens in self._counts if bucket - _BUCKETS < number <= bucket
        )


class Uses:
    """The meters of all backends that are paid by the month.

    Args:
        now_s: The clock's monotonic seconds.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._meters: dict[str, Meter] = {}

    def meter(self, backend: Backend) -> Meter | None:
        """Return what counts the tokens of its attempts; None: the backend is not paid by the month."""
        if backend.capacity is None:
            return None
        found = self._meters.get(backend.name)
        return found or self._meters.setdefault(backend.name, Meter(self._now_s()))

    def price_of(self, backend: Backend) -> FixedCost | None:
        """Return what a token costs there now; None: the backend is not paid by the month."""
        meter = self.meter(backend)
        if meter is None or backend.capacity is None:
            return None
        return meter.price(backend.capacity, self._now_s())

    def keep(self, backends: Collection[str]) -> None:
        """Forget what was counted of all but these."""
        for name in self._meters.keys() - backends:
            del self._meters[name]
