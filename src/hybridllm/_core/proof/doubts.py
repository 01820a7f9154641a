"""What the proof tells while a policy is loaded: that it failed, what is never reached, who is never served.

A proof that fails is an error, and a mistake of ours. Everything else is a warning: it may be meant. Who is
denied on purpose says so with a test that expects it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hybridllm._core.cases.run import DENIED, CaseResult
from hybridllm._core.decide.decide import PINNED, decide
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.policy.compiled import Candidate, Policy
from hybridllm._core.policy.document import (
    Findings,
    Node,
    Path,
    Place,
    key_place,
    path_text,
    value_place,
)
from hybridllm._core.policy.repriced import at_its_cheapest
from hybridllm._core.proof.dead import NO_REQUEST_FITS, never_holds, takers_of, why_never_reached
from hybridllm._core.proof.judge import backend_objection, constraint_objections
from hybridllm._core.proof.reach import Decide, Disagreement, Reach, reach_of
from hybridllm._core.proof.taken import shares_of
from hybridllm._core.proof.verdict import carrying, violations
from hybridllm._core.request.facts import Facts

_NAMES_SHOWN_MAX = 6
_MEANT = "if that is meant, say so with a test that expects error: policy_denied"
_OURS = "this is a mistake in hybridllm, not in the policy; please report it"


def tell_proof(
    policy: Policy,
    root: Node,
    findings: Findings,
    *,
    meant: Iterable[Facts] = (),
    decide: Decide = decide,
) -> None:
    """Prove a policy, and tell of it what its author should know.

    Args:
        policy: Compiled.
        root: The file as a tree, for the lines.
        findings: Takes what there is to tell.
        meant: Requests that tests of the policy expect to be denied.
        decide: What decides a request.
    """
    policy = at_its_cheapest(policy)
    shares = shares_of(policy)
    try:
        reach = reach_of(policy, shares, thorough=False, decide=decide)
    except Disagreement as error:
        findings.error(root.place, (), f"the proof of this policy failed: {error}; {_OURS}")
        return
    doubts = _Doubts(policy, root, findings, reach)
    doubts.proof()
    doubts.requests()
    doubts.routes()
    doubts.constraints()
    doubts.unserved([*meant])


def denied_on_purpose(results: Iterable[CaseResult]) -> tuple[Facts, ...]:
    """Return the plain requests that tests of a policy expect to be denied, and that are."""
    return tuple(
        result.case.facts
        for result in results
        if result.passed
        and result.case.expected.error == DENIED
        and result.case.facts.model is None
        and not result.case.facts.needs
    )


class _Doubts:
    def __init__(self, policy: Policy, root: Node, findings: Findings, reach: Reach) -> None:
        self._policy = policy
        self._root = root
        self._findings = findings
        self._reach = reach
        self._shares = reach.shares
        self._dead_ends: set[str] = set()

    def _warn(self, path: Path, message: str) -> None:
        self._findings.warn(self._place(path), path, message)

    def _place(self, path: Path) -> Place:
        """Return where something is named; routes and constraints have no key, but a name."""
        if isinstance(path[-1], int):
            return value_place(self._root, (*path, "name"))
        return key_place(self._root, path)

    def proof(self) -> None:
        lines = {route.name: number for number, route in enumerate(self._policy.routes)}
        for violation in violations(self._reach):
            name = violation.reached.route
            path: Path = ("routes", lines[name]) if name != PINNED else ("residency",)
            self._findings.error(self._place(path), path, f"{violation.message}; {_OURS}")
        for note in self._reach.notes:
            self._warn(("routes",), f"the proof is not exact: {note}")

    def requests(self) -> None:
        if not all(self._shares.view.whole):
            message = "every request is denied: no residency tag is declared that one could carry"
            self._warn(("default_residency",), message)

    def routes(self) -> None:
        for number, one in enumerate(self._shares.taken):
            name, path = one.route.name, ("routes", number)
            if not one.boxes:
                why = (
                    why_never_reached(self._shares, number) if all(self._shares.view.whole) else ""
                )
                if why and not (
                    why.startswith(NO_REQUEST_FITS) and self._is_told_of((*path, "when"))
                ):
                    self._warn(path, f"route {name!r} is never reached: {why}")
                continue
            reached = [found for found in self._reach.reached if found.route == name]
            denied = [found.outcome for found in reached if isinstance(found.outcome, Denied)]
            if not reached or len(denied) < len(reached):
                continue
            self._dead_ends.add(name)
            if any(
                self._may_see(one, found.tags) for found in reached for one in self._candidates()
            ):
                self._warn(
                    path,
                    f"route {name!r} has nobody to ask in environment {self._policy.environment!r}: every "
                    f"request that it takes is denied ({_listed(dict.fromkeys(d.rule for d in denied))})",
                )

    def _is_told_of(self, path: Path) -> bool:
        """Return whether something is told already of what stands at a path, or below it."""
        return any(one.path.startswith(path_text(path)) for one in self._findings.in_order())

    def constraints(self) -> None:
        if self._shares.blind:
            return
        never = never_holds(self._shares)
        for number, constraint in enumerate(self._policy.constraints):
            path: Path = ("constraints", number)
            if number in never:
                message = f"constraint {constraint.name!r} never holds: {never[number]}"
                self._warn(path, message)
                continue
            if constraint.observe:
                continue
            routes = takers_of(self._shares, constraint)
            asked = [one for route in routes for use in route.use for one in use.candidates]
            if routes and not any(
                self._usable(one) and not constraint_objections(constraint, one) for one in asked
            ):
                where = _listed(repr(route.name) for route in routes)
                self._warn(
                    path,
                    f"constraint {constraint.name!r} leaves nobody to ask on route {where}: every request "
                    "that it holds for is denied",
                )

    def unserved(self, meant: list[Facts]) -> None:
        """Tell what is denied though somebody is allowed to see it: once for a task, or once for a tag."""
        reached = self._reach.reached
        if not self._reach.complete:
            return
        told = [one for one in reached if one.route in self._dead_ends]  # with their routes
        told += [one for one in reached if one.route != PINNED and isinstance(one.outcome, Plan)]
        served = 0
        for one in told:
            served |= one.who
        gaps = {tag: self._gaps(tag, served) for tag in self._tags()}
        for task in self._policy.tasks:
            if len(gaps) > 1 and all(task in of_tag for of_tag in gaps.values()):
                for of_tag in gaps.values():
                    of_tag.remove(task)
                if not any(facts.task == task for facts in meant):
                    why = self._why([task], None)
                    message = (
                        f"nothing serves task {task!r}, whatever its residency tag: {why}; {_MEANT}"
                    )
                    self._warn(("tasks", task), message)
        for tag, tasks in gaps.items():
            is_meant = any(facts.residency == tag and facts.task in tasks for facts in meant)
            if tasks and not is_meant:
                carrying_it = f"with tag {tag!r}" if tag is not None else "without a tag"
                where = _listed(repr(task) for task in tasks)
                why = self._why(tasks, tag)
                self._warn(
                    ("residency", tag) if tag is not None else ("tasks", tasks[0]),
                    f"nothing serves requests {carrying_it} of task {where}: {why}; {_MEANT}",
                )

    def _tags(self) -> list[str | None]:
        untagged = () in self._shares.view.standing.effective and not self._policy.deny_untagged
        return [*self._policy.residency, *([None] if untagged else [])]

    def _gaps(self, tag: str | None, served: int) -> list[str]:
        """Return the tasks of which no request with a tag is served, though somebody may see its data."""
        who = self._reach.space.who
        where = carrying(self._reach, tag)
        found = []
        for number, name in enumerate(who.tasks):
            task = self._policy.tasks.get(name) if name is not None else None
            if (
                task is None
                or not where & who.of_task(number)
                or served & where & who.of_task(number)
            ):
                continue
            tags = {one for one in (tag, task.residency) if one is not None}
            if any(self._may_see(candidate, tags) for candidate in self._candidates()):
                found.append(task.name)
        return found

    def _candidates(self) -> Iterator[Candidate]:
        for served in self._policy.candidates.values():
            yield from served

    def _may_see(self, candidate: Candidate, tags: Iterable[str]) -> bool:
        return self._usable(candidate) and not any(
            backend_objection(self._policy, tag, candidate.backend) for tag in tags
        )

    def _usable(self, candidate: Candidate) -> bool:
        allowed = candidate.backend.environments
        return not allowed or self._policy.environment in allowed

    def _why(self, tasks: list[str], tag: str | None) -> str:
        """Return the rules that deny requests of some tasks, and the routes on which they do."""
        who = self._reach.space.who
        where = 0
        for number, name in enumerate(who.tasks):
            where |= who.of_task(number) if name in tasks else 0
        if tag is not None:
            where &= carrying(self._reach, tag)
        rules: dict[str, None] = {}
        routes: dict[str, None] = {}
        for one in self._reach.reached:
            if one.route != PINNED and one.who & where and isinstance(one.outcome, Denied):
                rules[one.outcome.rule] = None
                routes[repr(one.route)] = None
        if not rules:
            return "no route takes them"
        return f"{_listed(rules)} leaves nobody on route {_listed(routes)}"


def _listed(names: Iterable[str]) -> str:
    names = tuple(names)
    more = len(names) - _NAMES_SHOWN_MAX
    return ", ".join(names[:_NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
