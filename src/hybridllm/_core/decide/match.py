"""Which route applies: the first whose every condition holds."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache

from hybridllm._core.policy.compiled import Route, When

_GLOB_SIGNS = frozenset("*?[")


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
        (not when.task or fits(when.task, (task,)))
        and (not when.residency or fits(when.residency, residency))
        and (not when.tenant or fits(when.tenant, (tenant,)))
        and (not when.environment or fits(when.environment, (environment,)))
    )


def fits(patterns: frozenset[str], values: Iterable[str | None]) -> bool:
    """True if one of the values is named by a pattern, or fits it as a glob (`acme-*`)."""
    for value in values:
        if value is not None and (
            value in patterns or any(fnmatchcase(value, glob) for glob in _globs(patterns))
        ):
            return True
    return False


@lru_cache(maxsize=4_096)
def _globs(patterns: frozenset[str]) -> tuple[str, ...]:
    """Those of the patterns that are more than a name."""
    return tuple(pattern for pattern in patterns if not _GLOB_SIGNS.isdisjoint(pattern))
