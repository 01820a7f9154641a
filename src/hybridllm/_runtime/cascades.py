"""How the cascades of each route have ended, since this router began."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from hybridllm._core.decide.cascade import applying
from hybridllm._core.receipt import Receipt

if TYPE_CHECKING:
    from hybridllm._runtime.cascading import Cascading
    from hybridllm._runtime.run import Run


@dataclass(slots=True)
class CascadeTally:
    """Of one route.

    Attributes:
        checked: Requests whose first answer was checked.
        escalated: Those of them for which the better model was asked, and answered or was not waited for.
        not_escalated: Those whose first answer did not pass, and was handed out all the same.
        cost_usd: Of all checked requests, every attempt of theirs, as far as known.
        saved_usd: Against asking the better model at once, of those where that is known; both attempts count.
        unknown: Those where it is not.
    """

    checked: int = 0
    escalated: int = 0
    not_escalated: int = 0
    cost_usd: Decimal = Decimal(0)
    saved_usd: Decimal = Decimal(0)
    unknown: int = 0

    def count(self, receipt: Receipt) -> None:
        """Count a request that has ended."""
        self.checked += 1
        self.escalated += receipt.escalated is not None
        self.not_escalated += receipt.not_escalated is not None
        self.cost_usd += receipt.cost_usd or Decimal(0)
        if receipt.cascade_saved_usd is None:
            self.unknown += 1
        else:
            self.saved_usd += receipt.cascade_saved_usd


class Cascades:
    """The cascades of the policy in force."""

    def __init__(self) -> None:
        self._tallies: dict[str, CascadeTally] = {}

    def cascading(self, run: Run) -> Cascading | None:
        """Return what checks a request's answers; None: nobody does, or nobody could be asked then."""
        from hybridllm._runtime.cascading import Cascading

        plan = run.plan  # budgets may have taken somebody out of it
        cascade = plan.cascade and applying(plan.cascade, plan.kept)
        if cascade is None:
            return None
        tally = self._tallies.setdefault(plan.route, CascadeTally())
        return Cascading(cascade, plan, run.call, tally)

    def keep(self, routes: Collection[str]) -> None:
        """Forget all routes but these."""
        for route in self._tallies.keys() - set(routes):
            del self._tallies[route]

    @property
    def tallies(self) -> Mapping[str, CascadeTally]:
        """By route, of those that were asked."""
        return self._tallies
