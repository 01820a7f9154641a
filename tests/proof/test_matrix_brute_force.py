"""The proof against counting out: random small policies, every request to each of them decided.

200 of them with `--full`, a quarter without.

The requests are made of values chosen by hand, and each goes through `decide`. What the proof says can
happen must happen to one of them, and what happens to one of them the proof must say.
"""

from __future__ import annotations

from random import Random

import pytest

from counted import PartOf
from hybridllm._core.decide.decide import PINNED
from hybridllm._core.decide.plan import Plan
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.proof.fold import matrix_of
from hybridllm._core.proof.matrix import ReachMatrix
from hybridllm._core.proof.reach import reach_of
from hybridllm._core.proof.taken import shares_of
from proof import random_policies
from proof.random_policies import Counted, counted

POLICIES = 200
CHUNK = 10
LIVE = ("volume", "break_even")
NEEDED = {None, *(need.value for needs in random_policies.NEEDS for need in needs)}


@pytest.mark.parametrize("first", range(0, POLICIES, CHUNK))
def test_the_proof_says_what_happens_and_nothing_else(first: int, part_of: PartOf) -> None:
    """Matrix, constraints, dead routes, and what is served: to the last route, task and model."""
    for seed in range(first, first + part_of(CHUNK, 0.25)):
        _compare(random_policies.policy(Random(seed)), seed)


@pytest.mark.parametrize("first", range(0, 40, CHUNK))
def test_what_holds_by_volume_or_break_even_may_hold_or_not(first: int, part_of: PartOf) -> None:
    """Whatever else holds: no class of requests is taken to be impossible because of a threshold."""
    for seed in range(first, first + part_of(CHUNK, 0.25)):
        _compare(random_policies.policy(Random(seed), *LIVE), seed)


def _compare(policy: Policy, seed: int) -> None:
    expected = counted(policy)
    matrix = matrix_of(policy)
    assert matrix.exact, seed
    _compare_rows(matrix, expected, seed)
    limited = {
        (one.constraint, cell.backend): set(cell.routes)
        for one in matrix.constraints
        for cell in one.cells
        if cell.routes
    }
    assert limited == expected.limited, seed
    assert _denied(matrix) == _unserved(policy, matrix, expected), seed
    _compare_quick_look(policy, expected, seed)


def _compare_rows(matrix: ReachMatrix, expected: Counted, seed: int) -> None:
    ways: random_policies.Reaching = {}
    models: random_policies.Reaching = {}
    for row in matrix.rows:
        for cell in row.cells:
            for way in cell.ways:
                if way.capability in NEEDED:
                    key = (row.tag, cell.backend)
                    ways.setdefault(key, set()).update(
                        (way.route, way.capability, t) for t in way.tasks
                    )
                    models.setdefault(key, set()).update(
                        (way.route, way.capability, m) for m in way.models
                    )
    assert ways == expected.ways, seed
    assert models == expected.models, seed


def _denied(matrix: ReachMatrix) -> set[tuple[str | None, str | None]]:
    """(tag, task) of plain requests that the matrix says are denied; a task of None stands for all, too."""
    return {
        (tag, task)
        for one in matrix.unserved
        if one.capability is None
        for tag in one.tags
        for task in one.tasks or ("every",)
    }


def _unserved(
    policy: Policy, matrix: ReachMatrix, expected: Counted
) -> set[tuple[str | None, str | None]]:
    """The same, of what was counted."""
    found: set[tuple[str | None, str | None]] = set()
    tasks = {task for _, task in expected.asked}
    for tag in [row.tag for row in matrix.rows]:
        denied = {task for task in tasks if (tag, task) in expected.asked - expected.served}
        found |= {(tag, "every")} if denied == tasks else {(tag, task) for task in denied}
    return found


def _compare_quick_look(policy: Policy, expected: Counted, seed: int) -> None:
    """What is looked at while a policy is loaded leaves out only what is reached in other ways, too."""
    shares = shares_of(policy)
    dead = {one.route.name for one in shares.taken if not one.boxes}
    assert dead == {route.name for route in policy.routes} - expected.deciding, seed
    quick: dict[tuple[str | None, str], set[str]] = {}
    for one in reach_of(policy, shares, thorough=False).reached:
        if one.route != PINNED and isinstance(one.outcome, Plan):
            for kept in one.outcome.kept:
                for tag in one.tags or (None,):
                    quick.setdefault((tag, kept.candidate.backend.name), set()).add(one.route)
    routes = {
        key: {route for route, _, _ in ways} - {PINNED} for key, ways in expected.ways.items()
    }
    assert quick == {key: names for key, names in routes.items() if names}, seed
