"""How fast candidates were lately; what decisions see of it is an immutable value.

Waits for a first token and whole answers are kept apart. An attempt that ran into the policy's own time
limit counts as long as it ran: a backend that hangs is not an unmeasured one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from hybridllm._core.decide.snapshot import Latency
from hybridllm._core.latency import AGE_S_MAX, Samples, forget_old, new_samples, percentiles

_LOOKED_THROUGH_EVERY_S = 5.0


class Latencies:
    """Samples per candidate name (`backend/model`).

    Args:
        now_s: The clock's monotonic seconds.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._samples: dict[str, tuple[Samples, Samples]] = {}
        self._changed: set[str] = set()
        self._known: dict[str, Latency] = {}
        self._shown: Mapping[str, Latency] = MappingProxyType({})
        self._looked_through_s = 0.0

    def first_token(self, candidate: str, seconds: float, now_s: float) -> None:
        """Record how long a stream's first token took."""
        self._add(candidate, 0, seconds, now_s)

    def answer(self, candidate: str, seconds: float, now_s: float) -> None:
        """Record how long a whole answer took."""
        self._add(candidate, 1, seconds, now_s)

    def usual_s(self, candidate: str, *, stream: bool) -> float | None:
        """Return how long half of the latest took at most, in seconds; None: not measured lately."""
        both = self._samples.get(candidate)
        if both is None:
            return None
        for samples in both:
            forget_old(samples, now_s=self._now_s())
        found = percentiles(both[0 if stream else 1]).get(50)
        return None if found is None else found / 1e3

    def percentile_s(self, candidate: str, rank: int, *, stream: bool) -> float | None:
        """The same for 90, 95 or 99 of a hundred."""
        both = self._samples.get(candidate)
        if both is None:
            return None
        samples = both[0 if stream else 1]
        forget_old(samples, now_s=self._now_s())
        found = percentiles(samples).get(rank)
        return None if found is None else found / 1e3

    def seen(self, candidate: str) -> tuple[Mapping[int, float], Mapping[int, float]]:
        """Return percentile -> milliseconds, of first tokens and of whole answers; nothing: not measured.

        Changes nothing, so any thread may look.
        """
        both = self._samples.get(candidate)
        if both is None:
            return {}, {}
        since_s = self._now_s() - AGE_S_MAX
        first_tokens, answers = (
            percentiles([sample for sample in one.copy() if sample[0] >= since_s]) for one in both
        )
        return first_tokens, answers

    def _add(self, candidate: str, place: int, seconds: float, now_s: float) -> None:
        both = self._samples.get(candidate)
        if both is None:
            both = self._samples[candidate] = (new_samples(), new_samples())
        both[place].append((now_s, seconds * 1e3))
        self._changed.add(candidate)

    def keep(self, candidates: Collection[str]) -> None:
        """Forget all but these."""
        for name in self._samples.keys() - candidates:
            del self._samples[name]
            self._changed.add(name)

    def snapshot(self) -> Mapping[str, Latency]:
        """Return what is known now; candidates that were not measured lately are not in it."""
        now_s = self._now_s()
        if now_s - self._looked_through_s >= _LOOKED_THROUGH_EVERY_S:
            self._look_through(now_s)
        if self._changed:
            for name in self._changed:
                self._know(name)
            self._changed.clear()
            self._shown = MappingProxyType(dict(self._known))
        return self._shown

    def _know(self, name: str) -> None:
        both = self._samples.get(name)
        ttft_ms, total_ms = (percentiles(one) for one in both) if both else ({}, {})
        if ttft_ms or total_ms:
            self._known[name] = Latency(ttft_ms, total_ms)
        else:
            self._known.pop(name, None)

    def _look_through(self, now_s: float) -> None:
        self._looked_through_s = now_s
        for name, both in list(self._samples.items()):
            changed = [forget_old(one, now_s=now_s) for one in both]
            if any(changed):
                self._changed.add(name)
            if not any(both):
                del self._samples[name]
