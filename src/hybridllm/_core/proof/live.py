"""Live conditions in the proof: each may hold or not, whatever the request and whatever the others do.

Volumes and break-even are found out over time, with hysteresis and dwell, so that of two thresholds on the
same volume the lower may not hold while the higher does. Therefore none is taken to follow from another:
every one is a fact of its own. More may seem to be reached than can be, never less.
"""

from __future__ import annotations

from collections.abc import Iterable

from hybridllm._core.decide.match import Held, whose
from hybridllm._core.policy.conditions import Live, When, when_text
from hybridllm._core.policy.hybrid import BreakEven
from hybridllm._core.proof.atoms import Axis, Bits
from hybridllm._core.request.facts import Facts

LIVE = "live"


def live_axis(condition: Live) -> tuple[Axis, Bits]:
    """Return a live condition as a fact: it does not hold, or it does."""
    told = when_text(When((condition,))).removeprefix(f"{condition.fact} ")
    if isinstance(condition, BreakEven):
        told = f"break-even is {told.removeprefix('is ')}"
    axis = Axis(LIVE, (None, condition), ((f"while not {told}",), (f"while {told}",)))
    return axis, {condition: 0b10}


def held_for(facts: Facts, conditions: Iterable[Live]) -> frozenset[Held]:
    """Return conditions as a snapshot holds them, for whom a request makes them about."""
    return frozenset((one, whose(one, facts)) for one in conditions)
