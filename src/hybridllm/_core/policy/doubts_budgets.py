"""Budgets that cannot be kept, because nobody knows what somebody costs; and budgets that bind nobody."""

from __future__ import annotations

from collections.abc import Iterator

from hybridllm._core.decide.filters import environment_drop
from hybridllm._core.policy.budgets import EACH, Budget
from hybridllm._core.policy.compiled import Candidate, Policy
from hybridllm._core.policy.document import Findings, Node, Path, key_place, listed, value_place


def tell_budget_doubts(policy: Policy, root: Node, findings: Findings) -> None:
    """Tell of budgets over somebody whose price is not known, and of tasks that are not declared."""
    for index, budget in enumerate(policy.budgets):
        path: Path = ("budgets", index)
        covered = tuple(dict.fromkeys(_covered(policy, budget)))
        unpriced = [one.name for one in covered if one.price is None]
        if unpriced:
            message = (
                f"no price is known of {listed(unpriced)}, so {budget} cannot be kept; give a price "
                "(price: free for machines that are paid by the month), or narrow the scope"
            )
            findings.error(key_place(root, path), path, message)
        elif not covered:
            findings.warn(key_place(root, path), path, f"{budget} covers nobody who may be asked")
        _tell_task(policy, budget, root, path, findings)
        _tell_models(budget, covered, root, path, findings)


def _covered(policy: Policy, budget: Budget) -> Iterator[Candidate]:
    """Yield who may be asked under a budget, whichever way: a pinned model is on no route."""
    scope = dict(budget.scope)
    route, backend, model = (scope.get(key, EACH) for key in ("route", "backend", "model"))
    uses = (
        one
        for named in policy.routes
        if route in (EACH, named.name)
        for use in named.use
        for one in use.candidates
    )
    pinned = (one for served in policy.candidates.values() for one in served)
    for one in (*uses, *(pinned if route == EACH else ())):
        if (
            backend in (EACH, one.backend.name)
            and model in (EACH, one.model.name)
            and environment_drop(one, policy.environment) is None
        ):
            yield one


def _tell_task(policy: Policy, budget: Budget, root: Node, path: Path, findings: Findings) -> None:
    task = dict(budget.scope).get("task", EACH)
    if task != EACH and policy.known_tasks and task not in policy.known_tasks:
        where = (*path, "scope", "task")
        hint = findings.hint(task, policy.known_tasks)
        message = f"unknown task {task!r}; known: {listed(policy.known_tasks)}{hint}"
        findings.error(value_place(root, where), where, message)


def _tell_models(
    budget: Budget, covered: tuple[Candidate, ...], root: Node, path: Path, findings: Findings
) -> None:
    models = {one.model.name for one in covered}
    for step in budget.steps:
        if step.use is not None and covered and not step.use & models:
            message = (
                f"from {step.percent:f} % on {budget} leaves nobody to ask: none of "
                f"{listed(step.use)} is among {listed(models)}"
            )
            findings.warn(key_place(root, (*path, "at")), (*path, "at"), message)
