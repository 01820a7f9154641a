"""All counts of a router: which scopes a request is counted in, and what they came to.

Names of one's own (a tenant, a task) are bounded: beyond `OWN_MAX` of a kind, the one that was counted the
longest ago is pushed out, and counts anew when it comes again.
"""

from __future__ import annotations

from collections import OrderedDict

from hybridllm._core.receipt import Attempt, Receipt
from hybridllm._core.volume.counter import Counter
from hybridllm._core.volume.days import NOTHING, PICO, Amounts
from hybridllm._core.volume.needs import ALL, Needs

OWN_MAX = 1_000


class Counters:
    """The counters of the scopes that are needed.

    Attributes:
        fixed: By scope, those that are known from the policy; `all` among them unless nothing is counted.
        own: By kind, and by scope, those that came with requests; the latest last.
        pushed_out: True once a name was pushed out since it was last set to False.
    """

    def __init__(self, *, own_max: int = OWN_MAX) -> None:
        self.fixed: dict[str, Counter] = {}
        self.own: dict[str, OrderedDict[str, Counter]] = {}
        self.pushed_out = False
        self._needs = Needs()
        self._own_max = own_max
        self._named: dict[str, dict[str, Counter]] = {}  # kind -> name -> the same as in `fixed`
        self._touched: set[Counter] = set()  # of somebody's own, since the last beat
        self._now_s = 0.0

    def follow(self, needs: Needs, now_s: float) -> None:
        """Count what is needed from now on; what was counted before goes on."""
        self._needs, self._now_s = needs, now_s
        known, self.fixed = self.fixed, {}
        for scope, rings in needs.fixed.items():
            counter = known.pop(scope, None) or self._moved_in(scope)
            if counter is None:
                counter = Counter(scope, rings, now_s)
            else:
                counter.follow(rings, now_s)
            self.fixed[scope] = counter
        for kind in self.own.keys() - needs.own.keys():
            del self.own[kind]
        for kind, rings in needs.own.items():
            own = self.own.setdefault(kind, OrderedDict())
            own |= {scope: one for scope, one in known.items() if scope.startswith(f"{kind}:")}
            for counter in own.values():
                counter.follow(rings, now_s)
        self._touched |= set(known.values())  # what came of them since the last beat is not lost
        self._named = {}
        for scope, counter in self.fixed.items():
            kind, _, name = scope.partition(":")
            self._named.setdefault(kind, {})[name] = counter

    def _moved_in(self, scope: str) -> Counter | None:
        """Return the counter of a scope that was somebody's own so far, and is named now."""
        kind = scope.partition(":")[0]
        return self.own[kind].pop(scope, None) if kind in self.own else None

    def count(self, receipt: Receipt) -> None:
        """Count a request that has ended; one that was sent to nobody is no volume."""
        attempts = receipt.attempts
        if not attempts:
            return
        told = [self.fixed[ALL]]
        named = self._named
        if named.get("route") and (found := named["route"].get(receipt.route or "")):
            told.append(found)
        for kind, name in (("tenant", receipt.tenant), ("task", receipt.task)):
            if name and (found := self.one(kind, name, make=True)):
                told.append(found)
        asked: set[Counter] = set()
        for number, attempt in enumerate(attempts):
            amounts = _used(attempt)
            for counter in told:
                counter.add(0 if number else 1, *amounts)
            for kind, name in (("model", attempt.model), ("backend", attempt.backend)):
                of_kind = named.get(kind)
                one = None if of_kind is None else of_kind.get(name)
                if one is not None:
                    one.add(0 if one in asked else 1, *amounts)
                    asked.add(one)

    def one(self, kind: str, name: str, *, make: bool = False) -> Counter | None:
        """Return the counter of a scope; None: it is not counted.

        Args:
            kind: `tenant`, `task`, `model`, `route` or `backend`.
            name: Of it.
            make: True if a name that is somebody's own, and is counted, is to be counted from now on.
        """
        if kind in self._named and (found := self._named[kind].get(name)) is not None:
            return found
        own = self.own.get(kind)
        if own is None:
            return None
        scope = f"{kind}:{name}"
        found = own.get(scope)
        if not make:
            return found
        if found is None:
            found = own[scope] = Counter(scope, self._needs.own[kind], self._now_s)
            if len(own) > self._own_max:
                own.popitem(last=False)
                self.pushed_out = True
        else:
            own.move_to_end(scope)
        self._touched.add(found)
        return found

    def known(self, scope: str) -> Counter | None:
        """Return the counter of a scope by its whole name."""
        kind, _, name = scope.partition(":")
        return self.fixed.get(scope) or self.one(kind, name)

    def beat(
        self, counted_at_s: float, now_s: float, *, day: int, today: int
    ) -> list[tuple[str, Amounts]]:
        """Put what came since the last beat where it belongs, and return it: scope and amounts.

        Args:
            counted_at_s: When it came.
            now_s: Now.
            day: On which day it came.
            today: Which day it is now.
        """
        self._now_s = now_s
        touched, self._touched = self._touched, set()
        beaten = (
            (counter.scope, counter.beat(counted_at_s, day=day, today=today))
            for counter in (*self.fixed.values(), *touched)
        )
        return [(scope, amounts) for scope, amounts in beaten if amounts is not None]

    def open_day(self, today: int) -> list[tuple[str, Amounts]]:
        """Make a day one that is counted, of the scopes that the policy names; return those it was new to.

        A day on which nothing comes is known to be one, then. A tenant's or a task's own day is only
        counted if it sends something.
        """
        new = [counter for counter in self.fixed.values() if counter.days[today] is None]
        for counter in new:
            counter.days.add(today, NOTHING, today=today)
        return [(counter.scope, NOTHING) for counter in new]

    def clear_fresh(self) -> None:
        """Forget what came since the last beat: another process counts it."""
        for counter in (*self.fixed.values(), *self._touched):
            counter.clear_fresh()
        self._touched = set()


def _used(attempt: Attempt) -> tuple[int, int, int, int, int]:
    """Prompt and completion tokens, cached ones and of how many, and the cost in 10^-12 USD."""
    usage, cost_usd = attempt.usage, attempt.cost_usd
    pico_usd = round(cost_usd * PICO) if cost_usd else 0
    if usage is None:
        return 0, 0, 0, 0, pico_usd
    cached = usage.cached_input_tokens
    if cached is None:
        return usage.input_tokens, usage.output_tokens, 0, 0, pico_usd
    return usage.input_tokens, usage.output_tokens, cached, usage.input_tokens, pico_usd
