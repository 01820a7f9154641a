"""`check` finds the mistakes that people make, each at its line, and finds nothing where there is none."""

from __future__ import annotations

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.policy.problems import Problem
from hybridllm.errors import PolicyError
from policy.seeded_mistakes import KEYS, POLICY, SEEDS, Seed


def problems_of(text: str) -> tuple[Problem, ...]:
    """Return the errors of a policy, or its warnings if it loads."""
    try:
        _, warnings = load_policy_text(text, source="p.yaml", environ=KEYS)
    except PolicyError as error:
        return error.problems
    return warnings


def test_the_policy_without_a_mistake_has_no_problem() -> None:
    """Or what is found in its variants would prove nothing."""
    assert [str(problem) for problem in problems_of(POLICY)] == []


def test_there_are_enough_of_them() -> None:
    """Each under a name of its own."""
    assert len({seed.name for seed in SEEDS}) == len(SEEDS) >= 40


@pytest.mark.parametrize("seed", [pytest.param(seed, id=seed.name) for seed in SEEDS])
def test_a_mistake_is_told_at_its_line(seed: Seed) -> None:
    """As an error or as a warning, with the value, what is allowed, and the nearest right name."""
    told = problems_of(seed.text)
    here = [one for one in told if one.line == seed.line and seed.message in one.message]
    assert here, "\n".join(["told:", *map(str, told), f"not in line {seed.line}: {seed.message}"])
    assert {one.warning for one in here} == {seed.warning}
    assert any(not one.warning for one in told) is not seed.warning
    assert here[0].path or "YAML" in here[0].message
