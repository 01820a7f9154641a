"""Who can be reached by which requests: every route, for every kind of request that it takes.

For each route and each combination of tags, of what is asked for and of constraints that hold, one request
is made up and given to `decide`: the function that production runs. What it says holds for the whole class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hybridllm._core.decide.decide import PINNED, decide
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.decide.snapshot import Snapshot
from hybridllm._core.policy.compiled import Policy, Route
from hybridllm._core.policy.conditions import ALWAYS
from hybridllm._core.proof.asks import Ask
from hybridllm._core.proof.boxes import Box, Test, TooMany, cut, narrowed, places_in
from hybridllm._core.proof.space import ASK_AT, ENVIRONMENT, WHO_AT, Space
from hybridllm._core.proof.taken import Shares, Taken
from hybridllm._core.request.facts import Facts

PIECES_MAX = 512
DECISIONS_MAX = 20_000
COMPARED_MAX = 256
Decide = Callable[[Policy, Facts, Snapshot], Plan | Denied]


class Disagreement(Exception):
    """A request goes another way than was worked out for it: one of the two is wrong."""


@dataclass(frozen=True, slots=True)
class Reached:
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
        notes: Why more may be told than can happen; none: all of it is exact.
    """

    policy: Policy
    shares: Shares
    reached: list[Reached] = field(default_factory=list)
    decisions: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def space(self) -> Space:
        """The facts, cut into classes."""
        return self.shares.space


@dataclass(frozen=True, slots=True)
class _Piece:
    """Requests for which the same constraints hold."""

    box: Box
    held: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Kind:
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


@dataclass(frozen=True, slots=True)
class _Way:
    """How requests come to candidates, and what decides them.

    Attributes:
        model: That the caller names; None: a route decides.
        exact: False if the policy is one that lets more through.
    """

    route: str
    policy: Policy
    model: str | None
    exact: bool


def reach_of(policy: Policy, shares: Shares, *, thorough: bool, decide: Decide = decide) -> Reach:
    """Return who can be reached by which requests.

    Args:
        policy: The rules.
        shares: The requests that its routes take.
        thorough: Whether every capability and every combination of constraints is looked at; if not, only
            what can reach the most: needing more, and one more constraint, only takes candidates away.
        decide: What decides a request; another one only to show that a wrong one is found out.

    Raises:
        Disagreement: If a request goes another way than was worked out for it.
    """
    walk = _Walk(policy, shares, thorough=thorough, decide=decide)
    for model in policy.candidates:
        walk.pinned(model)
    for one in shares.taken:
        if not one.route.observe:
            walk.route(one)
    return walk.found


class _Walk:
    def __init__(self, policy: Policy, shares: Shares, *, thorough: bool, decide: Decide) -> None:
        self._policy = replace(
            policy, memo={}
        )  # what is remembered here is of no use to production
        self._shares = shares
        self._space, self._view = shares.space, shares.view
        self._thorough = thorough
        self._decide = decide
        self._asks = [
            (place, ask) for place, ask in enumerate(self._space.asks) if thorough or ask.least
        ]
        self._size_at = self._space.place("input_tokens")
        self.found = Reach(policy, shares, notes=list(shares.notes))
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
        if self.found.decisions >= DECISIONS_MAX:
            self._note(
                "there are too many classes of requests", f"route {name!r} and those after it"
            )
            return
        pieces, exact = self._pieces(taken.boxes)
        exact = exact and taken.exact
        policy = self._policy if exact else _only(self._policy, taken.route)
        self._decide_all(pieces, _Way(name, policy, None, exact))

    def _note(self, why: str, left_out: str) -> None:
        if not any(note.startswith(why) for note in self.found.notes):
            self.found.notes.append(f"{why}; left out: {left_out}")

    def _pieces(self, boxes: list[Box]) -> tuple[list[_Piece], bool]:
        """Cut what of boxes is in the policy's environment by its constraints; False: there are too many."""
        place = self._space.place(ENVIRONMENT)
        here = boxes if place is None else narrowed(boxes, place, 1)  # its class comes first
        if self._shares.blind:
            return [_Piece(box) for box in here], False
        pieces = [_Piece(box) for box in here]
        tests = self._shares.constraints
        kept = [place for place in (WHO_AT, ASK_AT, self._size_at) if place is not None]
        try:
            for at, (number, test) in enumerate(tests):
                later = frozenset(kept).union(*(places_in(one) for _, one in tests[at + 1 :]))
                pieces = self._told_once(_cut(pieces, number, test), sorted(later))
        except TooMany:
            self._note("constraints can hold in too many combinations", "constraints")
            return [_Piece(box) for box in here], False
        return pieces, True

    def _told_once(self, pieces: list[_Piece], places: list[int]) -> list[_Piece]:
        """Keep one of those that are alike to whoever looks further; if there are many, the least held."""
        least = not self._thorough or len(pieces) > PIECES_MAX
        found: dict[Box, list[_Piece]] = {}
        for one in sorted(pieces, key=lambda piece: len(piece.held)):
            alike = found.setdefault(tuple([one.box[place] for place in places]), [])
            held = set(one.held)
            if not any(
                held.issuperset(other.held) if least else held == set(other.held) for other in alike
            ):
                alike.append(one)
        kept = [one for alike in found.values() for one in alike]
        if len(kept) > PIECES_MAX:
            raise TooMany
        return kept

    def _decide_all(self, pieces: list[_Piece], way: _Way) -> None:
        """Decide a request of each kind that can reach somebody whom no other of its tags reaches."""
        found: dict[tuple[str, ...], list[_Kind]] = {}
        for tags, where in self._view.standing.effective.items():
            for piece in pieces:
                who = piece.box[WHO_AT] & where
                if not who:
                    continue
                size = self._size(piece)
                found.setdefault(tags, []).extend(
                    _Kind(place, ask, piece, size, who)
                    for place, ask in self._asks
                    if piece.box[ASK_AT] >> place & 1
                )
        for tags, kinds in found.items():
            for kind in self._kept(kinds):
                box = (kind.who, 1 << kind.place, *kind.piece.box[2:])
                facts, outcome = self._one(way, box)
                self.found.reached.append(
                    Reached(
                        way.route,
                        tags,
                        kind.ask,
                        kind.who,
                        kind.piece.held,
                        facts,
                        outcome,
                        way.exact,
                    )
                )

    def _kept(self, kinds: list[_Kind]) -> list[_Kind]:
        """Leave out who is covered by others that are restricted less: by size, needs and constraints."""
        kinds.sort(key=lambda one: (len(one.piece.held), len(one.ask.needs), one.size))
        strictly = self._thorough or len(kinds) > COMPARED_MAX
        kept: dict[object, list[_Kind]] = {}
        for kind in kinds:
            who = kind.who
            alike = kept.setdefault((kind.place, kind.piece.held) if strictly else None, [])
            for other in alike:
                if other.who & who and _covers(other, kind):
                    who &= ~other.who
            if who:
                alike.append(replace(kind, who=who))
        return [kind for alike in kept.values() for kind in alike]

    def _one(self, way: _Way, box: Box) -> tuple[Facts, Plan | Denied]:
        facts, snapshot = self._space.request(box, self._view, way.model)
        self.found.decisions += 1
        outcome = self._decide(way.policy, facts, snapshot)
        expected = way.route if way.model is None or isinstance(outcome, Plan) else None
        if outcome.route != expected:
            raise Disagreement(
                f"{facts} was expected to be decided by {expected}, and was by {outcome.route}"
            )
        return facts, outcome

    def _size(self, piece: _Piece) -> int:
        """Return the number of the least class of sizes in a piece."""
        sizes = piece.box[self._size_at] if self._size_at is not None else 1
        return (sizes & -sizes).bit_length()


def _covers(one: _Kind, other: _Kind) -> bool:
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


def _only(policy: Policy, route: Route) -> Policy:
    """Return a policy in which a route takes every request, and no constraint holds."""
    alone = replace(route, when=ALWAYS, observe=False)
    return replace(policy, routes=(alone,), constraints=(), memo={})
