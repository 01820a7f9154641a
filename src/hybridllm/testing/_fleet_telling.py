"""What a simulated vLLM tells of its load, true or not. Pure: the time and the truth come in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from hybridllm.testing._ailments import MetricsFault, Spell
from hybridllm.testing._metrics import Load

Loads = tuple[Load, ...]


class Telling:
    """Remembers what was true as long as somebody may be told it later."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, Loads]] = deque()
        self._frozen: Loads | None = None

    def note(self, loads: Loads, *, now_s: float, back_s: float) -> None:
        """Remember what is true now, for those who are told what was true `back_s` ago."""
        if self._past and self._past[-1][0] >= now_s:
            self._past.pop()
        self._past.append((now_s, loads))
        while len(self._past) > 1 and self._past[1][0] <= now_s - back_s:
            self._past.popleft()

    def freeze(self, loads: Loads | None) -> None:
        """Tell from now on what is true now; None: tell the truth again."""
        if self._frozen is None or loads is None:
            self._frozen = loads

    def told(self, truth: Loads, faults: Iterable[MetricsFault], *, now_s: float) -> Loads:
        """Return what is told in the place of the truth."""
        told = truth if self._frozen is None else self._frozen
        for fault in faults:
            if fault.kind == "late":
                told = self._before(now_s - fault.seconds, engines=len(truth))
            elif fault.kind == "idle":
                told = tuple(replace(load, running=0, waiting=0, kv_used=0.0) for load in told)
        return told

    def _before(self, at_s: float, *, engines: int) -> Loads:
        found: Loads = (Load(),) * engines
        for noted_s, loads in self._past:
            if noted_s > at_s:
                break
            found = loads
        return found


def back_s(spells: Iterable[Spell]) -> float:
    """Return how long what was true has to be remembered; 0: nobody is told late."""
    return max(
        (each.ailment.seconds for each in spells if isinstance(each.ailment, MetricsFault)),
        default=0.0,
    )
