"""The tests that a starter policy comes with: what it promises, each in a line of YAML."""

from __future__ import annotations

from collections.abc import Iterator

from hybridllm.cli.init.draft import (
    BANDWIDTH_TASKS,
    DEFAULT,
    PRIVATE,
    QUICK,
    Asked,
    Draft,
    DraftRoute,
    Side,
)
from hybridllm.cli.init.yaml_text import flow, scalar

_UNKNOWN_TASK = "not-a-task"


def cases_of(draft: Draft) -> Iterator[str]:
    """Yield each test as lines of YAML, without the leading indentation."""
    for route in draft.routes:
        yield from _route_cases(draft, route)
    yield from _tag_cases(draft)
    yield _case(
        "a task that nobody declared is denied, not guessed",
        [f"task: {_unknown_task(draft)}"],
        ["error: policy_denied"],
    )


def _route_cases(draft: Draft, route: DraftRoute) -> Iterator[str]:
    task = _task_of(draft, route)
    given = [f"task: {scalar(task)}"] if task else []
    first = route.chain[0]
    small = "quick tasks go to the small model"
    title = small if route.name == QUICK else "everything else goes to the large one"
    if len({asked.model for one in draft.routes for asked in one.use}) == 1:
        title = f"route {route.name} decides"
    expect = [f"route: {route.name}", f"model: {scalar(first.model)}", "reason: primary"]
    yield _case(title, given, expect)
    down = draft.backends_of(first.model, first.side)
    standing_in = _next(draft, route, down)
    if standing_in is None:
        return
    reason = "failover" if standing_in.model == first.model else "fallback"
    expect = [f"model: {scalar(standing_in.model)}", f"reason: {reason}"]
    yield _case(
        f"with {' and '.join(down)} down another one answers ({route.name})",
        [*given, f"down: {flow(down)}"],
        expect,
    )


def _unknown_task(draft: Draft) -> str:
    """Return a task that the policy does not declare."""
    number, task = 1, _UNKNOWN_TASK
    while task in draft.wishes.tasks:
        number += 1
        task = f"{_UNKNOWN_TASK}-{number}"
    return task


def _task_of(draft: Draft, route: DraftRoute) -> str | None:
    """Return a task that the route decides; None: only requests without one come here."""
    quick = [task for task in draft.wishes.tasks if task in BANDWIDTH_TASKS]
    others = [task for task in draft.wishes.tasks if task not in BANDWIDTH_TASKS]
    tasks = quick if route.name == QUICK else others
    return tasks[0] if tasks else None


def _next(draft: Draft, route: DraftRoute, down: list[str]) -> Asked | None:
    """Return who answers while the first backends are down."""
    for asked in route.chain:
        if set(draft.backends_of(asked.model, asked.side)) - set(down):
            return asked
    return None


def _tag_cases(draft: Draft) -> Iterator[str]:
    wishes = draft.wishes
    hosted = [api.name for api in draft.hosted]
    tags = []
    if wishes.private:
        tags.append((PRIVATE, [one.name for one in draft.own if one.is_surely_own]))
    if wishes.region:
        tags.append((wishes.region, [one.name for one in draft.own]))
    default = next(route for route in draft.routes if route.name == DEFAULT)
    task = _task_of(draft, default)
    for tag, allowed in tags:
        given = [*([f"task: {scalar(task)}"] if task else []), f"residency: {scalar(tag)}"]
        asked = _asked_on(draft, default, allowed)
        if not asked:
            yield _case(f"nobody may see {tag} data yet", given, ["error: policy_denied"])
            continue
        if hosted:
            yield _case(f"{tag} data never goes to a hosted API", given, [f"never: {flow(hosted)}"])
        yield _case(
            f"{tag} data goes nowhere else when {' and '.join(asked)} cannot answer",
            [*given, f"down: {flow(asked)}"],
            ["error: route_exhausted"],
        )


def _asked_on(draft: Draft, route: DraftRoute, allowed: list[str]) -> list[str]:
    """Return which of these backends a route leads to."""
    reached = {
        backend
        for asked in route.chain
        if asked.side is Side.OWN
        for backend in draft.backends_of(asked.model, asked.side)
    }
    return [backend for backend in allowed if backend in reached]


def _case(name: str, given: list[str], expect: list[str]) -> str:
    lines = [f"- name: {scalar(name)}"]
    if given:
        lines.append(f"  given: {{{', '.join(given)}}}")
    lines.append(f"  expect: {{{', '.join(expect)}}}")
    return "\n".join(lines)
