"""Live volume of one router: counted as requests end, looked at once a second, kept over restarts.

What a request costs is a few additions; everything else is done at a beat, the first thing that happens in a
second. Durations are monotonic, days are the wall clock's, UTC. Everything is synchronous but the file, which
a task of its own writes and reads (`keep_volumes.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from itertools import islice

from hybridllm._core.decide.match import Held
from hybridllm._core.money.pico import PICO
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.hybrid import BreakEven, Volume
from hybridllm._core.receipt import Receipt
from hybridllm._core.volume.counters import OWN_MAX, Counters
from hybridllm._core.volume.days import Amounts
from hybridllm._core.volume.gate import NEVER, GateState
from hybridllm._core.volume.gates import UNKNOWN, Flip, Gates, looks_at_hours
from hybridllm._core.volume.needs import ALL, OWN, needs_of
from hybridllm._core.volume.stored import (
    Stored,
    StoredState,
    Wanted,
    digest_of,
    names_of,
    states_of,
)
from hybridllm._runtime.crossings import Crossings, Standing, condition_text, crossing_of
from hybridllm._runtime.ports import Clock
from hybridllm._runtime.volume_book import VolumeBook

BEAT_S = 1.0
LATEST_DAYS = 2
"""So many days back another process may still write to."""
_OWN_SEEN = 64
_DAY_S = 86_400.0

_logger = logging.getLogger("hybridllm")


class Volumes:
    """The volumes of one router.

    Args:
        policy: The one in force.
        clock: Time; asked inside an event loop only.
        book: Where they are kept; None: in memory only.
        own_max: So many tenants, and so many tasks, are counted as somebody's own.

    Attributes:
        counting: False if the policy asks for nothing: then nothing is counted.
        crossings: The conditions that have begun or ended to hold lately, and who is told of them.
        stirred: True if something came that is not in the file yet; whoever puts it there says False.
        on_stirred: Called when it becomes True.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        clock: Clock,
        book: VolumeBook | None = None,
        own_max: int = OWN_MAX,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self.book = book
        self._own_max = own_max
        self._counters = Counters(own_max=own_max)
        self._gates = Gates()
        self._known: set[str] = set()  # scopes whose days were read from the file
        self._restored: set[str] = set()  # digests of conditions whose states were
        self._warned = False
        self._begun = False
        self._ahead_s = 0.0  # of the loop's time, which may begin anew
        self._now_s = 0.0  # of the latest beat
        self._next_beat_s = float("-inf")
        self._utc: datetime | None = None  # of the latest beat
        self._today = 0
        self._spent: dict[str, tuple[float, float]] = {}
        self.crossings = Crossings()
        self.stirred = False
        self.on_stirred: Callable[[], None] | None = None
        self.on_beat: Callable[[], None] | None = None
        self.counting = bool(needs_of(policy, kept=book is not None))

    # Requests

    def count(self, receipt: Receipt, now_s: float) -> None:
        """Count a request that has ended."""
        if not self.counting:
            return
        now_s += self._ahead_s
        if now_s >= self._next_beat_s:
            self._beat(now_s)
        self._counters.count(receipt)
        if not self.stirred:
            self.stir()

    def held(self, now_s: float, *, tenant: str | None, task: str | None) -> frozenset[Held]:
        """Return the live conditions that hold for a request of this tenant and this task."""
        if not self.counting:
            return self._gates.held
        now_s += self._ahead_s
        if now_s >= self._next_beat_s:
            self._beat(now_s)
        if self._gates.looks_at_own:
            self._look_at_own(now_s, {"tenant": tenant, "task": task})
        return self._gates.held

    def held_now(self, *, tenant: str | None, task: str | None) -> frozenset[Held]:
        """Return the same, now; as of the latest look, where the clock cannot be asked."""
        now_s = self._clock_s()
        return self._gates.held if now_s is None else self.held(now_s, tenant=tenant, task=task)

    def spent_usd(self, backend: str) -> tuple[float, float]:
        """Return what a backend's attempts of this UTC day and of this UTC month cost, as far as is known."""
        known = self._spent.get(backend)
        if known is None:
            known = self._spent[backend] = self._sums(backend)
        return known

    def near(self, condition: Volume | BreakEven) -> float:
        """Return the share of the way to where a condition begins to hold: from 1 on it is there, or holds.

        0: nothing is known. Of a request's own, that of whoever of the latest is nearest.
        """
        now_s = self._look()
        if condition not in self._policy.live:
            return 0.0
        scope = condition.scope if isinstance(condition, Volume) else ""
        names = [""]
        if scope in OWN:
            latest = islice(reversed(self._counters.own.get(scope, ())), _OWN_SEEN)
            names = [one.partition(":")[2] for one in latest]
        return max((self._share((condition, name), now_s) for name in names), default=0.0)

    # The policy, the loop and the process

    def follow(self, policy: Policy) -> None:
        """Count for another policy: what is known of scopes and conditions that it shares stays."""
        needs = needs_of(policy, kept=self.book is not None)
        self.counting = bool(needs)
        now_s = self._clock_s()
        if not self._begun or now_s is None:
            self._policy = policy
            return
        self._beat(now_s + self._ahead_s)
        self._follow(policy)
        self.stir()

    def begin(self) -> None:
        """Begin, or go on in another event loop, whose time may begin anew."""
        now_s = self._clock.monotonic_s()
        if now_s + self._ahead_s < self._now_s:
            self._ahead_s = self._now_s - now_s
        if not self._begun:
            self._begun = True
            self._now_s = now_s + self._ahead_s
            self._follow(self._policy)
        self._beat(now_s + self._ahead_s)

    def forked(self) -> None:
        """Go on in a child process: what its parent has not written yet is its parent's."""
        self._counters.clear_fresh()
        if self.book is not None:
            self.book.forked()

    def beat(self) -> None:
        """Do what a beat does, now."""
        self._beat(self._clock.monotonic_s() + self._ahead_s)

    def stir(self) -> None:
        """Say that there is something to do for the file."""
        self.stirred = True
        if self.on_stirred is not None:
            self.on_stirred()

    @property
    def restless(self) -> bool:
        """Whether something holds now that ends to hold by itself, within minutes or hours."""
        return any(looks_at_hours(condition) for condition, _ in self._gates.held)

    @property
    def day_left_s(self) -> float:
        """Seconds of the UTC day that were left at the latest beat."""
        return _DAY_S if self._utc is None else _left_s(self._utc)

    # The file

    def wanted(self, *, first: bool = False) -> Wanted:
        """Return what is to be read of the file.

        Args:
            first: True at the start: then the names of one's own are read, too.
        """
        scopes = self._scopes()
        self._known &= scopes
        digests = frozenset(map(digest_of, self._policy.live))
        self._restored &= digests
        written = frozenset[str]() if self.book is None else self.book.scopes
        return Wanted(
            frozenset(scopes - self._known),
            tuple(self._counters.own) if first else (),
            self._own_max,
            frozenset(self._known & (self._counters.fixed.keys() | written)),
            self._today - LATEST_DAYS,
            digests,
        )

    def take(self, found: Stored, asked: Wanted, *, first: bool = False) -> None:
        """Take over what was read of the file.

        Args:
            found: What was there.
            asked: What was asked for.
            first: True if it was read before anything was written.
        """
        for kind, name in names_of(found.days) if first else ():
            if kind in self._counters.own:
                self._counters.one(kind, name, make=True)
        for key, total in found.days.items():
            counter = self._counters.known(key[0])
            if counter is not None and self.book is not None:
                known, there = counter.days[key[1]], total.plus(self.book.unwritten(key))
                if known is not None:  # a file that has lost something takes nothing from us
                    there = Amounts(*map(max, known, there))
                counter.days.put(key[1], there, today=self._today)
        self._known |= asked.whole | {scope for scope, _ in found.days}
        self._restore(found, asked, first=first)
        self._spent.clear()
        self._tell(self._gates.look(*self._world, self._now_s, today=self._today))

    # To be looked at

    def standings(self) -> list[Standing]:
        """Return how every condition stands; of a request's own, those that hold, or one without a name."""
        if self._utc is None:
            return [
                Standing(condition, "", False, None, UNKNOWN, 0.0)
                for condition in self._policy.live
            ]
        self._next_beat_s = float("-inf")  # who looks sees what came just now
        now_s = self._look()
        asked: list[Held] = []
        for condition in self._policy.live:
            held = [one for one in self._gates.held if one[0] == condition]
            asked += sorted(held, key=lambda one: one[1])[:_OWN_SEEN] or [(condition, "")]
        return [self._standing(one, now_s) for one in asked]

    # Inside

    @property
    def _world(self) -> tuple[Policy, Counters]:
        return self._policy, self._counters

    def _look(self) -> float:
        """Return the time, after a beat if one is due; of the latest, where the clock cannot be asked."""
        now_s = self._clock_s()
        if now_s is None or not self._begun:
            return self._now_s
        now_s += self._ahead_s
        if now_s >= self._next_beat_s:
            self._beat(now_s)
        return now_s

    def _beat(self, now_s: float) -> None:
        utc = self._clock.utc_now()
        today = utc.toordinal()
        totals = self._counters.beat(self._now_s, now_s, day=self._today or today, today=today)
        if self.book is not None:
            self.book.add(self._today or today, totals)
        if today != self._today:
            self._open(today)
        self._now_s, self._utc, self._today = now_s, utc, today
        self._next_beat_s = min(now_s // BEAT_S * BEAT_S + BEAT_S, now_s + _left_s(utc))
        self._spent.clear()
        if self._counters.pushed_out:
            self._counters.pushed_out = False
            self._gates.forget(self._counters)
        self._tell(self._gates.look(*self._world, now_s, today=today))
        if self.on_beat is not None:
            self.on_beat()

    def _open(self, today: int) -> None:
        opened = self._counters.open_day(today)
        if self.book is not None:
            self.book.add(today, opened)

    def _follow(self, policy: Policy) -> None:
        self._policy = policy
        self._counters.follow(needs_of(policy, kept=self.book is not None), self._now_s)
        self._gates.follow(policy)
        self._next_beat_s = float("-inf")  # its conditions are looked at before the next request
        if self._today:
            self._open(self._today)
        if self.book is None and not self._warned and any(map(_remembers, policy.live)):
            self._warned = True
            _logger.warning(
                "policy %s has conditions on many days (%s), and this router keeps no days: it forgets them "
                "when it ends; give it a file, Router.from_file(..., volume_file=...)",
                policy.name,
                "; ".join(condition_text(one) for one in policy.live if _remembers(one)),
            )

    def _look_at_own(self, now_s: float, names: Mapping[str, str | None]) -> None:
        due: dict[str, str | None] = {}
        for kind, name in names.items():
            counter = self._counters.one(kind, name) if name else None
            if counter is None or now_s - counter.looked_at_s < BEAT_S:
                due[kind] = None
            else:
                counter.looked_at_s, due[kind] = now_s, name
        if any(due.values()):
            flips = self._gates.look_at_own(*self._world, now_s, names=due, today=self._today)
            self._tell(flips)

    def _tell(self, flips: Collection[Flip]) -> None:
        """Have what has changed kept and told."""
        for flip in flips:
            at = self._utc or self._clock.utc_now()
            if self.book is not None:
                key = (digest_of(flip.condition), flip.whose)
                self.book.note(key, StoredState(flip.holds, at))
            self.crossings.tell(crossing_of(flip, at))

    def _restore(self, found: Stored, asked: Wanted, *, first: bool) -> None:
        """Take over states, once of each condition; those that look at hours not after a longer stop."""
        lately = first and any((ALL, self._today - back) in found.days for back in (0, 1))
        asked_for = {one: digest_of(one) for one in self._policy.live}
        new = {one: name for one, name in asked_for.items() if name not in self._restored}
        new = {one: name for one, name in new.items() if name in asked.digests}
        self._restored.update(new.values())
        if self._utc is not None:
            self._gates.restore(
                {
                    (one, whose): GateState(state.holds, self._now_s - ago_s)
                    for one, whose, state, ago_s in states_of(found, new, self._utc)
                    if lately or not looks_at_hours(one)
                }
            )
        self._gates.forget(self._counters)

    def _scopes(self) -> set[str]:
        own = (scope for scopes in self._counters.own.values() for scope in scopes)
        return {*self._counters.fixed, *own}

    def _sums(self, backend: str) -> tuple[float, float]:
        counter = self._counters.fixed.get(f"backend:{backend}")
        if counter is None or self._utc is None:
            return 0.0, 0.0
        days = counter.days.within(self._today - self._utc.day + 1, self._today)
        month = sum(amounts.pico_usd for amounts in days.values())
        today = days.get(self._today)
        return (0.0 if today is None else today.pico_usd / PICO), month / PICO

    def _share(self, held: Held, now_s: float) -> float:
        reading = self._gates.reading(held, *self._world, now_s, today=self._today)
        return self._gates.share(held, reading)

    def _standing(self, held: Held, now_s: float) -> Standing:
        state = self._gates.states.get(held, NEVER)
        since = None
        if state.since_s is not None and self._utc is not None:
            since = self._utc + timedelta(seconds=state.since_s - self._now_s)
        reading = self._gates.reading(held, *self._world, now_s, today=self._today)
        share = self._gates.share(held, reading)
        return Standing(*held, state.holds, since, reading, share)

    def _clock_s(self) -> float | None:
        """The time; None: the clock follows an event loop, and none runs here."""
        try:
            return self._clock.monotonic_s()
        except RuntimeError:
            return None


def _left_s(utc: datetime) -> float:
    """Seconds until the next midnight."""
    passed = utc.hour * 3_600 + utc.minute * 60 + utc.second + utc.microsecond / 1e6
    return _DAY_S - passed


def _remembers(condition: Volume | BreakEven) -> bool:
    return isinstance(condition, BreakEven) or bool(condition.sustained_days)
