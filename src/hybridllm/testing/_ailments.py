"""What can ail a backend of a simulated fleet, from when until when.

A `Fault` says how one request goes wrong, here as over real sockets. What needs the passing of time says
itself here: slowness by a factor, a death, too many requests, a backend that comes and goes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from hybridllm.testing._faults import Fault, FaultKind

CUTS = frozenset({"fin", "rst", "eof", "partial_event", "done_without_finish", "abort", "stall"})
"""The ways of `Fault.cut_after` that a simulated fleet knows."""

_KINDS = frozenset(
    {
        FaultKind.NONE,
        FaultKind.REFUSE,
        FaultKind.BLACKHOLE,
        FaultKind.HANG,
        FaultKind.HANG_AFTER_HEAD,
        FaultKind.STATUS,
        FaultKind.RESET_BEFORE_HEAD,
        FaultKind.RESET_MID_HEAD,
        FaultKind.FIN_BEFORE_HEAD,
        FaultKind.GARBAGE,
        FaultKind.BODY,
        FaultKind.SLOW,
        FaultKind.CUT,
    }
)


@dataclass(frozen=True, slots=True)
class Slower:
    """Every answer takes `times` as long, to its first token and from there on."""

    times: float

    def __post_init__(self) -> None:
        if not self.times > 0:
            raise ValueError(f"an answer cannot take {self.times} times as long")


@dataclass(frozen=True, slots=True)
class Killed:
    """The server dies: what it was working on is cut off, and from then on it refuses connections."""


@dataclass(frozen=True, slots=True)
class Crowded:
    """It works on `slots` requests at once; the others wait, as in a vLLM server.

    Attributes:
        slots: Requests that it works on at once.
        queue_max: How many may wait; one more gets a 503. None: no limit, so that only time tells.
    """

    slots: int
    queue_max: int | None = None

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise ValueError(f"a server works on 1 request at once or more: {self.slots}")


@dataclass(frozen=True, slots=True)
class Flapping:
    """It is struck for `down_s` seconds, well for `up_s`, and so on.

    Attributes:
        fault: What strikes it.
    """

    fault: Fault
    down_s: float = 5.0
    up_s: float = 5.0

    def __post_init__(self) -> None:
        if not (self.down_s > 0 and self.up_s > 0):
            raise ValueError(f"both must be above 0: down {self.down_s} s, up {self.up_s} s")


Ailment = Fault | Slower | Killed | Crowded | Flapping
"""What `SimulatedFleet.strike` takes."""


@dataclass(frozen=True, slots=True)
class Spell:
    """An ailment, from `from_s` up to `until_s`, in the event loop's time."""

    ailment: Ailment
    from_s: float
    until_s: float

    def __post_init__(self) -> None:
        if not self.from_s < self.until_s:
            raise ValueError(f"ends before it begins: {self.from_s} s to {self.until_s} s")
        fault = self.ailment.fault if isinstance(self.ailment, Flapping) else self.ailment
        if isinstance(fault, Fault):
            _check(fault)


@dataclass(slots=True)
class Condition:
    """How a backend is at one moment.

    Attributes:
        faults: That may strike a request.
        slowness: How many times as long everything takes.
        crowd: Its capacity; None: without limit.
        worse_at_s: When its condition next changes; infinite: never.
    """

    faults: tuple[Fault, ...] = ()
    slowness: float = 1.0
    crowd: Crowded | None = None
    worse_at_s: float = math.inf


_REFUSED = Fault.refuse()


def condition(spells: Iterable[Spell], now_s: float, crowd: Crowded | None) -> Condition:
    """Return how a backend with these spells is at one moment, and how long that holds."""
    found = Condition(crowd=crowd)
    for spell in spells:
        if now_s < spell.from_s:
            found.worse_at_s = min(found.worse_at_s, spell.from_s)
            continue
        if now_s >= spell.until_s:
            continue
        found.worse_at_s = min(found.worse_at_s, spell.until_s)
        match spell.ailment:
            case Fault() as fault:
                found.faults += (fault,)
            case Slower(times):
                found.slowness *= times
            case Killed():
                found.faults += (_REFUSED,)
            case Crowded() as smaller:
                found.crowd = smaller
            case Flapping(fault, down_s, up_s):
                period_s = down_s + up_s
                turn, into_s = divmod(now_s - spell.from_s, period_s)
                began_s = spell.from_s + turn * period_s
                if into_s < down_s:
                    found.faults += (fault,)
                change_s = began_s + (down_s if into_s < down_s else period_s)
                found.worse_at_s = min(
                    found.worse_at_s, max(change_s, math.nextafter(now_s, math.inf))
                )
    return found


def deaths(spells: Iterable[Spell]) -> tuple[float, ...]:
    """Return when a backend with these spells dies, in order."""
    return tuple(sorted(each.from_s for each in spells if isinstance(each.ailment, Killed)))


def _check(fault: Fault) -> None:
    """Refuse a fault that only real sockets have.

    Raises:
        ValueError: With those that are known.
    """
    if fault.kind not in _KINDS:
        known = ", ".join(sorted(kind.value for kind in _KINDS))
        raise ValueError(
            f"a simulated fleet has no sockets for {fault.kind.value!r}; known: {known}"
        )
    if fault.kind is FaultKind.CUT and fault.how not in CUTS:
        raise ValueError(f"unknown here: a cut {fault.how!r}; known: {', '.join(sorted(CUTS))}")
    if fault.times is not None or fault.path is not None:
        raise ValueError("in a simulated fleet the time limits a fault: give from_s and until_s")
