"""What another policy says to a recorded request: it stands, moves to somebody else, or is denied.

The decision is `decide/decide.py`'s, as in production; here a world is looked for in which it comes to what
is recorded. If there is one, nothing has changed. Requests that no rule of the policy tells apart are judged
once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from hybridllm._core.backtest.keys import Keys
from hybridllm._core.backtest.rows import Asked, Tried, facts_of, names_in
from hybridllm._core.backtest.worlds import Guess, demoted, draws_of, guesses, world_of
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.match import Held
from hybridllm._core.decide.plan import ABOUT_DATA, Denied, DropReason, Plan
from hybridllm._core.ledger.periods import instant
from hybridllm._core.policy.compiled import Candidate, Policy, Route
from hybridllm._core.policy.conditions import METADATA, Leaf, Live, When, leaves
from hybridllm._core.request.facts import Facts

REMEMBERED_MAX = 200_000
DENIED, OVERFLOW, ESCALATED = "denied", "overflow", "escalated"
_BY_RULE = frozenset({*ABOUT_DATA, DropReason.CONSTRAINT, DropReason.ENVIRONMENT})
_NO_HELD: frozenset[Held] = frozenset()
_NO_LIVE: frozenset[Live] = frozenset()


class Kind(StrEnum):
    """What becomes of a request."""

    KEPT = "kept"
    MOVED = "moved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Destination:
    """Who would be asked first.

    Attributes:
        share: Of the requests; less than 1 if it is drawn.
        behind: Who would be asked if that failed; None: nobody.
        spill: Who would be asked first if its backend had too much to do; None: nobody, or it never has.
        then: Who would be asked as well if its answer did not pass a cascade's checks; None: nobody.
    """

    share: float
    candidate: Candidate
    behind: Candidate | None = None
    spill: Candidate | None = None
    then: Candidate | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a request, and why.

    Attributes:
        targets: Of one that moves.
        drawn: Of one that stands because a split drew so: all that it may draw; `drew`: whom it did.
        rule: That denies it.
        forbids: The rule that forbids whoever answered it.
        assumed: True if it stands because a condition that the ledger says nothing of is taken to have been
            as its recorded route says.
        full: True if it goes where it goes because somebody had too much to do.
        budget: True if it stands because a budget may have taken out who else stands before it.
        checked: True if a cascade checks its answer; `escalated`: it is recorded that it did not pass.
    """

    kind: Kind
    targets: tuple[Destination, ...] = ()
    drawn: tuple[Destination, ...] = ()
    drew: Candidate | None = None
    rule: str | None = None
    forbids: str | None = None
    assumed: bool = False
    full: bool = False
    budget: bool = False
    checked: bool = False
    escalated: bool = False


KEPT = Verdict(Kind.KEPT)


class Course(NamedTuple):
    """What attempts tell of the moment.

    Attributes:
        left_to: The backend that was asked first because others had too much to do; None: none had.
        escalated_to: The model that was asked last, since the answer before did not pass; None: no such.
    """

    left_to: str | None = None
    escalated_to: str | None = None


NO_COURSE = Course()


class Judge:
    """Judges requests under one policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._keys = Keys(policy)
        self._draws = draws_of(policy)
        self._known: dict[Any, Verdict] = {}
        self._made: dict[Verdict, Verdict] = {KEPT: KEPT}  # each once, so that its id is its own
        self._as_recorded: dict[tuple[str, frozenset[Any]], Policy | None] = {}

    def verdict(
        self,
        asked: Asked,
        tried: Sequence[Tried],
        held: frozenset[Held] = _NO_HELD,
        unsure: frozenset[Live] = _NO_LIVE,
    ) -> Verdict:
        """Return what becomes of a request; equal verdicts are one object.

        Args:
            asked: The request.
            tried: Its attempts.
            held: The live conditions that held when it came.
            unsure: Those of which that is not known.
        """
        if asked.shadow_of is not None:
            return KEPT
        course = _course(tried)
        key = (self._keys.of(asked), course, held, unsure)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            found = self._judged(asked, course, held, unsure)
            found = self._known[key] = self._made.setdefault(found, found)
        return found

    def _judged(
        self,
        asked: Asked,
        course: Course,
        held: frozenset[Held],
        unsure: frozenset[Live],
    ) -> Verdict:
        facts = facts_of(asked, self.policy)
        found = self._stands(self.policy, asked, facts, held, course)
        if found is None:
            variant = self._variant(asked, facts, unsure)
            if variant is not None:
                found = self._stands(variant, asked, facts, held, course)
                found = found and replace(found, assumed=True)
        return found or self._moved(asked, facts, held, course.left_to)

    def _stands(
        self,
        policy: Policy,
        asked: Asked,
        facts: Facts,
        held: frozenset[Held],
        course: Course,
    ) -> Verdict | None:
        """Return the verdict if what is recorded may have come of this policy; None: it may not."""
        recorded = names_in(asked.candidates)
        if not recorded:
            denied = isinstance(self._decided(policy, asked, facts, held, Guess()), Denied)
            return KEPT if denied and asked.outcome == DENIED else None
        head = recorded
        if asked.served in recorded:
            head = recorded[: recorded.index(asked.served) + 1]
        # A budget may have taken out who stands before them; nobody knows, so that comes last.
        for budget in (False, True) if policy.budgets else (False,):
            for usual in guesses(policy, recorded, self._draws):
                guess, plan = usual, self._decided(policy, asked, facts, held, usual)
                if isinstance(plan, Denied):
                    return None
                if policy.measures and not _begins(plan, head, recorded, budget=budget):
                    guess = replace(usual, slow=demoted(recorded, plan.candidate_names))
                    plan = self._decided(policy, asked, facts, held, guess)
                if isinstance(plan, Plan) and _begins(plan, head, recorded, budget=budget):
                    if course.escalated_to not in (None, plan.cascade and plan.cascade.then):
                        return None
                    kept = self._kept(asked, facts, held, guess, plan)
                    escalated = course.escalated_to is not None
                    return replace(kept, budget=budget, escalated=escalated)
        return None

    def _kept(
        self, asked: Asked, facts: Facts, held: frozenset[Held], guess: Guess, plan: Plan
    ) -> Verdict:
        full = bool(guess.hot)
        policy = plan.policy
        drawn = tuple(self._targets(policy, asked, facts, held, guess)) if policy.splits else ()
        if len(drawn) < 2:
            return Verdict(Kind.KEPT, full=full, checked=plan.cascade is not None)
        return Verdict(
            Kind.KEPT,
            drawn=drawn,
            drew=plan.kept[0].candidate,
            full=full,
            checked=plan.cascade is not None,
        )

    def _moved(
        self, asked: Asked, facts: Facts, held: frozenset[Held], left_to: str | None
    ) -> Verdict:
        hot: frozenset[str] = frozenset()
        if left_to is not None:
            names = {name.partition("/")[0] for name in names_in(asked.candidates)}
            hot = (self.policy.loaded & names) - {left_to}
        guess = Guess(hot=hot)
        plan = self._decided(self.policy, asked, facts, held, guess)
        forbids = _forbids(plan, asked.served)
        if isinstance(plan, Denied):
            return Verdict(Kind.DENIED, rule=plan.rule, forbids=forbids)
        targets = tuple(self._targets(self.policy, asked, facts, held, guess))
        return Verdict(Kind.MOVED, targets, forbids=forbids, full=bool(plan.spilled))

    def _targets(
        self, policy: Policy, asked: Asked, facts: Facts, held: frozenset[Held], guess: Guess
    ) -> Iterator[Destination]:
        """Yield who is asked first, by what a split draws, each once."""
        shares: dict[Candidate, float] = {}
        plans: dict[Candidate, tuple[Plan, Guess]] = {}
        for draw in self._draws:
            drawing = replace(guess, chance=draw.chance)
            plan = self._decided(policy, asked, facts, held, drawing)
            if isinstance(plan, Plan):
                first = plan.kept[0].candidate
                shares[first] = shares.get(first, 0.0) + draw.share
                plans.setdefault(first, (plan, drawing))
        for first, share in shares.items():
            plan, drawing = plans[first]
            behind = plan.kept[1].candidate if len(plan.kept) > 1 else None
            spill = self._spill(plan, asked, held, drawing)
            yield Destination(share, first, behind, spill, _then(plan))

    def _spill(
        self, plan: Plan, asked: Asked, held: frozenset[Held], guess: Guess
    ) -> Candidate | None:
        """Return who is asked first if the first one's backend has too much to do."""
        first = plan.kept[0].candidate
        backend = first.backend.name
        if backend not in plan.policy.loaded or backend in guess.hot:
            return None
        full = replace(guess, hot=guess.hot | {backend})
        other = self._decided(plan.policy, asked, plan.facts, held, full)
        if isinstance(other, Denied) or other.kept[0].candidate is first:
            return None
        return other.kept[0].candidate

    def _decided(
        self, policy: Policy, asked: Asked, facts: Facts, held: frozenset[Held], guess: Guess
    ) -> Plan | Denied:
        recorded, now_utc = names_in(asked.candidates), instant(asked.started_us)
        world = world_of(recorded, guess, now_utc=now_utc, policy=policy, held=held)
        return decide(policy, facts, world)

    def _variant(self, asked: Asked, facts: Facts, unsure: frozenset[Live]) -> Policy | None:
        """Return the policy as it is if what nobody knows was as the recorded route says."""
        if asked.route is None:
            return None
        lacking: set[Any] = set(unsure)
        for fact in self.policy.looks_at:
            if fact.startswith(METADATA) and fact.removeprefix(METADATA) not in facts.metadata:
                lacking.add(fact)
        if not lacking:
            return None
        key = (asked.route, frozenset(lacking))
        if key not in self._as_recorded:
            self._as_recorded[key] = _as_if(self.policy, asked.route, frozenset(lacking))
        return self._as_recorded[key]


def _course(tried: Sequence[Tried]) -> Course:
    if not tried:
        return NO_COURSE
    first, last = tried[0], tried[-1]
    left_to = first.backend if first.reason == OVERFLOW else None
    escalated = len(tried) > 1 and any(one.outcome == ESCALATED for one in tried)
    if left_to is None and not escalated:
        return NO_COURSE
    return Course(left_to, last.model if escalated else None)


def _begins(plan: Plan, head: tuple[str, ...], recorded: tuple[str, ...], *, budget: bool) -> bool:
    """Whether a plan begins with these; `budget`: without those that are not recorded at all."""
    names = plan.candidate_names
    if budget:
        names = tuple(name for name in names if name in recorded)
    return names[: len(head)] == head


def _then(plan: Plan) -> Candidate | None:
    """Return who is asked if the first answer does not pass; None: it is not checked."""
    first, cascade = plan.kept[0].candidate, plan.cascade
    if cascade is None or first.model.name != cascade.first:
        return None
    there = (one.candidate for one in plan.kept if one.candidate.model.name == cascade.then)
    return next(there, None)


def _as_if(policy: Policy, name: str, lacking: frozenset[Any]) -> Policy | None:
    """Return a policy in which one route is not asked what nobody knows, and no other asks it."""
    if all(route.name != name for route in policy.routes):
        return None
    routes: list[Route] = []
    for route in policy.routes:
        knows = not any(_is_lacking(leaf, lacking) for leaf in leaves(route.when))
        if route.name == name and not knows:
            known = tuple(
                one
                for one in route.when.conditions
                if not any(_is_lacking(leaf, lacking) for leaf in leaves(When((one,))))
            )
            routes.append(replace(route, when=When(known)))
        elif knows:
            routes.append(route)
    return replace(policy, routes=tuple(routes), memo={})


def _is_lacking(leaf: Leaf, lacking: frozenset[Any]) -> bool:
    return leaf in lacking if isinstance(leaf, Live) else leaf.fact in lacking


def _forbids(plan: Plan | Denied, served: str | None) -> str | None:
    """Return the rule that forbids whoever answered; None: none does, or nobody answered."""
    for drop in plan.dropped if served is not None else ():
        if drop.candidate.name == served and drop.reason in _BY_RULE:
            return drop.rule
    return None
