"""What the policy says of one request: who would be asked, in which order, and who not, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hybridllm._core.policy.compiled import Candidate, Policy, Task
from hybridllm._core.request.facts import Facts

if TYPE_CHECKING:
    from hybridllm._core.cache.rule import Cache
    from hybridllm._core.cascade.rule import Cascade
    from hybridllm._core.decide.overflow import Left


class DropReason(StrEnum):
    """Why a candidate may not be asked."""

    TERMS = "terms"  # it declares neither region nor operator nor retention
    REGION = "region"
    OPERATOR = "operator"
    RETENTION = "retention"
    ENVIRONMENT = "environment"
    CAPABILITY = "capability"
    VECTOR_SPACE = "vector_space"
    CONSTRAINT = "constraint"  # one of the policy's constraints, on something else than price
    PRICE = "price"  # above a ceiling on prices, or not known under one
    CONTEXT = "context"
    BUDGET = "budget"  # a budget of the policy has no room for it, or allows other models only
    COST = "cost"  # above a ceiling on what the request costs, or not known under one


_NOBODY: frozenset[str] = frozenset()
ABOUT_DATA = (DropReason.REGION, DropReason.OPERATOR, DropReason.RETENTION, DropReason.TERMS)
"""The reasons that residency gives."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A candidate that a hard filter took out.

    Attributes:
        detail: In words, with the value and what was asked: `region 'us' is not in [eu] (residency 'phi')`.
        rule: What of the policy or the request dropped it: `residency 'phi'`, `constraint 'acme'`.
    """

    candidate: Candidate
    reason: DropReason
    detail: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A candidate that may be asked.

    Attributes:
        fallback: True if its model is not the first that the route names.
        reason: Why it stands where it stands, in words.
    """

    candidate: Candidate
    fallback: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered candidates of one request. FROZEN: nothing later can add to it.

    Attributes:
        route: Name of the route that decided, or `(pinned)` if the caller named a model.
        kept: Who may be asked, in order; at least one.
        dropped: Who may not, and why.
        dropped_names: The same as (`backend/model`, reason in words).
        task: The request's task class, if the policy declares it; its timeouts go before the backend's.
        residency: The tags that hold for the request: its own and its task's, or the policy's default;
            and those that its session keeps.
        observed: What routes and constraints in `mode: observe` would have done, in words.
        left: What the route's overflows made of the order; None: it has none.
        cascade: Whose answers are checked, and who is asked if one does not pass; None: nobody's.
        cache: Where answers are kept; None: nowhere, or a tag that holds does not allow it.
    """

    policy: Policy
    facts: Facts
    route: str
    kept: tuple[Kept, ...]
    dropped: tuple[Dropped, ...]
    dropped_names: tuple[tuple[str, str], ...] = ()
    task: Task | None = None
    residency: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    left: Left | None = None
    cascade: Cascade | None = None
    cache: Cache | None = None

    @property
    def waits(self) -> frozenset[str]:
        """Backends that have too much to do and that the request may not leave."""
        return _NOBODY if self.left is None else self.left.waits

    @property
    def spilled(self) -> frozenset[str]:
        """Backends that take the request because others have too much to do."""
        return _NOBODY if self.left is None else self.left.to

    @property
    def candidate_names(self) -> tuple[str, ...]:
        """`backend/model` of those kept, in order."""
        return tuple([one.candidate.name for one in self.kept])

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why each of those kept stands where it stands."""
        left = self.left
        if left is None or not left.to:
            return tuple([one.reason for one in self.kept])
        return tuple(
            [
                f"{one.reason}; overflow: {left.why}"
                if one.candidate.backend.name in left.to
                else one.reason
                for one in self.kept
            ]
        )


@dataclass(frozen=True, slots=True)
class Denied:
    """The policy forbids the request; nothing may be sent.

    Attributes:
        rule: What denied it, in the policy's words: `residency 'phi'`.
        message: In words: the value, what is allowed, where to change it.
    """

    policy: Policy
    facts: Facts
    rule: str
    message: str
    route: str | None = None
    dropped: tuple[Dropped, ...] = ()
    residency: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
