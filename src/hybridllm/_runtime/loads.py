"""How busy backends are, as decisions look at it: the loads of those that overflows leave.

Reads the fleet and changes nothing in it. Our own requests, slots, breakers and gates are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from hybridllm._core.decide.snapshot import Load
from hybridllm._core.money.capacity import FixedCost
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.hybrid import Saturation
from hybridllm._core.resilience.breaker import Phase
from hybridllm._core.resilience.outcome import Gate

if TYPE_CHECKING:
    from hybridllm._runtime.fleet import Fleet

_NO_MODELS: frozenset[str] = frozenset()
_NOT_FIXED = FixedCost()


class Loads:
    """The loads of the backends of a policy.

    Args:
        fleet: Whose state is read.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._saturations: Mapping[str, Saturation] = {}
        self.spent_usd: Callable[[str], tuple[float, float]] = _nothing_spent

    def follow(self, policy: Policy) -> None:
        """Look at the backends of another policy."""
        self._saturations = {name: policy.backends[name].saturation for name in policy.loaded}

    def saturated(self, backend: str) -> bool:
        """Return whether a backend has as much to do as it can take, its own limit of slots apart."""
        return bool(self._has_too_much(backend))

    def of(self, policy: Policy) -> Mapping[str, Load]:
        """Return the load of every backend whose load decides somewhere, by name."""
        return {name: self._load(policy, name) for name in policy.loaded}

    def _load(self, policy: Policy, name: str) -> Load:
        fleet = self._fleet
        in_flight = fleet.under_way(name)
        fixed = fleet.uses.price_of(policy.backends[name]) or _NOT_FIXED
        rate_limited = broke = out = _NO_MODELS
        if fleet.gated:
            rate_limited = self._gated(policy, name, Gate.RATE)
            broke = self._gated(policy, name, Gate.QUOTA)
        if fleet.unwell:
            out = frozenset(
                model
                for backend, model in fleet.unwell
                if backend == name and fleet.breakers[backend, model].phase is Phase.OPEN
            )
        return Load(
            in_flight=in_flight,
            saturated=self._has_too_much(name) or self._without_slot(name),
            rate_limited=rate_limited,
            out=out,
            broke=broke,
            spent_usd=self.spent_usd(name),
            cold=fleet.warmths.back_in_s(name),
            average_usd_per_mtok=_float(fixed.average_usd_per_mtok),
            marginal_usd_per_mtok=_float(fixed.marginal_usd_per_mtok),
            full=not fixed.has_room,
        )

    def _has_too_much(self, name: str) -> str:
        """Why it has as much to do as it can take, in words; empty: it has not."""
        saturation, in_flight = self._saturations.get(name), self._fleet.under_way(name)
        most = None if saturation is None else saturation.in_flight_max
        if most is not None and in_flight >= most:
            return f"{in_flight} requests under way, {most} may be"
        return ""

    def _without_slot(self, name: str) -> str:
        slots = self._fleet.slots
        return "no free slot" if slots and slots.full(name) else ""

    def _gated(self, policy: Policy, name: str, gate: Gate) -> frozenset[str]:
        found = []
        for served in policy.candidates.values():
            for candidate in served:
                if candidate.backend.name == name:
                    closed = self._fleet.gate(candidate)
                    if closed is not None and closed.gate is gate:
                        found.append(candidate.model.name)
        return frozenset(found)


def _float(usd: Decimal | None) -> float | None:
    """Good enough to order by."""
    return None if usd is None else float(usd)


def _nothing_spent(_: str) -> tuple[float, float]:
    return (0.0, 0.0)
