"""What the checks of cascades need from outside: the application's own functions, and the judge of schemas.

Both are imported when a policy is loaded that asks for them, not at its first request.
"""

from __future__ import annotations

import inspect

from hybridllm._adapters.dotted_names import function_named
from hybridllm._core.cascade.rule import Escalates, Misfit, OutsideChecks
from hybridllm._core.policy.document import Findings, Node, Path, value_place
from hybridllm._core.policy.schema import PolicySpec


def outside_checks(spec: PolicySpec, root: Node, findings: Findings) -> OutsideChecks:
    """Return what cascades ask for; tell of each function that there is not."""
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
    return OutsideChecks(found, _misfit(spec))


def _misfit(spec: PolicySpec) -> Misfit | None:
    cascades = [route.cascade for route in spec.routes if route.cascade is not None]
    if not any(cascade.escalate_if.schema_invalid for cascade in cascades):
        return None
    from hybridllm._adapters.json_schemas import misfit

    return misfit


def _check(name: str) -> Escalates | str:
    """Return a function by its dotted name, or why it will not do."""
    function = function_named(name)
    if inspect.iscoroutinefunction(function):
        return f"{name!r} is a coroutine function; a check is called, not awaited: write `def`"
    return function
