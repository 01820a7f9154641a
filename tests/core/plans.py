"""Candidates of a plan by name."""

from __future__ import annotations

from hybridllm._core.decide.plan import Kept
from hybridllm._core.policy.compiled import Backend, BackendKind, Candidate, Model


def kept(*names: str) -> tuple[Kept, ...]:
    """`eu/big`, `us/big`, `eu/small`: every model but the first is a fallback."""
    entries = []
    for name in names:
        backend, model = name.split("/")
        candidate = Candidate(
            Backend(backend, BackendKind.API, f"https://{backend}.test/v1"), Model(model), model
        )
        entries.append(Kept(candidate, model != names[0].split("/")[1], "test"))
    return tuple(entries)
