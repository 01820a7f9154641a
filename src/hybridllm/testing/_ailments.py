"""What can ail a backend of a simulated fleet, from when until when.

A `Fault` says how one request goes wrong, here as over real sockets. What needs the passing of time says
itself here: slowness by a factor, a death, too many requests, a backend that comes and goes; an engine that
stands still, and what is told of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

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


@dataclass(frozen=True, slots=True)
class Frozen:
    """The engine of a vLLM stands still, as under SIGSTOP: requests hang and go on when it is over.

    Health and metrics pages answer as ever; what they tell stands still too.
    """


@dataclass(frozen=True, slots=True)
class MetricsFault:
    """What a vLLM tells of its load is wrong, while it serves as ever. Made with the class methods.

    Attributes:
        kind: Which one.
        fault: Of `struck`.
        seconds: Of `late`.
    """

    kind: Literal["struck", "frozen", "idle", "late"]
    fault: Fault | None = None
    seconds: float = 0.0

    @classmethod
    def struck(cls, fault: Fault) -> Self:
        """Its metrics page fails so: `Fault.refuse()`, `.status(500)`, `.hang()`, `.slow(3)`, `.html()`."""
        return cls("struck", fault)

    @classmethod
    def frozen(cls) -> Self:
        """Page and load header tell for ever what they told when this began."""
        return cls("frozen")

    @classmethod
    def idle(cls) -> Self:
        """Page and load header tell that nobody is served and nobody waits; the counters are true."""
        return cls("idle")

    @classmethod
    def late(cls, seconds: float) -> Self:
        """Page and load header tell what was true so many seconds ago."""
        if not seconds > 0:
            raise ValueError(f"what is late is late by more than 0 s: {seconds}")
        return cls("late", seconds=seconds)


Ailment = Fault | Slower | Killed | Crowded | Flapping | Frozen | MetricsFault
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
        match self.ailment:
            case (Flapping(fault=Fault() as fault) | MetricsFault(fault=Fault() as fault)) | (
                Fault() as fault
            ):
                _check(fault)
            case _:
                pass


@dataclass(slots=True)
class Condition:
    """How a backend is at one moment.

    Attributes:
        faults: That may strike a request.
        slowness: How many times as long everything takes.
        crowd: Its capacity; None: without limit.
        frozen: Whether its engine stands still.
        metrics: What is wrong with what it tells, and since when.
        worse_at_s: When its condition next changes; infinite: never.
    """

    faults: tuple[Fault, ...] = ()
    slowness: float = 1.0
    crowd: Crowded | None = None
    frozen: bool = False
    metrics: tuple[tuple[MetricsFault, float], ...] = ()
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
            case Frozen():
                found.frozen = True
            case MetricsFault() as told:
                found.metrics += ((told, spell.from_s),)
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
