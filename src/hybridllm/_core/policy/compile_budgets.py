"""What a policy says of budgets, from the schema's models to what the router runs by."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

from hybridllm._core.money.pico import pico_of
from hybridllm._core.policy.budgets import OF_CANDIDATE, OF_REQUEST, Budget, Period, Step
from hybridllm._core.policy.document import Node, key_place
from hybridllm._core.policy.schema_budgets import UseInsteadSpec, percent_of

if TYPE_CHECKING:
    from hybridllm._core.policy.schema_budgets import SpendingSpec

_WHOLE = Decimal(100)


def compiled_budgets(specs: Sequence[SpendingSpec], root: Node) -> tuple[Budget, ...]:
    """Return the budgets, in the order of the file."""
    return tuple(
        _budget(spec, key_place(root, ("budgets", index)).line) for index, spec in enumerate(specs)
    )


def _budget(spec: SpendingSpec, line: int) -> Budget:
    limit_pico = pico_of(spec.usd)
    steps = [_step(percent_of(share), action, limit_pico) for share, action in spec.at.items()]
    if not any(step.deny or step.percent == _WHOLE for step in steps):
        steps.append(Step(_WHOLE, limit_pico, deny=True))
    return Budget(
        name=name_of(spec),
        limit_pico=limit_pico,
        per=Period(spec.per),
        scope=scope_of(spec),
        steps=tuple(sorted(steps, key=lambda step: step.percent)),
        line=line,
    )


def scope_of(spec: SpendingSpec) -> tuple[tuple[str, str], ...]:
    """Return whose money it is, in one order however it was written."""
    if spec.scope == "all":
        return ()
    given = ((key, getattr(spec.scope, key)) for key in (*OF_REQUEST, *OF_CANDIDATE))
    return tuple((key, value) for key, value in given if value is not None)


def name_of(spec: SpendingSpec) -> str:
    """Return a budget's name; without one it is called by its scope and its period, not by its limit."""
    if spec.name is not None:
        return spec.name
    scope = ", ".join(f"{key} {value}" for key, value in scope_of(spec)) or "all"
    return f"{scope} per {spec.per}"


def _step(percent: Decimal, action: str | UseInsteadSpec, limit_pico: int) -> Step:
    at_pico = int((limit_pico * percent / _WHOLE).to_integral_value(ROUND_FLOOR))
    if isinstance(action, UseInsteadSpec):
        return Step(percent, at_pico, use=frozenset(action.use))
    return Step(percent, at_pico, deny=action == "deny")
