"""What is reached, held against the second judge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hybridllm._core.decide.plan import Plan
from hybridllm._core.proof.judge import objections
from hybridllm._core.proof.reach import Reach, Reached


class Violation(NamedTuple):
    """A candidate that is reached by requests that may not come to it: a mistake in this package."""

    reached: Reached
    message: str


def violations(reach: Reach) -> Iterator[Violation]:
    """Yield every candidate that is reached and that the judge objects to."""
    policy = reach.policy
    for one in reach.reached:
        if not isinstance(one.outcome, Plan):
            continue
        held = [policy.constraints[number] for number in one.held] if one.exact else []
        for kept in one.outcome.kept:
            for objection in objections(policy, one.facts, kept.candidate, held):
                tags = " and ".join(one.tags) or "no tag"
                yield Violation(
                    one,
                    f"a request with {tags} would be sent to {kept.candidate.name} by route "
                    f"{one.route}, and {objection}",
                )


def carrying(reach: Reach, tag: str | None) -> int:
    """Return the classes of tasks and tags that carry a tag."""
    standing = reach.shares.view.standing
    return standing.passing & sum(
        where
        for tags, where in standing.effective.items()
        if (tag in tags if tag is not None else not tags)
    )
