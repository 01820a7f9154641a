"""All counts of a router: which scopes a request is counted in, and what they came to.

Names of one's own (a tenant, a task) are bounded: beyond `OWN_MAX` of a kind, the one that was counted the
longest ago is pushed out, and counts anew when it comes again.
"""

from __future__ import annotations

from collections import OrderedDict
from decimal import Decimal
from typing import Any

from hybridllm._core.money.pico import PICO
from hybridllm._core.receipt import Attempt, Receipt
from hybridllm._core.volume.counter import Counter
from hybridllm._core.volume.days import NOTHING, Amounts
from hybridllm._core.volume.needs import ALL, Needs

OWN_MAX = 1_000
_NO_USD = Decimal(0)
_ONE_REQUEST = Amounts(requests=1)
_Key = tuple[str | None, str | None, str | None, str, str]


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
        self._kinds: frozenset[str] = frozenset()
        self._touched: set[Counter] = set()  # of somebody's own, since the last beat
        self._now_s = 0.0
        # Since the last beat: (route, tenant, task, model, backend) -> as in Amounts, but the cost in USD
        self._fresh: dict[_Key, list[Any]] = {}

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
        self._kinds = frozenset((*self._named, *self.own))

    def _moved_in(self, scope: str) -> Counter | None:
        """Return the counter of a scope that was somebody's own so far, and is named now."""
        kind = scope.partition(":")[0]
        return self.own[kind].pop(scope, None) if kind in self.own else None

    def count(self, receipt: Receipt) -> None:
        """Count a request that has ended; one that was sent to nobody is no volume."""
        attempts = receipt.attempts
        if len(attempts) != 1:
            self._count_many(receipt)
            return
        attempt = attempts[0]
        tenant = receipt.tenant if "tenant" in self._kinds else None
        task = receipt.task if "task" in self._kinds else None
        key = (receipt.route, tenant, task, attempt.model, attempt.backend)
        sums = self._fresh.get(key)
        if sums is None:
            sums = self._fresh[key] = [0, 0, 0, 0, 0, _NO_USD]
        sums[0] += 1
        _use(sums, attempt)

    def _count_many(self, receipt: Receipt) -> None:
        """Count a request with several attempts: once for itself, and for each that was asked."""
        asked: set[Counter] = set()
        of_request = self._of_request(receipt.route, receipt.tenant, receipt.task)
        for number, attempt in enumerate(receipt.attempts):
            sums: list[Any] = [0, 0, 0, 0, 0, _NO_USD]
            _use(sums, attempt)
            amounts = _amounts(sums)
            for counter in of_request:
                counter.add(amounts if number else amounts.plus(_ONE_REQUEST))
            for counter in self._of_attempt(attempt.model, attempt.backend):
                counter.add(amounts if counter in asked else amounts.plus(_ONE_REQUEST))
                asked.add(counter)

    def _of_request(self, route: str | None, tenant: str | None, task: str | None) -> list[Counter]:
        found: list[Counter | None] = [self.fixed[ALL]]
        for kind, name in (("route", route), ("tenant", tenant), ("task", task)):
            if name:
                found.append(self.one(kind, name, make=True))
        return [counter for counter in found if counter is not None]

    def _of_attempt(self, model: str, backend: str) -> list[Counter]:
        found = (self.one("model", model), self.one("backend", backend))
        return [counter for counter in found if counter is not None]

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
        fresh, self._fresh = self._fresh, {}
        for (route, tenant, task, model, backend), sums in fresh.items():
            amounts = _amounts(sums)
            for counter in self._of_request(route, tenant, task):
                counter.add(amounts)
            for counter in self._of_attempt(model, backend):
                counter.add(amounts)
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
        self._touched, self._fresh = set(), {}


def _use(sums: list[Any], attempt: Attempt) -> None:
    """Add what an attempt used, as far as it is known."""
    usage = attempt.usage
    if usage is not None:
        sums[1] += usage.input_tokens
        sums[2] += usage.output_tokens
        cached = usage.cached_input_tokens
        if cached is not None:
            sums[3] += cached
            sums[4] += usage.input_tokens
    if attempt.cost_usd is not None:
        sums[5] += attempt.cost_usd


def _amounts(sums: list[Any]) -> Amounts:
    requests, tokens_in, tokens_out, cached_in, told_in, usd = sums
    return Amounts(requests, tokens_in, tokens_out, cached_in, told_in, round(usd * PICO))
