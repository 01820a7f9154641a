"""How busy backends are, as decisions look at it: the loads of those whose load decides somewhere.

Reads the fleet and changes nothing in it. Our own requests, slots, breakers and gates are exact; what a
backend tells of itself is brought by `load_watch.py` and by the heads of answers. A load is worked out when
something has changed; a decision that finds nothing new takes what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from hybridllm._core.decide.snapshot import Load
from hybridllm._core.money.capacity import FixedCost
from hybridllm._core.policy.compiled import BackendKind
from hybridllm._core.telemetry.load_header import read_header
from hybridllm._core.telemetry.report import TelemetryProblem
from hybridllm._core.telemetry.watched import Judged, Watched
from hybridllm._runtime.hindrances import NO_HINDRANCE, Hindrance, hindrances

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Backend, Candidate, Policy
    from hybridllm._core.request.read import Call
    from hybridllm._core.telemetry.heard import Asked
    from hybridllm._core.telemetry.report import LoadReport
    from hybridllm._runtime.fleet import Fleet
    from hybridllm._runtime.permit import Permit

LoadTold = Callable[[str, Judged], None]
"""Hears of a backend's load each time that it was asked."""

HOLDS_S = 1.0
"""So long a load holds at most: what it costs and when it wakes moves by itself."""

_NOT_FIXED = FixedCost()
_NOTHING_USD = (0.0, 0.0)


class _Known(NamedTuple):
    """A load, and until when it holds.

    Attributes:
        too_much: Whether it is saturated, its own limit of slots apart, and not for its silence.
        slotless: Whether it had no slot of those that we may use.
    """

    load: Load
    until_s: float
    too_much: bool
    slotless: bool


class Loads:
    """The loads of the backends of a policy.

    Args:
        fleet: Whose state is read.
        now_s: The clock's monotonic seconds.

    Attributes:
        spent_usd: What a backend has cost this UTC day and this UTC month; None: nobody looks.
        watch: Called by a decision when nobody asks the backends for their pages; None: nobody can.
        hurry: Called with one that should be asked again soon; None: nobody can.
        tell: Who is told what was heard; None: nobody.
        watching: Whether somebody asks all of them.
        used_at_s: When a decision, or somebody who waits, last looked.
    """

    def __init__(self, fleet: Fleet, now_s: Callable[[], float]) -> None:
        self._fleet = fleet
        self._now_s = now_s
        self._watched: dict[str, Watched] = {}
        self._candidates: dict[str, list[Candidate]] = {}
        # Who may be without a slot though nothing was heard or done: always, and after it has woken.
        self._limited: tuple[str, ...] = ()
        self._sleepers: tuple[str, ...] = ()
        self._known: dict[str, _Known] = {}
        self._loads: Mapping[str, Load] | None = None  # of all; None: one of them has changed
        self._changed: set[str] = set()
        self._until_s = float("-inf")
        self._hindered: Mapping[str, Hindrance] = {}
        self.spent_usd: Callable[[str], tuple[float, float]] | None = None
        self.watch: Callable[[], None] | None = None
        self.hurry: Callable[[str], None] | None = None
        self.tell: LoadTold | None = None
        self.watching = False
        self.used_at_s = float("-inf")

    def __bool__(self) -> bool:
        return bool(self._watched)

    def follow(self, policy: Policy, same: Collection[str] = ()) -> None:
        """Look at the backends of another policy.

        Args:
            policy: The one from now on.
            same: Backends that are where they were: what is known of them is kept.
        """
        former, self._watched = self._watched, {}
        for name in sorted(policy.loaded):
            backend = policy.backends[name]
            kept = former.get(name) if name in same else None
            if kept is None:
                kept = Watched(backend, own=is_own(backend))
            kept.backend = backend
            self._watched[name] = kept
        self._candidates = {name: [] for name in self._watched}
        for served in policy.candidates.values():
            for one in served:
                if one.backend.name in self._candidates:
                    self._candidates[one.backend.name].append(one)
        watched = self._watched.items()
        self._limited = tuple(n for n, one in watched if one.backend.concurrency is not None)
        self._sleepers = tuple(n for n, one in watched if one.backend.cold_start is not None)
        self._known.clear()
        self._loads, self._until_s = None, float("-inf")
        self._changed = set(self._watched)
        self._hindered = {}
        self.watching = False

    # -- for decisions

    def of(self) -> Mapping[str, Load]:
        """Return the load of every backend whose load decides somewhere, by name."""
        now_s = self.used_at_s = self._now_s()
        if not self.watching and self.watch is not None:
            self.watch()
        fleet = self._fleet
        if fleet.unwell or fleet.gated or fleet.warmths or self._hindered:
            self._look_at_hindrances(now_s)
        limited = self._limited
        if self._sleepers and fleet.warmths.ramps(now_s):
            limited += self._sleepers
        for name in limited:
            if name in self._known and fleet.slots.full(name) is not self._known[name].slotless:
                self._changed.add(name)
        if now_s >= self._until_s:
            self._renew([name for name in self._watched if self._is_over(name, now_s)], now_s)
        elif self._changed:
            self._renew(tuple(self._changed), now_s)
        if self._loads is None:
            self._loads = {name: known.load for name, known in self._known.items()}
        return self._loads

    def saturated(self, backend: str) -> bool:
        """Return whether a backend has as much to do as it can take, its own limit of slots apart.

        One that has told nothing lately is not waited for: it is not known whether it has.
        """
        if backend not in self._watched:
            return False
        now_s = self.used_at_s = self._now_s()  # who waits for it wants it asked on
        if self._is_over(backend, now_s):
            self._renew((backend,), now_s)
        return self._known[backend].too_much

    def free(self, backend: str) -> int | None:
        """Return how many more requests a backend could work on at once; None: not known."""
        one = self._watched.get(backend)
        if one is None:
            return None
        free = one.free(self._fleet.under_way(backend), self._now_s())
        return None if free is None else int(free)

    def _is_over(self, name: str, now_s: float) -> bool:
        known = self._known.get(name)
        return known is None or now_s >= known.until_s or name in self._changed

    def _look_at_hindrances(self, now_s: float) -> None:
        before, now = self._hindered, hindrances(self._fleet, self._candidates, now_s)
        self._hindered = now
        self._changed.update(
            name for name in before.keys() | now.keys() if before.get(name) != now.get(name)
        )

    def _renew(self, names: Collection[str], now_s: float) -> None:
        known = self._known
        for name in names:
            known[name] = self._worked_out(name, now_s)
            self._changed.discard(name)
        self._loads = None
        if len(known) == len(self._watched):
            self._until_s = min([each.until_s for each in known.values()], default=float("inf"))

    def _worked_out(self, name: str, now_s: float) -> _Known:
        fleet, one = self._fleet, self._watched[name]
        in_flight = fleet.under_way(name) + fleet.slots.promised(name)
        one.learn(now_s)
        belief, kv_used, wait_s, saturated, stale, until_s = one.judged(in_flight, now_s)
        too_much = bool(saturated) and not stale
        slotless = fleet.slots.full(name)
        if slotless and not saturated:
            saturated = "no free slot"
        hindrance = self._hindered.get(name, NO_HINDRANCE)
        fixed = fleet.uses.price_of(one.backend) or _NOT_FIXED
        load = Load(
            in_flight,
            belief.running,
            belief.waiting,
            kv_used,
            wait_s,
            saturated,
            stale,
            hindrance.rate_limited,
            hindrance.out,
            hindrance.broke,
            _NOTHING_USD if self.spent_usd is None else self.spent_usd(name),
            hindrance.cold,
            _float(fixed.average_usd_per_mtok),
            _float(fixed.marginal_usd_per_mtok),
            not fixed.has_room,
        )
        return _Known(load, min(until_s, now_s + HOLDS_S), too_much, slotless)

    # -- our own requests

    def begun(self, permit: Permit, call: Call) -> None:
        """An attempt begins."""
        name = permit.candidate.backend.name
        one = self._watched.get(name)
        if one is not None:
            tokens = call.input_tokens_estimate
            one.begun(permit, tokens, permit.taken_at_s, stream=call.stream)
            self._changed.add(name)
            if self.hurry is not None and one.outdated:
                self.hurry(name)

    def hold(self, backend: str) -> Callable[[], None]:
        """Count an attempt as sent that begins a moment later; return what ends that."""
        one, key = self._watched.get(backend), object()
        if one is None:
            return _nothing
        one.begun(key, 0, self._now_s(), stream=False)
        self._changed.add(backend)

        def let_go() -> None:
            one.over(key, self._now_s(), answered=False)
            self.changed(backend)

        return let_go

    def first_token(
        self, permit: Permit, seconds: float, now_s: float, *, prompt_tokens: int
    ) -> None:
        """An attempt's stream has brought its first token."""
        name = permit.candidate.backend.name
        one = self._watched.get(name)
        if one is not None:
            one.first_token(permit, prompt_tokens, seconds, now_s)
            self._changed.add(name)

    def over(self, permit: Permit, *, answered: bool) -> None:
        """An attempt has ended."""
        name = permit.candidate.backend.name
        one = self._watched.get(name)
        if one is not None:
            one.over(permit, self._now_s(), answered=answered)
            self._changed.add(name)

    def used(self, permit: Permit, tokens: int, now_s: float) -> None:
        """An attempt took so many tokens, prompt and answer."""
        one = self._watched.get(permit.candidate.backend.name)
        if one is not None:
            one.used(tokens, now_s)

    # -- what backends tell

    def asks_in_requests(self, backend: Backend) -> bool:
        """Return whether requests to a backend ask for a load report in the head of the answer."""
        return backend.kind is BackendKind.VLLM and backend.name in self._watched

    def told_in_answer(self, backend: str, header: str) -> None:
        """The head of an answer has told something."""
        one = self._watched.get(backend)
        if one is None:
            return
        try:
            report = read_header(header)
        except TelemetryProblem:
            return
        if report.tells:
            one.told_in_answer(report, self._now_s())
            self._heard(backend)

    def asks(self, backend: str) -> Asked | None:
        """Return what is known as a backend is asked for its page; None: it is not to be asked any more."""
        one = self._watched.get(backend)
        return None if one is None else one.asks(self._now_s())

    def told(self, backend: str, report: LoadReport | None, asked: Asked) -> None:
        """A page has come; None: none came, or it told nothing."""
        one = self._watched.get(backend)
        if one is None:
            return
        if report is None:
            one.told_nothing()
        else:
            one.told(report, asked, self._now_s())
        self._heard(backend)
        if self.tell is not None:
            self.tell(backend, one.judged(self._fleet.under_way(backend), self._now_s()))

    def changed(self, backend: str) -> None:
        """How many slots of a backend are promised has changed."""
        if backend in self._watched:
            self._changed.add(backend)

    def _heard(self, backend: str) -> None:
        self._changed.add(backend)
        self._fleet.slots.freed(backend)

    def unasked(self, backend: str) -> None:
        """A backend is not asked any more, for now."""
        self.watching = False
        one = self._watched.get(backend)
        if one is not None:
            one.asked_since_s = None
            self._changed.add(backend)

    @property
    def watched(self) -> Mapping[str, Watched]:
        """What is known of each, by name."""
        return self._watched

    def seen(self, backend: str) -> tuple[Watched, Judged] | None:
        """Return what is known of a backend, and what that comes to now. Changes nothing."""
        one = self._watched.get(backend)
        if one is None:
            return None
        return one, one.judged(self._fleet.under_way(backend), self._now_s())


def is_own(backend: Backend) -> bool:
    """Whether a backend is a server of one's own, that may have a page of metrics."""
    return backend.kind is BackendKind.VLLM or backend.operator == "self"


def _nothing() -> None:
    """Nothing is held."""


def _float(usd: Decimal | None) -> float | None:
    """Good enough to order by."""
    return None if usd is None else float(usd)
