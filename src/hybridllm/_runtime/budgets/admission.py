"""A request's way past the budgets: admitted with less to choose from, or denied before anything is sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from hybridllm._core.budget.admit import Closed, Granted, Refused
from hybridllm._core.budget.claims import Account, Ask, Claim, ask_of
from hybridllm._core.decide.eligible import affordable
from hybridllm._core.decide.filters import expected_cost_usd
from hybridllm._core.decide.plan import Plan
from hybridllm._core.money.pico import pico_of
from hybridllm._core.policy.budgets import Step, usd_text
from hybridllm._runtime.budgets.hold import Hold
from hybridllm._runtime.budgets.ports import Budgets, BudgetStoreError
from hybridllm._runtime.budgets.refused import not_known, refused
from hybridllm._runtime.ports import Clock
from hybridllm._runtime.run import Run

_WARNED_MAX = 10_000

_logger = logging.getLogger("hybridllm")


class Admission:
    """Admits requests to what their budgets have left.

    Args:
        budgets: Keeps them.
    """

    def __init__(self, budgets: Budgets, clock: Clock) -> None:
        self.budgets = budgets
        self._clock = clock
        self._warned: dict[tuple[Account, Step], None] = {}

    async def admit(self, run: Run) -> None:
        """Reserve what a request may cost, and take out of its plan whom its budgets have no room for.

        Raises:
            BudgetExceeded: If nobody is left. The request is settled then; so it is by the others.
            PolicyDenied: If nobody is left whose price is known.
            LedgerError: If nobody knows what is left.
        """
        if not run.plan.policy.budgets and run.plan.facts.max_cost_usd is None:
            return
        ask = ask_of(run.plan, run.started_at)
        if not ask.claims:
            if run.plan.facts.max_cost_usd is not None:
                run.hold = self._hold(run, ask, tuple(range(len(ask.candidates))), ())
            return
        try:
            verdict = await self.budgets.admit(run.request_id, ask, run.started_at)
        except BudgetStoreError as error:
            raise not_known(run, self.budgets.place, error, self._clock.monotonic_s()) from None
        if isinstance(verdict, Refused):
            run.plan = affordable(run.plan, _told(verdict.closed))
            now_s, now_utc = self._clock.monotonic_s(), self._clock.utc_now()
            raise refused(run, verdict, now_s=now_s, now_utc=now_utc)
        run.hold = self._hold(run, ask, verdict.places, verdict.amounts_pico)
        run.plan = self._observed(affordable(run.plan, _told(verdict.closed)), verdict)
        if run.cascade is not None:
            run.cascade.plan = run.plan  # it goes on with nobody who was taken out

    def _hold(self, run: Run, ask: Ask, places: tuple[int, ...], amounts: tuple[int, ...]) -> Hold:
        """Renumber: the plan that the request goes on with holds only those who were granted."""
        new = {place: index for index, place in enumerate(places)}
        held = [
            (replace(claim, places=tuple([new[p] for p in claim.places if p in new])), amount)
            for claim, amount in zip(ask.claims, amounts, strict=True)
            if any(place in new for place in claim.places)
        ]
        facts, at = run.plan.facts, run.started_at
        costs = tuple([ask.costs_pico[place] or 0 for place in places])
        hold = Hold(
            run.request_id,
            self.budgets,
            {ask.candidates[place].name: index for place, index in new.items()},
            tuple([claim for claim, _ in held]),
            costs,
            [amount for _, amount in held],
        )
        if facts.max_cost_usd is not None:
            expected = [expected_cost_usd(ask.candidates[place], facts, at) for place in places]
            hold.max_pico = pico_of(facts.max_cost_usd)
            hold.expected_pico = tuple([0 if usd is None else pico_of(usd) for usd in expected])
        return hold

    def _observed(self, plan: Plan, granted: Granted) -> Plan:
        """Tell of warnings: on the receipt of each request, and once per period in the log."""
        if not granted.reached:
            return plan
        told = []
        for claim, step in granted.reached:
            if step.use is None:
                told.append(f"{claim.budget} has reached {step.percent:f} %")
            self._warn(claim, step)
        return replace(plan, observed=(*plan.observed, *dict.fromkeys(told))) if told else plan

    def _warn(self, claim: Claim, step: Step) -> None:
        key = (claim.account, step)
        if key in self._warned:
            return
        if len(self._warned) >= _WARNED_MAX:
            self._warned.clear()
        self._warned[key] = None
        balance = self.budgets.known().get(claim.account)
        _logger.warning(
            "%s has reached %s %% in %s: %s USD are spent or reserved%s",
            claim,
            f"{step.percent:f}",
            claim.account.period,
            "?" if balance is None else usd_text(balance.spent + balance.reserved),
            "" if step.use is None else f"; from here on {step.words} only",
        )


def _told(closed: Mapping[int, Closed]) -> dict[int, tuple[str, str]]:
    return {place: (str(one.claim.budget), one.words) for place, one in closed.items()}
