"""The application's own checks of answers: functions that a policy names, imported when it is loaded.

A policy file is trusted as code is: whoever writes it may name any function of this process.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping

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
        one = _imported(name)
        if isinstance(one, str):
            path: Path = ("routes", index, "cascade", "escalate_if", "python")
            findings.error(value_place(root, path), path, one)
        else:
            found[name] = one
    return found


def _imported(name: str) -> Escalates | str:
    """Return a function by its dotted name, or why it will not do."""
    module_name, _, attribute = name.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        missing = error.name or module_name
        return (
            f"{name!r} cannot be imported: no module {missing!r} here; write package.module.function, and "
            "put its folder into PYTHONPATH"
        )
    except Exception as error:  # noqa: BLE001 - a module of the application's may raise anything
        return f"{name!r} cannot be imported: its module raised {type(error).__name__}"
    function = getattr(module, attribute, None)
    if function is None:
        return f"{name!r}: module {module_name!r} has no {attribute!r}"
    if not callable(function):
        return f"{name!r} is no function but {type(function).__name__}"
    if inspect.iscoroutinefunction(function):
        return f"{name!r} is a coroutine function; a check is called, not awaited: write `def`"
    return function  # type: ignore[no-any-return]  # getattr knows no more than that it can be called
