"""Two policies compared: which requests go another way, and what each residency tag gains and loses.

Every class of requests that either policy tells apart is decided under both. What a tag or a constraint
that has not changed narrows on both sides alike is told once, with the widest class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hybridllm._core.policy.compiled import Constraint, Policy
from hybridllm._core.policy.repriced import at_its_cheapest
from hybridllm._core.proof.asks import Ask
from hybridllm._core.proof.atoms import Entangled
from hybridllm._core.proof.boxes import Box, TooMany, merged
from hybridllm._core.proof.declared import Declared, declared_changes
from hybridllm._core.proof.fold import matrix_of
from hybridllm._core.proof.matrix import ReachMatrix
from hybridllm._core.proof.outcomes import (
    Cell,
    Decider,
    Outcome,
    TooManyCells,
    cells_of,
    kinds_of,
)
from hybridllm._core.proof.space import ASK_AT, WHO_AT, Space, space_of
from hybridllm._core.proof.words import box_words


@dataclass(frozen=True, slots=True)
class Change:
    """Requests that one policy decides otherwise than the other.

    Attributes:
        requests: Which, in words: `task classify, residency eu`; several are alternatives.
        model: That their callers pin; None: none.
        old: What the one policy makes of the widest of them; narrower ones get less, for the same reasons.
        new: What the other one does.
    """

    requests: tuple[str, ...]
    model: str | None
    old: Outcome
    new: Outcome

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "requests": list(self.requests),
            "model": self.model,
            "old": _outcome_facts(self.old),
            "new": _outcome_facts(self.new),
        }


@dataclass(frozen=True, slots=True)
class TagChange:
    """Backends that requests with a residency tag come to reach, and those that they no longer do.

    Attributes:
        tag: None: requests without any.
        gained: Where their data may go now, and could not.
        lost: Where it can no longer go.
    """

    tag: str | None
    gained: tuple[str, ...]
    lost: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"tag": self.tag, "gained": list(self.gained), "lost": list(self.lost)}


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """What changes from one policy to another.

    Attributes:
        old: The matrix of the one; `new` that of the other.
        changes: Requests that are decided otherwise.
        tags: Residency tags that reach other backends than before.
        declared: What is declared otherwise: backends, models, tags, tasks.
        notes: Why something may be missing; none: nothing is.
    """

    old: ReachMatrix
    new: ReachMatrix
    changes: tuple[Change, ...]
    tags: tuple[TagChange, ...]
    declared: tuple[Declared, ...]
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing changes, for any request."""
        return not (self.changes or self.tags or self.declared or self.notes)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "same": self.same,
            "old": _named(self.old),
            "new": _named(self.new),
            "changes": [one.to_dict() for one in self.changes],
            "tags": [one.to_dict() for one in self.tags],
            "declared": [one.to_dict() for one in self.declared],
            "notes": list(self.notes),
        }


def diff_of(old: Policy, new: Policy) -> PolicyDiff:
    """Return what changes from one policy to another.

    Raises:
        Disagreement: If the proof of one of them fails.
    """
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    try:
        space = space_of(*map(at_its_cheapest, (old, new)), environment_free=False)
        changes = (*_changes(space), *_pinned_changes(space))
    except Entangled as error:
        notes = (f"requests were not compared one by one: {error}",)
    except (TooMany, TooManyCells):
        notes = ("requests were not compared one by one: both policies tell too many apart",)
    before, after = matrix_of(old), matrix_of(new)
    tags = tuple(_tag_changes(before, after))
    return PolicyDiff(before, after, changes, tags, declared_changes(old, new), notes)


@dataclass(frozen=True, slots=True)
class _Class:
    """Requests for which the same tags and constraints hold, who ask for the same; and what becomes of them.

    Attributes:
        tags: That hold under the one policy, and under the other.
        same_tags: True if these allow the same under both.
        held: The constraints that hold, under the one and the other.
        same_held: True if these restrict the same under both.
    """

    box: Box
    ask: Ask
    tags: tuple[tuple[str, ...], tuple[str, ...]]
    same_tags: bool
    held: tuple[tuple[int, ...], tuple[int, ...]]
    same_held: bool
    old: Outcome
    new: Outcome


@dataclass(frozen=True, slots=True)
class _Found:
    """Classes that change alike, and those that only get less on both sides."""

    widest: _Class
    boxes: list[Box]


def _changes(space: Space) -> Iterator[Change]:
    yield from _told(space, cells_of(space), None)


def _pinned_changes(space: Space) -> Iterator[Change]:
    old, new = (view.policy for view in space.views)
    cells = cells_of(space, pinned=True)
    for model in dict.fromkeys((*old.candidates, *new.candidates)):
        yield from _told(space, cells, model)


def _classes(
    space: Space, cells: Iterable[Cell], unchanged: _Unchanged, model: str | None
) -> Iterator[_Class]:
    old, new = (Decider(space, view) for view in space.views)
    for cell in cells:
        for tags, other_tags, who in _by_tags(space, cell.box[WHO_AT]):
            for place, ask in enumerate(space.asks):
                if cell.box[ASK_AT] >> place & 1:
                    box = (who, 1 << place, *cell.box[2:])
                    yield _Class(
                        box,
                        ask,
                        (tags, other_tags),
                        unchanged.tags(tags, other_tags),
                        (cell.old.held, cell.new.held),
                        unchanged.constraints(cell),
                        old.outcome(box, cell.old, tags, model),
                        new.outcome(box, cell.new, other_tags, model),
                    )


def _by_tags(space: Space, who: int) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], int]]:
    """Yield which tags hold under each policy, and for whom; apart, who is denied at once or hurries more."""
    old, new = (kinds_of(space, view) for view in space.views)
    for (tags, _, _), where in old.items():
        for kind, elsewhere in new.items():
            both = who & where & elsewhere
            if both:
                yield tags, kind[0], both


class _Unchanged:
    """What restricts requests under both policies alike.

    Attributes:
        models: True if models can do the same under both.
    """

    def __init__(self, old: Policy, new: Policy) -> None:
        self._old, self._new = old, new
        self._terms = {
            tag
            for tag in old.residency
            if tag in new.residency and old.residency[tag] == new.residency[tag]
        }
        self._backends = all(
            _terms(old, name) == _terms(new, name) for name in old.backends if name in new.backends
        )
        self.models = all(
            old.models[name].capabilities == new.models[name].capabilities
            for name in old.models
            if name in new.models
        )

    def tags(self, tags: tuple[str, ...], other_tags: tuple[str, ...]) -> bool:
        """Return whether tags keep out the same backends under both."""
        return self._backends and tags == other_tags and self._terms.issuperset(tags)

    def constraints(self, cell: Cell) -> bool:
        """Return whether the constraints that hold are the same under both."""
        old = [_restriction(self._old.constraints[number]) for number in cell.old.held]
        new = [_restriction(self._new.constraints[number]) for number in cell.new.held]
        return old == new


def _terms(policy: Policy, backend: str) -> tuple[object, ...]:
    one = policy.backends[backend]
    return (one.region, one.operator, one.retention, one.environments)


def _restriction(constraint: Constraint) -> tuple[object, ...]:
    names = ("regions", "operators", "retention", "backends", "models", "denied_backends")
    return tuple(getattr(constraint, name) for name in (*names, "denied_models", "ceilings"))


def _told(space: Space, cells: Iterable[Cell], model: str | None) -> Iterator[Change]:
    """Tell changes, the widest first; what gets less on both sides, for the same reasons, goes with them."""
    unchanged = _Unchanged(*(view.policy for view in space.views))
    classes = _classes(space, cells, unchanged, model)
    changed = [one for one in classes if not one.old.is_like(one.new)]
    changed.sort(
        key=lambda one: (len(one.ask.needs), -len(one.old.candidates) - len(one.new.candidates))
    )
    found: list[_Found] = []
    for one in changed:
        wider = next((each for each in found if _goes_with(one, each.widest, unchanged)), None)
        if wider is None:
            found.append(_Found(one, [one.box]))
        elif not wider.widest.ask.needs < one.ask.needs:
            wider.boxes.append(one.box)
    old, new = space.views
    universe = (old.whole[WHO_AT] | new.whole[WHO_AT], *old.whole[1:])
    for each in found:
        words = [line for box in merged(each.boxes) for line in box_words(space, box, universe)]
        yield Change(tuple(dict.fromkeys(words)), model, each.widest.old, each.widest.new)


def _goes_with(one: _Class, wider: _Class, unchanged: _Unchanged) -> bool:
    if (one.old, one.new) == (wider.old, wider.new):
        return True
    return (
        (one.old.route, one.new.route) == (wider.old.route, wider.new.route)
        and (one.tags == wider.tags or (one.same_tags and wider.same_tags))
        and (one.held == wider.held or (one.same_held and wider.same_held))
        and (one.ask.needs == wider.ask.needs or unchanged.models)
        and wider.ask.needs <= one.ask.needs
        and _narrows(one.old, wider.old)
        and _narrows(one.new, wider.new)
    )


def _narrows(one: Outcome, wider: Outcome) -> bool:
    """Return whether an outcome is another one with candidates left out, and some left."""
    if one.rule is not None or wider.rule is not None:
        return one.rule is not None and wider.rule is not None
    rest = iter(wider.candidates)
    return all(name in rest for name in one.candidates)


def _tag_changes(old: ReachMatrix, new: ReachMatrix) -> Iterator[TagChange]:
    before, after = _reached(old), _reached(new)
    for tag in dict.fromkeys((*before, *after)):
        was, now = before.get(tag, ()), after.get(tag, ())
        gained = tuple(name for name in now if name not in was)
        lost = tuple(name for name in was if name not in now)
        if gained or lost:
            yield TagChange(tag, gained, lost)


def _reached(matrix: ReachMatrix) -> dict[str | None, tuple[str, ...]]:
    return {row.tag: tuple(cell.backend for cell in row.cells if cell.ways) for row in matrix.rows}


def _outcome_facts(outcome: Outcome) -> dict[str, Any]:
    return {
        "route": outcome.route,
        "candidates": list(outcome.candidates),
        "arranged": list(outcome.arranged),
        "denied_by": outcome.rule,
    }


def _named(matrix: ReachMatrix) -> dict[str, str]:
    return {
        "policy": matrix.policy,
        "version": matrix.version,
        "environment": matrix.environment,
    }
