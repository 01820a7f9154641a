"""Who can be reached by which requests: every route, for every kind of request that it takes.

For each route and each combination of tags, of what is asked for and of constraints that hold, one request
is made up and given to `decide`: the function that production runs. What it says holds for the whole class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from hybridllm._core.decide.decide import PINNED, decide
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.decide.snapshot import Snapshot
from hybridllm._core.policy.compiled import Capability, Constraint, Policy, Route
from hybridllm._core.policy.conditions import ALWAYS
from hybridllm._core.proof.asks import Ask
from hybridllm._core.proof.boxes import Box, Test, TooMany, cut, narrowed, places_in
from hybridllm._core.proof.judge import backend_objection
from hybridllm._core.proof.space import ASK_AT, ENVIRONMENT, WHO_AT, Space
from hybridllm._core.proof.taken import Shares, Taken
from hybridllm._core.request.facts import Facts

PIECES_MAX = 4_096
DECISIONS_MAX = 50_000
COMPARED_MAX = 256
_ALIKE = 40  # characters by which a note is known
Decide = Callable[[Policy, Facts, Snapshot], Plan | Denied]


class Disagreement(Exception):
    """A request goes another way than was worked out for it: one of the two is wrong."""


class Reached(NamedTuple):
    """What becomes of a class of requests.

    Attributes:
        route: Its name; `(pinned)` if the caller names a model.
        tags: That hold.
        who: The classes of task and tags, as `Who` numbers them.
        held: Numbers of the constraints that hold.
        facts: Of the request that stands for them.
        exact: False if it was decided without the conditions of the route and without constraints: then
            more may seem to be reached than can be, never less.
    """

    route: str
    tags: tuple[str, ...]
    ask: Ask
    who: int
    held: tuple[int, ...]
    facts: Facts
    outcome: Plan | Denied
    exact: bool


@dataclass(slots=True)
class Reach:
    """What can become of requests to a policy in its own environment.

    Attributes:
        decisions: How many requests were decided.
        complete: False if there were so many that some routes were left out.
        notes: Why it is not exact; none: it is. Too much is told then, unless routes were left out.
    """

    policy: Policy
    shares: Shares
    reached: list[Reached] = field(default_factory=list)
    decisions: int = 0
    complete: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def space(self) -> Space:
        """The facts, cut into classes."""
        return self.shares.space


class _Piece(NamedTuple):
    """Requests for which the same constraints hold."""

    box: Box
    held: tuple[int, ...] = ()


class _Kind(NamedTuple):
    """Requests of a piece that ask for the same, and carry the same tags.

    Attributes:
        place: Of what they ask for.
        size: Number of the least class of sizes.
    """

    place: int
    ask: Ask
    piece: _Piece
    size: int
    who: int


class _Way(NamedTuple):
    """How requests come to candidates, and what decides them.

    Attributes:
        alone: The policy with this route only, which takes everything.
        model: That the caller names; None: a route decides.
        exact: False if constraints are left out of `alone`.
    """

    route: str
    alone: Policy
    model: str | None
    exact: bool


def reach_of(
    policy: Policy,
    shares: Shares,
    *,
    thorough: bool,
    within: Constraint | None = None,
    decide: Decide = decide,
    decisions_max: int = DECISIONS_MAX,
) -> Reach:
    """Return who can be reached by which requests.

    Args:
        policy: The rules.
        shares: The requests that its routes take.
        thorough: Whether every capability is looked at, and every combination of tags; if not, only what
            can reach the most: to need more, or to carry one more tag, only takes candidates away.
        within: Only requests for which this constraint holds.
        decide: What decides a request; another one only to show that a wrong one is found out.
        decisions_max: After so many, the routes that are left are left out.

    Raises:
        Disagreement: If a request goes another way than was worked out for it.
    """
    walk = _Walk(policy, shares, within, thorough=thorough, decide=decide)
    for model in policy.candidates:
        walk.pinned(model)
    for one in shares.taken:
        if one.route.observe:
            continue
        if walk.found.decisions >= decisions_max:
            walk.leave_out(one.route)
            break
        walk.route(one)
    return walk.found


class _Walk:
    def __init__(
        self,
        policy: Policy,
        shares: Shares,
        within: Constraint | None,
        *,
        thorough: bool,
        decide: Decide,
    ) -> None:
        self._policy = replace(policy, memo={})  # nothing of it is remembered in production
        self._shares = shares
        self._space, self._view = shares.space, shares.view
        self._within = shares.test(within.when) if within is not None else None
        self._thorough = thorough
        self._decide = decide
        self._asks = [
            (place, ask) for place, ask in enumerate(self._space.asks) if thorough or ask.least
        ]
        self._size_at = self._space.place("input_tokens")
        self.found = Reach(policy, shares, notes=list(shares.notes))
        self._confirmed: set[tuple[str, Box]] = set()
        whole = self._view.whole
        self._everything = self._pieces([whole] if all(whole) else [])

    def pinned(self, model: str) -> None:
        """Decide the requests whose callers name a model."""
        pieces, exact = self._everything
        policy = self._policy if exact else replace(self._policy, constraints=(), memo={})
        self._decide_all(pieces, _Way(PINNED, policy, model, exact))

    def route(self, taken: Taken) -> None:
        """Decide the requests that a route takes."""
        name = taken.route.name
        pieces, exact = self._pieces(taken.boxes)
        exact = exact and taken.exact
        alone = replace(taken.route, when=ALWAYS)
        constraints = self._policy.constraints if exact else ()
        policy = replace(self._policy, routes=(alone,), constraints=constraints, memo={})
        self._decide_all(pieces, _Way(name, policy, None, exact))

    def leave_out(self, route: Route) -> None:
        """Say that a route and those after it were not looked at."""
        self.found.complete = False
        self._note(
            f"there are too many kinds of requests, so route {route.name!r} and later ones are left out"
        )

    def _note(self, note: str) -> None:
        if note[:_ALIKE] not in [one[:_ALIKE] for one in self.found.notes]:
            self.found.notes.append(note)

    def _pieces(self, boxes: list[Box]) -> tuple[list[_Piece], bool]:
        """Cut what of boxes is in the policy's environment by its constraints; False: there are too many.

        Of several sets of constraints that can hold for the same requests, the smaller is enough.
        """
        place = self._space.place(ENVIRONMENT)
        here = boxes if place is None else narrowed(boxes, place, 1)  # its class comes first
        if self._shares.blind:
            return [_Piece(box) for box in here], False
        pieces: list[_Piece] = []
        try:
            if self._within is not None:
                here = cut(here, self._within)[0]
            for box in here:
                free = self._unconstrained(box)
                pieces += self._constrained(box) if free is None else [_Piece(free)]
        except TooMany:
            self._note("constraints can hold in too many combinations, so they are left out")
            return [_Piece(box) for box in here], False
        return pieces, True

    def _unconstrained(self, box: Box) -> Box | None:
        """Return a box of the same requests, as far as others see them, for which no constraint holds."""
        free = box
        for _, test in self._shares.constraints:
            like = (one for one in cut([free], test)[1] if self._seen(one) == self._seen(box))
            found = next(like, None)
            if found is None:
                return None
            free = found
        return free

    def _seen(self, box: Box) -> tuple[int, int, int]:
        return box[WHO_AT], box[ASK_AT], self._size(box)

    def _constrained(self, box: Box) -> list[_Piece]:
        tests = self._shares.constraints
        kept = [place for place in (WHO_AT, ASK_AT, self._size_at) if place is not None]
        pieces = [_Piece(box)]
        for at, (number, test) in enumerate(tests):
            later = frozenset(kept).union(*(places_in(one) for _, one in tests[at + 1 :]))
            pieces = _told_once(_cut(pieces, number, test), sorted(later))
        return pieces

    def _decide_all(self, pieces: list[_Piece], way: _Way) -> None:
        """Decide a request of each kind that can reach somebody whom no other of its tags reaches."""
        found: dict[tuple[str, ...], list[_Kind]] = {}
        for tags, where in self._view.standing.effective.items():
            if way.model is not None and self._needless(way.model, tags):
                continue
            for piece in pieces:
                who = piece.box[WHO_AT] & where
                if not who:
                    continue
                size = self._size(piece.box)
                found.setdefault(tags, []).extend(
                    _Kind(place, ask, piece, size, who)
                    for place, ask in self._asks
                    if piece.box[ASK_AT] >> place & 1
                )
        for tags, kinds in found.items():
            for kind, who in self._kept(kinds):
                facts, outcome = self._one(way, kind)
                held = kind.piece.held
                self.found.reached.append(
                    Reached(way.route, tags, kind.ask, who, held, facts, outcome, way.exact)
                )

    def _needless(self, model: str, tags: tuple[str, ...]) -> bool:
        """Return whether a pinned model cannot go wrong for these tags, or no more than for each of them."""
        if self._thorough or self._within is not None:
            return False
        return len(tags) > 1 or not any(
            backend_objection(self._policy, tag, candidate.backend)
            for tag in tags
            for candidate in self._policy.candidates[model]
        )

    def _kept(self, kinds: list[_Kind]) -> list[tuple[_Kind, int]]:
        """Return those to decide, each with all whom it stands for.

        Who is covered by others that are restricted less, by size, needs and constraints, is left out.
        """
        kinds.sort(key=lambda one: (len(one.piece.held), len(one.ask.needs), one.size))
        apart = self._thorough or len(kinds) > COMPARED_MAX
        kept: dict[int, list[_Kind]] = {}
        for kind in kinds:
            who = kind.who
            alike = kept.setdefault(kind.place if apart else 0, [])
            for other in alike:
                if other.who & who and _covers(other, kind):
                    who &= ~other.who
            if who:
                alike.append(kind._replace(who=who))
        together: dict[object, tuple[_Kind, int]] = {}
        for alike in kept.values():
            for kind in alike:
                # Nothing else about a request has a say in who may be asked.
                key = (kind.place, kind.piece.held, kind.size)
                first, who = together.get(key, (kind, 0))
                together[key] = (first, who | kind.who)
        return list(together.values())

    def _one(self, way: _Way, kind: _Kind) -> tuple[Facts, Plan | Denied]:
        """Decide one request: the first of its kind by the whole policy, the others on their route alone."""
        facts, snapshot = self._space.request(
            (kind.who, 1 << kind.place, *kind.piece.box[2:]), self._view, way.model
        )
        first = (way.route, kind.piece.box if self._thorough else ())
        policy = way.alone
        if way.exact and first not in self._confirmed:
            self._confirmed.add(first)
            policy = self._policy
        self.found.decisions += 1
        outcome = self._decide(policy, facts, snapshot)
        expected = way.route if way.model is None or isinstance(outcome, Plan) else None
        if outcome.route != expected:
            raise Disagreement(
                f"{facts} was expected to be decided by {expected}, and was by {outcome.route}"
            )
        return facts, outcome

    def _size(self, box: Box) -> int:
        """Return the number of the least class of sizes in a box."""
        sizes = box[self._size_at] if self._size_at is not None else 1
        return (sizes & -sizes).bit_length()


def _told_once(pieces: list[_Piece], places: list[int]) -> list[_Piece]:
    """Keep one of those that are alike to whoever looks further: that for which less constraints hold."""
    found: dict[Box, list[_Piece]] = {}
    for one in sorted(pieces, key=lambda piece: len(piece.held)):
        alike = found.setdefault(tuple([one.box[place] for place in places]), [])
        if not any(set(other.held) <= set(one.held) for other in alike):
            alike.append(one)
    kept = [one for alike in found.values() for one in alike]
    if len(kept) > PIECES_MAX:
        raise TooMany
    return kept


def _covers(one: _Kind, other: _Kind) -> bool:
    """Return whether whoever the other can reach is reached by this one."""
    if one.ask.space != other.ask.space and Capability.EMBEDDINGS in one.ask.needs:
        return False
    return (
        one.size <= other.size
        and one.ask.needs <= other.ask.needs
        and set(one.piece.held) <= set(other.piece.held)
    )


def _cut(pieces: list[_Piece], number: int, test: Test) -> list[_Piece]:
    found = []
    for piece in pieces:
        inside, outside = cut([piece.box], test)
        found += [_Piece(box, (*piece.held, number)) for box in inside]
        found += [_Piece(box, piece.held) for box in outside]
    return found
