"""The requests that `chaos` sends: every task with every residency tag, and who may answer each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridllm import Explanation, Policy, Router

PROMPT_TOKENS = 12
KINDS_MAX = 200


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request.

    Attributes:
        name: `classify, eu`.
        params: Of the call.
        backends: Who may answer it, by the policy, while all are well.
        first_model: That answers it then.
        tag: The residency tag that keeps it from other backends; None: no tag does.
    """

    name: str
    params: dict[str, Any]
    backends: frozenset[str]
    first_model: str
    tag: str | None


@dataclass(frozen=True, slots=True)
class Mix:
    """What is sent, and what the policy denies anyhow.

    Attributes:
        denied: Kinds that the policy denies while all is well: name and rule.
    """

    kinds: tuple[Kind, ...]
    denied: tuple[tuple[str, str], ...]


def mix_of(router: Router, *, tasks: Iterable[str], residency: Iterable[str]) -> Mix:
    """Ask the policy about every kind of request.

    Args:
        router: Of the policy.
        tasks: Only these; none: every task of the policy.
        residency: Only these tags; none: every tag of the policy.
    """
    kinds: list[Kind] = []
    denied: list[tuple[str, str]] = []
    policy = router.policy
    for task in list(tasks) or _tasks(policy):
        for tag in list(residency) or _tags(policy):
            given = {"task": task, "residency": tag}
            params: dict[str, Any] = {
                name: value for name, value in given.items() if value is not None
            }
            name = ", ".join(params.values()) or "any request"
            said = router.explain(input_tokens=PROMPT_TOKENS, **params)
            if not said.allowed:
                denied.append((name, said.rule or "the policy"))
            elif len(kinds) < KINDS_MAX:
                kinds.append(_kind(name, params, said))
    return Mix(tuple(kinds), tuple(denied))


def _kind(name: str, params: dict[str, Any], said: Explanation) -> Kind:
    candidates = [candidate.split("/", 1) for candidate in said.candidates]
    by_tag = [
        held.tag.tag
        for held in said.residency
        if any(f"'{held.tag.tag}'" in why for _, why in said.dropped)
    ]
    return Kind(
        name,
        params,
        frozenset(backend for backend, _ in candidates),
        candidates[0][1],
        by_tag[0] if by_tag else None,
    )


def _tasks(policy: Policy) -> list[str | None]:
    return list(policy.tasks) or [None]


def _tags(policy: Policy) -> Iterator[str | None]:
    """Every tag once; a request that brings none carries the default one."""
    if not policy.deny_untagged or policy.default_residency is not None:
        yield None
    yield from (tag for tag in policy.residency if tag != policy.default_residency)
