"""What two policies make of the same requests: class by class, each decided under both.

Requests are cut by the conditions of both policies; within a class neither can tell one from another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace

from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.policy.ceilings import NO_CEILINGS, Ceilings
from hybridllm._core.policy.compiled import OrderBy, Policy, Use
from hybridllm._core.policy.hybrid import Overflow
from hybridllm._core.policy.objectives import NO_SLO, Slo
from hybridllm._core.proof.boxes import Box, Test, as_test, cut, merged
from hybridllm._core.proof.space import ASK_AT, WHO_AT, Space, View

CELLS_MAX = 20_000
_ORDERS = {
    OrderBy.LOAD: "by load",
    OrderBy.PRICE: "by price",
    OrderBy.LATENCY: "by latency",
    OrderBy.MARGINAL_PRICE: "by marginal price",
    OrderBy.PREFIX: "by prefix",
    OrderBy.FILE: "in this order",
}


class TooManyCells(Exception):
    """Two policies tell more classes apart than can be compared."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy makes of a class of requests.

    Attributes:
        route: That decides; None: none does.
        candidates: Who may be asked, `backend/model`, in order.
        arranged: The same, entry by entry, with what orders them, in words.
        rule: What denies the requests; None: they are allowed.
    """

    route: str | None
    candidates: tuple[str, ...] = ()
    arranged: tuple[str, ...] = ()
    rule: str | None = None

    def is_like(self, other: Outcome) -> bool:
        """Return whether a request cannot tell the two apart; denied is denied, whatever the reason."""
        if self.rule is not None or other.rule is not None:
            return self.rule is not None and other.rule is not None
        return (self.route, self.arranged) == (other.route, other.arranged)


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the policies says of a class, before it is asked who may be asked.

    Attributes:
        route: Number of the route that takes it; None: none does, or a model is pinned.
        held: Numbers of the constraints that hold.
    """

    route: int | None
    held: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """Requests that both policies treat alike as far as routes and constraints go."""

    old: Side
    new: Side
    box: Box


def cells_of(space: Space, *, pinned: bool = False) -> list[Cell]:
    """Cut all requests by the routes and constraints of both policies; those that pin a model by the latter.

    Raises:
        TooMany: If there are.
        TooManyCells: If there are.
    """
    old, new = space.views
    universe = (old.whole[WHO_AT] | new.whole[WHO_AT], *old.whole[1:])
    if not all(universe):
        return []
    if pinned:
        cells = [Cell(Side(None), Side(None), universe)]
    else:
        of_new = _dealt(new, universe)
        cells = [
            Cell(Side(mine), Side(theirs), both)
            for mine, box in _dealt(old, universe)
            for theirs, other in of_new
            if all(both := tuple([a & b for a, b in zip(box, other, strict=True)]))
        ]
    for number, test in _constraints(old):
        cells = _held(cells, number, test, of_new=False)
    for number, test in _constraints(new):
        cells = _held(cells, number, test, of_new=True)
    return cells


def _dealt(view: View, universe: Box) -> list[tuple[int | None, Box]]:
    """Return which route takes which requests; those that are denied at once go to none."""
    passing, denied = view.whole[WHO_AT], universe[WHO_AT] & ~view.whole[WHO_AT]
    parts: list[tuple[int | None, Box]] = [(None, (denied, *universe[1:]))] if denied else []
    left = [(passing, *universe[1:])] if passing else []
    for number, route in enumerate(view.policy.routes):
        if not route.observe:
            inside, left = cut(left, as_test(route.when, view.table, view.whole))
            parts += [(number, box) for box in merged(inside)]
            left = merged(left)
    return parts + [(None, box) for box in left]


def _constraints(view: View) -> Iterator[tuple[int, Test]]:
    for number, one in enumerate(view.policy.constraints):
        if not one.observe:
            yield number, as_test(one.when, view.table, view.whole)


def _held(cells: Sequence[Cell], number: int, test: Test, *, of_new: bool) -> list[Cell]:
    found = []
    for cell in cells:
        inside, outside = cut([cell.box], test)
        found += [replace(cell, box=box) for box in outside]
        side = cell.new if of_new else cell.old
        holding = replace(side, held=(*side.held, number))
        sides = (cell.old, holding) if of_new else (holding, cell.new)
        found += [Cell(*sides, box) for box in inside]
    if len(found) > CELLS_MAX:
        raise TooManyCells
    return found


def kinds_of(space: Space, view: View) -> dict[tuple[tuple[str, ...], bool, Slo], int]:
    """Return the classes of tasks and tags by all that counts of them beside routes and constraints.

    That is: the tags that hold, whether they pass at all, and the objective of the task.
    """
    passing = view.whole[WHO_AT]
    by_slo: dict[Slo, int] = {}
    for number, name in enumerate(space.who.tasks):
        slo = _slo(view.policy, name)
        by_slo[slo] = by_slo.get(slo, 0) | space.who.of_task(number)
    found = {}
    for tags, where in view.standing.effective.items():
        for slo, of_tasks in by_slo.items():
            for passes, which in ((True, passing), (False, ~passing)):
                classes = where & of_tasks & which
                if classes:
                    found[tags, passes, slo] = classes
    return found


def _slo(policy: Policy, task: str | None) -> Slo:
    declared = policy.tasks.get(task) if task is not None else None
    return declared.slo if declared is not None else NO_SLO


@dataclass(slots=True)
class Decider:
    """Decides classes of requests under one policy, each kind once."""

    space: Space
    view: View
    _policy: Policy = field(init=False)
    _known: dict[object, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._policy = replace(self.view.policy, memo={})

    def outcome(self, box: Box, side: Side, tags: tuple[str, ...], model: str | None) -> Outcome:
        """Return what becomes of requests in a box, all of one of `kinds_of` and asking for the same."""
        facts, snapshot = self.space.request(box, self.view, model)
        slo = _slo(self._policy, facts.task)
        passes = bool(box[WHO_AT] & self.view.whole[WHO_AT])
        key = (side, model, tags, passes, slo, box[ASK_AT], facts.input_tokens_total)
        known = self._known.get(key)
        if known is None:
            plan = decide(self._policy, facts, snapshot)
            known = self._known[key] = self._told(plan, slo, side.held)
        return known

    def _told(self, plan: Plan | Denied, slo: Slo, held: Sequence[int]) -> Outcome:
        if isinstance(plan, Denied):
            return Outcome(plan.route, rule=plan.rule)
        route = next((one for one in self._policy.routes if one.name == plan.route), None)
        ceilings = route.ceilings if route is not None else NO_CEILINGS
        for number in held:
            ceilings = ceilings.folded(self._policy.constraints[number].ceilings)
        pinned = [Use(tuple(one.candidate for one in plan.kept), "")]
        kept = set(plan.candidate_names)
        arranged = []
        for use in route.use if route is not None else pinned:
            asked = [one.name for one in use.candidates if one.name in kept]
            kept.difference_update(asked)
            if asked:
                arranged.append(_arranged(use, asked, use.ceilings.folded(ceilings)))
        backends = {name.partition("/")[0] for name in plan.candidate_names}
        arranged += _overflows(route.overflows if route is not None else (), backends)
        if route is not None and route.shadow is not None:
            arranged.append(f"shadow {route.shadow}")
        for objective in (route.slo if route is not None else NO_SLO, slo):
            arranged += _objectives(objective)
        return Outcome(plan.route, plan.candidate_names, tuple(arranged))


def _arranged(use: Use, names: list[str], ceilings: Ceilings) -> str:
    told = ", ".join(names)
    models = {name.partition("/")[2] for name in names}
    if use.weights and len(models) > 1:
        shares = ":".join(f"{weight:g}" for model, weight in use.weights if model in models)
        told += f" (split {shares} by {use.sticky_by})"
    elif len(names) > 1:
        told += f" ({_ORDERS.get(use.order_by, 'by load')})"
    if ceilings.request_cost is not None:
        told += f" (up to {ceilings.request_cost:f} USD)"
    return f"fallback {told}" if use.fallback else told


def _overflows(overflows: Iterable[Overflow], backends: Set[str]) -> Iterator[str]:
    """Yield what makes requests leave; of those that may not, how long they wait."""
    for overflow in overflows:
        if not backends.isdisjoint(overflow.sources):
            if not backends.isdisjoint(overflow.to):
                yield f"overflow {overflow}"
            elif overflow.queue_s is not None:
                yield overflow.queue_text.removeprefix(", ")


def _objectives(slo: Slo) -> Iterator[str]:
    for what, objectives in (("ttft", slo.ttft_ms), ("total", slo.total_ms)):
        for percentile, ms in objectives:
            yield f"{what} p{percentile} {ms:g} ms"
