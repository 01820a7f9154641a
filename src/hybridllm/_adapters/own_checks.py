"""The application's own checks of answers: functions that a policy names, imported when it is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from hybridllm._adapters.dotted_names import function_named
from hybridllm._core.cascade.rule import Escalates
from hybridllm._core.policy.document import Findings, Node, Path, value_place
from hybridllm._core.policy.schema import PolicySpec


def own_checks(spec: PolicySpec, root: Node, findings: Findings) -> Mapping[str, Escalates]:
    """Return the functions that cascades name; tell of each that there is not."""
    found: dict[str, Escalates] = {}
    for index, route in enumerate(spec.routes):
        name = None if route.cascade is None else route.cascade.escalate_if.python
        if name is None or name in found:
            continue
        one = _check(name)
        if isinstance(one, str):
            path: Path = ("routes", index, "cascade", "escalate_if", "python")
            findings.error(value_place(root, path), path, one)
        else:
            found[name] = one
    return found


def _check(name: str) -> Escalates | str:
    """Return a function by its dotted name, or why it will not do."""
    function = function_named(name)
    if inspect.iscoroutinefunction(function):
        return f"{name!r} is a coroutine function; a check is called, not awaited: write `def`"
    return function
