"""Whether budgets name what there is, and each is known by a name of its own."""

from __future__ import annotations

from collections.abc import Collection

from hybridllm._core.policy.budgets import EACH, OF_CANDIDATE, OF_REQUEST
from hybridllm._core.policy.document import (
    ListNode,
    MapNode,
    Node,
    Path,
    Place,
    Scalar,
    child,
    entries,
    quoted,
    texts,
)
from hybridllm._core.policy.names import Names, is_glob

_SCOPES = (*OF_REQUEST, *OF_CANDIDATE)


def check_budgets(root: MapNode, names: Names, *, routes: Collection[str] | None) -> None:
    """Tell of unknown names in budgets, of patterns, and of two budgets that are one.

    Args:
        root: The file.
        names: What it declares.
        routes: Its routes' names; None: not readable.
    """
    section = root.get("budgets")
    firsts: dict[str, Place] = {}
    for index, budget in enumerate(section.items if isinstance(section, ListNode) else ()):
        path: Path = ("budgets", index)
        _check_scope(child(budget, "scope"), (*path, "scope"), names, routes)
        for share, step in entries(child(budget, "at")):
            models = child(step.value, "use")
            for scalar, where in texts(models, (*path, "at", share, "use")):
                names.known("model", scalar, names.models, where)
        _check_known_once(budget, path, names, firsts)


def _check_scope(
    scope: Node | None, path: Path, names: Names, routes: Collection[str] | None
) -> None:
    declared: dict[str, Collection[str] | None] = {
        "route": routes,
        "backend": names.backends,
        "model": names.models,
    }
    for key, entry in entries(scope):
        scalar = entry.value
        if not isinstance(scalar, Scalar) or not isinstance(scalar.value, str):
            continue
        where = (*path, key)
        if scalar.value == EACH:
            continue
        if key in _SCOPES and is_glob(scalar.value):
            message = (
                f"{quoted(scalar.written)} is a pattern; a budget takes one name, or * alone, which gives "
                "each value a budget of its own"
            )
            names.findings.error(scalar.place, where, message)
        elif key in declared:
            names.known(key, scalar, declared[key], where)


def _check_known_once(budget: Node, path: Path, names: Names, firsts: dict[str, Place]) -> None:
    name = _name(budget)
    if name is None:
        return
    first = firsts.setdefault(name, budget.place)
    if first != budget.place:
        message = (
            f"budget {quoted(name)} stands here twice; first in line {first.line}; what is spent is kept by "
            "its name, so give one of them another `name`"
        )
        names.findings.error(budget.place, path, message)


def _name(budget: Node) -> str | None:
    """The name that it will have, as `compile_budgets.py` makes it; None: nobody can tell."""
    given = child(budget, "name")
    if given is not None:
        return given.value if isinstance(given, Scalar) and isinstance(given.value, str) else None
    per, scope = child(budget, "per"), child(budget, "scope")
    if not isinstance(per, Scalar) or scope is None:
        return None
    values = {key: entry.value for key, entry in entries(scope)}
    told = [f"{key} {one.value}" for key in _SCOPES if isinstance(one := values.get(key), Scalar)]
    return f"{', '.join(told) or 'all'} per {per.value}"
