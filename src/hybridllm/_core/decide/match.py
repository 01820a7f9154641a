"""Which route applies: the first whose every condition holds."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from hybridllm._core.policy.compiled import Route, When


def route_for(
    routes: Iterable[Route],
    *,
    task: str | None,
    residency: tuple[str, ...],
    tenant: str | None,
    environment: str,
) -> Route | None:
    """Return the first route whose `when` holds, or None."""
    for route in routes:
        if _holds(route.when, task, residency, tenant, environment):
            return route
    return None


def _holds(
    when: When, task: str | None, residency: tuple[str, ...], tenant: str | None, environment: str
) -> bool:
    return (
        _named(when.task, (task,))
        and _named(when.residency, residency)
        and _named(when.tenant, (tenant,))
        and _named(when.environment, (environment,))
    )


def _named(patterns: frozenset[str], values: Iterable[str | None]) -> bool:
    """True if no pattern is set, or one of them is, or as a glob fits, one of the values."""
    if not patterns:
        return True
    for value in values:
        if value is None:
            continue
        if value in patterns or any(fnmatchcase(value, pattern) for pattern in patterns):
            return True
    return False
