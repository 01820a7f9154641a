"""Candidates of a small policy."""

from __future__ import annotations

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.policy.compiled import Candidate
from runtime.world import policy


def candidates_of() -> tuple[Candidate, ...]:
    """Two, of one model."""
    made, _ = load_policy_text(policy("eu", "us"), name="small", environ={"KEY": "k"})
    return made.candidates["m"]
