"""Who of a plan can be asked now: breakers, gates, slots and measured waits, read together.

Reads the fleet and changes nothing in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from hybridllm._core.decide.plan import Kept
from hybridllm._core.resilience.breaker import refuses
from hybridllm._core.resilience.standing import ALL_FREE, Standing
from hybridllm._core.resilience.throttle import admitted_share

if TYPE_CHECKING:
    from hybridllm._runtime.fleet import Fleet

_NOBODY: frozenset[int] = frozenset()


class Standings:
    """The fleet, as one request's plan sees it.

    Args:
        fleet: Whose state is read.
        now_s: The clock's monotonic seconds.
        draw: A number in [0, 1], drawn anew at each call.
    """

    def __init__(self, fleet: Fleet, now_s: Callable[[], float], draw: Callable[[], float]) -> None:
        self._fleet = fleet
        self._now_s = now_s
        self._draw = draw

    def now(
        self,
        kept: tuple[Kept, ...],
        *,
        remaining_s: float = float("inf"),
        stream: bool = False,
        promised: str | None = None,
        waits: Collection[str] = (),
    ) -> Standing:
        """Return who of the plan can be asked now.

        Args:
            kept: The plan's candidates.
            remaining_s: Until the request's deadline: who usually takes longer is no use.
            stream: Whether it is about a first token, or a whole answer.
            promised: The backend of which the request was promised a slot.
            waits: Backends that the request may not leave, though they have too much to do.
        """
        slow = _NOBODY
        fleet = self._fleet
        if remaining_s <= fleet.slowest_s:
            slow = self._too_slow(kept, remaining_s, stream=stream)
        slots, unwell = fleet.slots, fleet.unwell
        warmths = fleet.warmths
        if not (unwell or fleet.gated or slots or slow or warmths):
            return ALL_FREE
        refused: dict[int, str] = {}
        gates: dict[int, float] = {}
        cold: dict[int, float] = {}
        now_s = self._now_s()
        for place, one in enumerate(kept):
            candidate = one.candidate
            gate = fleet.gate(candidate)
            back_in_s = warmths.back_in_s(candidate.backend.name) if warmths else None
            if back_in_s is not None:
                warmths.wanted(candidate.backend.name)
                refused[place] = f"waking up, {back_in_s:.0f} s to go"
                cold[place] = back_in_s
            elif gate is not None:
                refused[place] = gate.words
                gates[place] = max(0.0, gate.until_s - now_s)
            elif (candidate.backend.name, candidate.model.name) in unwell:
                state = fleet.record(candidate).breaker
                if refuses(state, now_s):
                    refused[place] = f"breaker {state.phase.value}"
        full = _NOBODY
        if slots:
            names = [one.candidate.backend.name for one in kept]
            full = frozenset(
                place
                for place, name in enumerate(names)
                if slots.full(name, promised=promised)
                or (name in waits and slots.must_wait(name, promised=promised))
            )
        if not (refused or full or slow):
            return ALL_FREE
        return Standing(refused, gates, full, slow, cold=cold)

    def in_panic(
        self, kept: tuple[Kept, ...], standing: Standing, places: Iterable[int]
    ) -> tuple[int, ...]:
        """Return whom of these, though all are refused, the throttle admits, the likeliest first.

        Draws once for each.
        """
        now_s = self._now_s()
        admitted = []
        for place in places:
            candidate = kept[place].candidate
            record = self._fleet.record(candidate)
            if self._draw() < admitted_share(record.throttle, now_s):
                admitted.append((place in standing.gates, -record.throttle.accepted_at_s, place))
        return tuple(place for *_, place in sorted(admitted))

    def back_in_s(self, kept: Sequence[Kept], standing: Standing) -> float:
        """Return in how many seconds the first of those refused may be asked again; 0: now."""
        now_s = self._now_s()
        waits = []
        for place, one in enumerate(kept):
            record = self._fleet.remembered(one.candidate)
            open_s = 0.0 if record is None else record.breaker.until_s - now_s
            asleep_s = standing.cold.get(place, 0.0)
            waits.append(max(0.0, standing.gates.get(place, 0.0), open_s, asleep_s))
        return min(waits, default=0.0)

    def _too_slow(
        self, kept: tuple[Kept, ...], remaining_s: float, *, stream: bool
    ) -> frozenset[int]:
        """Who usually takes longer than there is time; one at a time is tried all the same."""
        fleet, slow = self._fleet, []
        for place, one in enumerate(kept):
            pace = fleet.pace(one.candidate, stream=stream)
            if pace is None or pace.value_s < remaining_s:  # at its worst it is fast enough
                continue
            usual_s = fleet.latencies.usual_s(one.candidate.name, stream=stream)
            busy = fleet.busy(one.candidate.backend.name)
            if usual_s is not None and usual_s > remaining_s and busy:
                slow.append(place)
        return frozenset(slow)
