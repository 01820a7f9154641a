"""The retry budget of one router: requests are counted, and put into it once a second or when it is asked."""

from __future__ import annotations

from hybridllm._core.resilience import budget
from hybridllm._core.resilience.budget import Budget, BudgetConfig


class Spending:
    """What all requests together may spend on attempts beyond the first of each."""

    __slots__ = ("_begun", "_begun_at_s", "_budget", "_config")

    def __init__(self) -> None:
        self._budget: Budget | None = (
            None  # until the first request: a new one, whatever the policy says
        )
        self._config = budget.DEFAULT
        self._begun = 0  # requests of the second of `_begun_at_s` that are not in the budget yet
        self._begun_at_s = 0.0

    def request(self, config: BudgetConfig, now_s: float) -> None:
        """Count one more request."""
        if int(now_s) != int(self._begun_at_s) or config is not self._config:
            self._now(self._config, self._begun_at_s)
            self._config = config
        self._begun += 1
        self._begun_at_s = now_s

    def affordable(self, config: BudgetConfig, now_s: float, *, hedge: bool = False) -> bool:
        """Return whether one more attempt may be made now."""
        return budget.can_spend(self._now(config, now_s), config, now_s, hedge=hedge)

    def spend(self, config: BudgetConfig, now_s: float, *, hedge: bool = False) -> None:
        """Make one more attempt."""
        self._budget = budget.after_spent(self._now(config, now_s), config, now_s, hedge=hedge)

    def left(self, config: BudgetConfig, now_s: float) -> float:
        """Return how many attempts beyond the first could be made now."""
        return budget.left(self._now(config, now_s), config, now_s)

    def _now(self, config: BudgetConfig, now_s: float) -> Budget:
        """Return the budget with every request in it."""
        if self._budget is None:
            self._budget = budget.new_budget(self._config if self._begun else config, now_s)
        if self._begun:
            self._budget = budget.after_request(
                self._budget, self._config, self._begun_at_s, count=self._begun
            )
            self._begun = 0
        return self._budget
