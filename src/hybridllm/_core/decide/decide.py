"""The decision: a policy, the facts of a request and the state of the world in, a plan out.

A function of values. `explain`, tests of policies and production run this very code. The hard
filters come before everything; what they leave is frozen in the plan.

What depends on the request's class alone (task, tags, tenant, capabilities) is worked out once per class
and remembered with the policy; lengths, ceilings, hours and load are looked at for every request.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from hybridllm._core.cache.rule import Cache
from hybridllm._core.cascade.rule import Cascade
from hybridllm._core.decide.cascade import applying
from hybridllm._core.decide.eligible import Eligible, Limits, eligible, fitting, too_dear
from hybridllm._core.decide.match import Subject, fits, holds
from hybridllm._core.decide.order import ordered
from hybridllm._core.decide.overflow import Left, overflowed
from hybridllm._core.decide.plan import ABOUT_DATA, Denied, Dropped, DropReason, Plan
from hybridllm._core.decide.shift import shifted
from hybridllm._core.decide.snapshot import EPOCH, Snapshot
from hybridllm._core.policy.compiled import Capability, Constraint, Policy, Route, Task, Use
from hybridllm._core.policy.conditions import When
from hybridllm._core.policy.document import listed
from hybridllm._core.policy.objectives import Slo
from hybridllm._core.policy.problems import nearest
from hybridllm._core.request.facts import Facts

PINNED = "(pinned)"
CLASSES_REMEMBERED = 4_096

Moment = tuple[int, ...]
"""Which of its prices each candidate has: while that stays, what was decided about prices stays."""
_ALWAYS: Moment = ()


def decide(policy: Policy, facts: Facts, snapshot: Snapshot) -> Plan | Denied:
    """Return who may be asked for a request, in order, or why nobody may.

    Args:
        policy: The rules.
        facts: What is known of the request.
        snapshot: Load and latency of the backends, which order candidates and never add or remove one; the
            time, for conditions on hours; and chance, for splits.
    """
    at = snapshot.now_utc
    moment = moment_of(policy, at) if policy.prices_move else _ALWAYS
    known = _class_of(policy, facts, at, moment)
    observed: tuple[str, ...] = ()
    choice = known.choice
    if choice is None:
        choice, observed = _choice_now(policy, known, facts, snapshot, moment)
    found = choice.found
    if choice.denied is not None or found is None:
        rule, message = choice.denied or ("", "")
        return Denied(
            policy, facts, rule, message, choice.route, choice.dropped, known.tags, observed
        )
    groups, dropped, names = found.groups, found.dropped, choice.dropped_names
    wanted = facts.input_tokens_estimate + (facts.output_tokens_max or 0)
    if wanted > found.context_tokens_min or facts.max_cost_usd is not None or found.costed:
        groups, dropped = fitting(found, facts, wanted, at)
        if not groups:
            return _denied_for_size(policy, facts, choice, known.tags, dropped, observed)
        names = tuple([(drop.candidate.name, drop.detail) for drop in dropped])
    if found.observed or found.watched:
        observed += found.observed
        observed += too_dear(found, groups, facts, at) if found.watched else ()
    route = choice.route or PINNED
    kept = ordered(groups, facts, snapshot, slos=choice.slos, salt=route)
    if found.repeats:
        kept = tuple({one.candidate.name: one for one in reversed(kept)}.values())[::-1]
    if snapshot.shifted and route in snapshot.shifted:
        kept = shifted(kept, policy.shadows.get(route))
    left: Left | None = None
    if choice.spills is not None:
        kept, left = overflowed(kept, choice.spills, snapshot)
    cascade = choice.cascade and applying(choice.cascade, kept)
    own = (known.task, known.tags, observed, left, cascade, choice.cache)
    return Plan(policy, facts, route, kept, dropped, names, *own)


@dataclass(frozen=True, slots=True)
class _Choice:
    """What the policy says to a class of requests on one route; `spills` is that route if it overflows."""

    route: str | None
    found: Eligible | None = None
    dropped: tuple[Dropped, ...] = ()
    dropped_names: tuple[tuple[str, str], ...] = ()
    slos: tuple[Slo, ...] = ()
    denied: tuple[str, str] | None = None
    spills: Route | None = None
    cascade: Cascade | None = None
    cache: Cache | None = None


@dataclass(frozen=True, slots=True)
class _Class:
    """Requests that only their size, session, metadata and time can tell apart.

    Attributes:
        choice: What holds for all of them; None: some route or constraint looks at one of those.
        routes: That may hold, in order, up to the first that surely does.
        constraints: That surely hold; `perhaps` are those to look at per request.
    """

    tags: tuple[str, ...] = ()
    task: Task | None = None
    choice: _Choice | None = None
    routes: tuple[Route, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    perhaps: tuple[Constraint, ...] = ()


def _class_of(policy: Policy, facts: Facts, at: datetime, moment: Moment) -> _Class:
    """Return what is known of the request's class, remembered if it was met before."""
    looks_at = policy.looks_at
    key = (
        moment,
        facts.task,
        facts.residency,
        facts.model,
        facts.environment,
        facts.needs,
        facts.taints,
        facts.vector_space,
        facts.tenant if "tenant" in looks_at else None,
        facts.feature if "feature" in looks_at else None,
        facts.tags if "tags" in looks_at else None,
        facts.stream if "stream" in looks_at else None,
    )
    known: _Class | None = policy.memo.get(key)
    if known is None:
        known = _class(policy, facts, at, moment)
        if known.choice is None or known.choice.denied is None or known.choice.route is not None:
            _remember(policy, key, known)  # names that nobody knows are not worth it
    return known


def moment_of(policy: Policy, at: datetime) -> Moment:
    """Return which prices are in force; they begin and end with a minute, so a minute has one moment."""
    key = (_ALWAYS, int(at.timestamp() // 60))
    moment: Moment | None = policy.memo.get(key)
    if moment is None:
        tariffs = (one.tariff for served in policy.candidates.values() for one in served)
        windows = (tariff.window(at) for tariff in tariffs if tariff is not None and tariff.moves)
        moment = tuple([id(window) for window in windows])
        _remember(policy, key, moment)
    return moment


def _remember(policy: Policy, key: object, value: object) -> None:
    if len(policy.memo) >= CLASSES_REMEMBERED:
        policy.memo.clear()
    policy.memo[key] = value


def _class(policy: Policy, facts: Facts, at: datetime, moment: Moment) -> _Class:
    denied = _unknown_names(policy, facts)
    task = policy.tasks.get(facts.task) if facts.task is not None else None
    tags = () if denied else residency_tags(policy, facts)
    if denied is None and policy.deny_untagged and not own_tags(policy, facts):
        allowed = ", ".join(sorted(policy.residency))
        message = (
            f"policy {policy.name!r} denies requests without a residency tag (default_residency: deny); "
            f"pass residency=, one of: {allowed}"
        )
        denied = ("default_residency: deny", message)
    if denied is not None:
        return _Class(tags, task, _Choice(None, denied=denied))
    subject = Subject(facts, tags, task, EPOCH)
    sure, perhaps = [], []
    for constraint in policy.constraints:
        if not constraint.when.per_request:
            if holds(constraint.when, subject):
                sure.append(constraint)
        elif _may_hold(constraint.when, subject):
            perhaps.append(constraint)
    routes = () if facts.model is not None else _routes(policy, subject)
    known = _Class(tags, task, None, routes, tuple(sure), tuple(perhaps))
    first = routes[0] if routes else None
    if perhaps or (first is not None and (first.when.per_request or first.observe)):
        return known
    choice = _choice_on(policy, known, first, known.constraints, facts, (at, moment))
    return _Class(tags, task, choice, routes, known.constraints)


def _unknown_names(policy: Policy, facts: Facts) -> tuple[str, str] | None:
    """A name that the policy does not know denies: it may be a restricting one, misspelt."""
    task = facts.task
    if task is not None and policy.known_tasks and not fits(policy.known_tasks, (task,)):
        return _refused("task", task, policy.known_tasks, policy)
    for tag in residency_tags(policy, facts):
        if tag not in policy.residency:
            return _refused("residency tag", tag, policy.residency, policy)
    if facts.model is not None and facts.model not in policy.candidates:
        return _refused("model", facts.model, policy.candidates, policy)
    if facts.vector_space is not None:
        spaces = {m.vector_space for m in policy.models.values() if m.vector_space is not None}
        if facts.vector_space not in spaces:
            return _refused("vector space", facts.vector_space, spaces, policy)
    return None


def residency_tags(policy: Policy, facts: Facts) -> tuple[str, ...]:
    """Return the tags that hold: the request's own and its task's, and those that its session keeps.

    Without a tag of its own or its task's the policy's default holds; what a session keeps adds to that and
    replaces nothing.
    """
    return tuple(dict.fromkeys((*brought_tags(policy, facts), *facts.taints)))


def brought_tags(policy: Policy, facts: Facts) -> tuple[str, ...]:
    """Return the tags that a request brings: its own and its task's, or the default."""
    own = own_tags(policy, facts)
    if not own and policy.default_residency is not None:
        return (policy.default_residency,)
    return own


def own_tags(policy: Policy, facts: Facts) -> tuple[str, ...]:
    """Return the tags that the request and its task bring."""
    task = policy.tasks.get(facts.task) if facts.task is not None else None
    own = (facts.residency, task.residency if task is not None else None)
    return tuple(dict.fromkeys(tag for tag in own if tag is not None))


def _routes(policy: Policy, subject: Subject) -> tuple[Route, ...]:
    """Return the routes that may hold for the class, up to the first that surely decides."""
    found = []
    for route in policy.routes:
        if route.when.per_request:
            if _may_hold(route.when, subject):
                found.append(route)
        elif holds(route.when, subject):
            found.append(route)
            if not route.observe:
                break
    return tuple(found)


def _may_hold(when: When, subject: Subject) -> bool:
    """Return False if a condition fails that has nothing to do with the request at hand."""
    alone = (When((condition,)) for condition in when.conditions)
    return all(one.per_request or holds(one, subject) for one in alone)


def _choice_now(
    policy: Policy, known: _Class, facts: Facts, snapshot: Snapshot, moment: Moment
) -> tuple[_Choice, tuple[str, ...]]:
    """Look at what differs from request to request of a class: size, session, metadata, time."""
    subject = Subject(facts, known.tags, known.task, snapshot.now_utc, snapshot.held)
    observed: list[str] = []
    decides = None
    for route in known.routes:
        if not route.when.per_request or holds(route.when, subject):
            if not route.observe:
                decides = route
                break
            observed.append(f"route {route.name!r} would decide")
    constraints = known.constraints
    if known.perhaps:
        constraints += tuple(one for one in known.perhaps if holds(one.when, subject))
    when = (snapshot.now_utc, moment)
    return _choice_on(policy, known, decides, constraints, facts, when), tuple(observed)


def _choice_on(
    policy: Policy,
    known: _Class,
    route: Route | None,
    constraints: tuple[Constraint, ...],
    facts: Facts,
    when: tuple[datetime, Moment],
) -> _Choice:
    """Return what is left on a route, remembered: many classes of requests share one."""
    if route is None and facts.model is None:
        return _Choice(None, denied=_no_route(policy, facts, known.tags))
    own = (facts.model, facts.needs, facts.environment, facts.vector_space)
    key = (route, known.tags, known.task, constraints, own, when[1])
    choice: _Choice | None = policy.memo.get(key)
    if choice is None:
        choice = _choice(policy, known, route, constraints, facts, when[0])
        _remember(policy, key, choice)
    return choice


def _choice(
    policy: Policy,
    known: _Class,
    route: Route | None,
    constraints: tuple[Constraint, ...],
    facts: Facts,
    at: datetime,
) -> _Choice:
    """Apply the hard filters to a route's candidates, or to those of the model that was pinned."""
    uses = route.use if route is not None else _pinned(policy, facts.model)
    space = _vector_space(uses, facts) if Capability.EMBEDDINGS in facts.needs else None
    tags = tuple(policy.residency[tag] for tag in known.tags)
    limits = Limits(tags, facts.environment, facts.needs, space, constraints, at)
    found = eligible(uses, route, limits)
    name = route.name if route is not None else None
    if not found.groups:
        rule = _rule(found.dropped, _TELLING, name)
        denied = (rule, _leaves_nobody(policy, name, rule, found.dropped))
        return _Choice(name, dropped=found.dropped, denied=denied)
    own = (route.slo if route is not None else None, known.task.slo if known.task else None)
    slos = tuple(slo for slo in own if slo)
    names = tuple([(drop.candidate.name, drop.detail) for drop in found.dropped])
    spills = route if route is not None and route.overflows else None
    chat = route is not None and facts.operation == "chat"
    cascade = route.cascade if route is not None and chat else None
    free = all(tag.cache for tag in tags)  # kept only if every tag that holds says so
    cache = route.cache if route is not None and free else None
    return _Choice(name, found, found.dropped, names, slos, None, spills, cascade, cache)


def _vector_space(uses: tuple[Use, ...], facts: Facts) -> str | None:
    """Return the space that the caller names, else that of the first model that embeds."""
    if facts.vector_space is not None:
        return facts.vector_space
    models = (candidate.model for use in uses for candidate in use.candidates)
    return next((model.vector_space for model in models if model.vector_space), None)


def _pinned(policy: Policy, model: str | None) -> tuple[Use, ...]:
    candidates = policy.candidates[model] if model is not None else ()
    return (Use(candidates, f"model {model!r}"),)


def _refused(kind: str, name: str, known: Iterable[str], policy: Policy) -> tuple[str, str]:
    names = list(known)
    hint = nearest(name, names)
    allowed = listed(names) if names else "none is declared"
    message = f"{kind} {name!r} is not in policy {policy.name!r}; known: {allowed}{hint}"
    return f"unknown {kind} {name!r}", message


def _no_route(policy: Policy, facts: Facts, tags: tuple[str, ...]) -> tuple[str, str]:
    names = listed([route.name for route in policy.routes])
    message = (
        f"no route of policy {policy.name!r} matches task {facts.task!r}, residency {tags}; routes: "
        f"{names}; add a last route without `when`"
    )
    return "no route matches", message


# Of several reasons the one that says most about why nobody is left.
_TELLING = (
    *ABOUT_DATA,
    DropReason.CONSTRAINT,
    DropReason.VECTOR_SPACE,
    DropReason.CAPABILITY,
    DropReason.ENVIRONMENT,
    DropReason.PRICE,
)
_OF_THIS_SIZE = (DropReason.COST, DropReason.CONTEXT)


def _rule(dropped: tuple[Dropped, ...], reasons: Iterable[DropReason], route: str | None) -> str:
    """Return the rule behind the most telling of the drops."""
    for reason in reasons:
        for drop in dropped:
            if drop.reason is reason:
                return drop.rule
    return f"route {route!r}" if route else "pinned model"


def _leaves_nobody(
    policy: Policy, route: str | None, rule: str, dropped: tuple[Dropped, ...]
) -> str:
    why = (
        "; ".join(f"{drop.candidate.name}: {drop.detail}" for drop in dropped) or "it names nobody"
    )
    where = f"route {route!r}" if route else "the pinned model"
    return f"policy {policy.name!r}: {rule} leaves nobody to ask on {where}: {why}"


def _denied_for_size(
    policy: Policy,
    facts: Facts,
    choice: _Choice,
    tags: tuple[str, ...],
    dropped: tuple[Dropped, ...],
    observed: tuple[str, ...],
) -> Denied:
    rule = _rule(dropped, _OF_THIS_SIZE, choice.route)
    message = _leaves_nobody(policy, choice.route, rule, dropped)
    return Denied(policy, facts, rule, message, choice.route, dropped, tags, observed)
