"""What may stand in a policy about money that may be spent, as pydantic models: the shape only."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from hybridllm._core.policy.fields import BudgetUsd, Glob, ModelName, Name
from hybridllm._core.policy.spec import Spec

_PERCENT = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,4})?) ?%\Z")
PERCENT_MAX = 1_000
STEPS_MAX = 16
BUDGETS_MAX = 256


def percent_of(text: str) -> Decimal:
    """Return the number of a share that was checked: `80%` is 80."""
    match = _PERCENT.match(text)
    if match is None:
        raise ValueError("is not a share of the budget; write 80%")
    return Decimal(match[1])


def _share(value: object) -> str:
    if not isinstance(value, str) or not 0 < percent_of(value) <= PERCENT_MAX:
        raise ValueError(
            f"is not a share of the budget; write 80%, from above 0% to {PERCENT_MAX}%"
        )
    return value


ShareOfBudget = Annotated[str, BeforeValidator(_share, json_schema_input_type=str)]


class UseInsteadSpec(Spec):
    """From here on only these models may be asked; of those that may be asked anyway."""

    use: tuple[ModelName, ...] = Field(min_length=1, description="Models of the policy.")


def _action(value: object, read: ValidatorFunctionWrapHandler) -> object:
    if isinstance(value, dict) or value in ("warn", "deny"):
        return read(value)
    raise ValueError("is nothing that a budget does; write warn, deny, or {use: [MODEL]}")


Action = Annotated[
    Literal["warn", "deny"] | UseInsteadSpec,
    WrapValidator(_action, json_schema_input_type=Literal["warn", "deny"] | UseInsteadSpec),
]


class BudgetScopeSpec(Spec):
    """Whose money it is: requests and candidates that all of this fits. `*`: each value has its own."""

    tenant: Glob | None = Field(default=None, description="Of this tenant; *: of each.")
    feature: Glob | None = Field(default=None, description="For this feature; *: for each.")
    task: Glob | None = Field(default=None, description="Of this task class; *: of each.")
    route: Glob | None = Field(default=None, description="Decided by this route; *: by each.")
    backend: Glob | None = Field(default=None, description="Spent at this backend; *: at each.")
    model: Glob | None = Field(default=None, description="Spent on this model; *: on each.")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError('names nobody; write {tenant: "*"}, {backend: NAME}, or all')
        return self


def _scope(value: object, read: ValidatorFunctionWrapHandler) -> object:
    if value == "all" or isinstance(value, dict):
        return read(value)
    raise ValueError('is no scope of a budget; write all, {tenant: "*"}, or {backend: NAME}')


BudgetScope = Annotated[
    Literal["all"] | BudgetScopeSpec,
    WrapValidator(_scope, json_schema_input_type=Literal["all"] | BudgetScopeSpec),
]


class SpendingSpec(Spec):
    """Money that may be spent in a period: reserved before a request is sent, settled when it has ended."""

    name: Name | None = Field(
        default=None,
        description="By which it is known, and what was spent is kept. Default: its scope and its period.",
    )
    scope: BudgetScope = Field(
        description='Whose money: all, or {tenant: "*"}, {task: NAME}, {backend: NAME}, several at once.'
    )
    usd: BudgetUsd = Field(description="USD per period. 0 is 0: nothing may be spent.")
    per: Literal["hour", "day", "month"] = Field(
        description="Of UTC; it begins anew at the full hour, at midnight, on the first of the month."
    )
    at: dict[ShareOfBudget, Action] = Field(
        default_factory=dict,
        max_length=STEPS_MAX,
        description="What happens from a share of it on: {80%: warn, 90%: {use: [MODEL]}, 100%: deny}. "
        "Default: 100%: deny, unless something denies, or something else is said of 100%.",
    )


Budgets = Annotated[tuple[SpendingSpec, ...], Field(max_length=BUDGETS_MAX)]
