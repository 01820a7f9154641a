"""Copies of requests that go to another model, so that the answers can be compared. Nobody waits for one.

A copy is a request of its own: decided under the same rules as its original, with every residency tag that
held for that, to the one model; has a receipt of its own, which says whose copy it is. Answers are compared
here and dropped. Owns the tasks, the money of the day, and which routes are shifted; no rule.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from dataclasses import replace
from typing import Any, NamedTuple

from hybridllm._core.budget.claims import worst_pico
from hybridllm._core.compare.agreement import agree
from hybridllm._core.compare.shadow_state import (
    ShadowState,
    after_comparison,
    reserved,
    settled,
)
from hybridllm._core.decide.plan import Plan
from hybridllm._core.money.pico import pico_of
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.shadow import Shadow
from hybridllm._core.receipt import Receipt, RequestOutcome
from hybridllm._core.request.read import Call
from hybridllm._runtime.ports import Clock
from hybridllm._runtime.run import Run
from hybridllm.errors import HybridLLMError

UNDER_WAY_MAX = 32
"""Copies at once, of one router; more are not made."""
_OUTPUT_TIMES = 4  # the original's answer: so much longer a copy's may be, where nothing limits it
_OUTPUT_MIN = 256

_logger = logging.getLogger("hybridllm")
Begin = Callable[[Call, Plan, str], Run | None]
"""Decide a copy of a request and begin it; None: its policy leaves nobody to ask."""

Find = Callable[[Run], Awaitable[Any]]
"""Find its answer, in `openai`'s type."""


class _Original(NamedTuple):
    call: Call
    plan: Plan
    shadow: Shadow
    text: str
    receipt: Receipt


class Shadows:
    """The copies of one router.

    Args:
        clock: Time.
        draw: A number in [0, 1], drawn anew at each call.

    Attributes:
        shifted: Names of routes that ask their shadow's model first now.
    """

    def __init__(self, clock: Clock, draw: Callable[[], float]) -> None:
        self._clock = clock
        self._draw = draw
        self._states: dict[str, tuple[Shadow, ShadowState]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.shifted: frozenset[str] = frozenset()

    @property
    def states(self) -> Mapping[str, ShadowState]:
        """By route, of those that have sent copies."""
        return {route: state for route, (_, state) in self._states.items()}

    def follow(self, policy: Policy) -> None:
        """Forget what another policy says otherwise: parity is to be proved anew."""
        kept = {
            route: known
            for route, known in self._states.items()
            if policy.shadows.get(route) == known[0]
        }
        self._states = kept
        self.shifted = self.shifted & kept.keys()

    def wanted(self, call: Call, plan: Plan) -> bool:
        """Whether a request is to be copied, if it is answered: a share of those that can be compared."""
        shadow = plan.policy.shadows.get(plan.route)
        if shadow is None or call.operation != "chat" or call.answers != 1:
            return False
        return self._draw() < shadow.share and len(self._tasks) < UNDER_WAY_MAX

    def copy(
        self, call: Call, plan: Plan, text: str, receipt: Receipt, *, begin: Begin, find: Find
    ) -> None:
        """Send a copy of a request that was answered, in a task of its own."""
        shadow = plan.policy.shadows[plan.route]
        original = _Original(call, plan, shadow, text, receipt)
        model = _other_model(original)
        if model is None:
            return
        day = self._clock.utc_now().date().toordinal()
        pico = _worst_pico(original, model)
        state = self._state(plan.route, shadow)
        room = None if pico is None else reserved(state, shadow, pico, day=day)
        if room is None or pico is None:
            self._put(original, replace(state, skipped=state.skipped + 1))
            return
        self._put(original, room)
        work = self._copied(original, model, pico, day, begin, find)
        # No TaskGroup: nobody waits for it. It is held here, and ended by `close`.
        task = asyncio.get_running_loop().create_task(
            work, name="hybridllm-shadow", context=Context()
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Break off every copy that is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _copied(
        self, original: _Original, model: str, pico: int, day: int, begin: Begin, find: Find
    ) -> None:
        cost_pico, run = 0, None
        try:
            run = begin(_copy_of(original, model), original.plan, original.receipt.request_id)
            if run is None:
                return
            answer = await find(run)
            run.agreed = agree(original.text, plain_text(answer) or "")
            receipt = run.settle(RequestOutcome.OK, now_s=self._clock.monotonic_s())
            self._compared(original, model, receipt, agreed=run.agreed)
        except HybridLLMError:
            pass  # its receipt says why
        finally:
            if run is not None:
                if not run.settled:
                    run.settle(RequestOutcome.CANCELLED, now_s=self._clock.monotonic_s())
                cost_pico = _cost_pico(run, pico)
            self._settle(original, pico, cost_pico, day)

    def _settle(self, original: _Original, pico: int, cost_pico: int, day: int) -> None:
        state = self._state(original.plan.route, original.shadow)
        self._put(original, settled(state, reserved_pico=pico, cost_pico=cost_pico, day=day))

    def _compared(self, original: _Original, model: str, receipt: Receipt, *, agreed: bool) -> None:
        route, shadow = original.plan.route, original.shadow
        before = self._state(route, shadow)
        costs = [
            None if one.cost_usd is None or not one.cost_complete else pico_of(one.cost_usd)
            for one in (receipt, original.receipt)
        ]
        if model != shadow.model:  # the shadow's model answered, and the copy went to another
            costs.reverse()
        after = after_comparison(
            before, shadow, agreed=agreed, shadow_pico=costs[0], other_pico=costs[1]
        )
        self._put(original, after)
        if before.holds != after.holds:
            self._turned(route, shadow, after)

    def _turned(self, route: str, shadow: Shadow, state: ShadowState) -> None:
        """Parity began to hold, or does not hold any more."""
        if shadow.shifts:
            self.shifted = self.shifted | {route} if state.holds else self.shifted - {route}
        done = ("shifted to it" if shadow.shifts else "proposed") if state.holds else "rolled back"
        _logger.warning(
            "route %s, shadow %s: %s; %d of the latest %d answers agree, saving %.0f %%",
            route,
            shadow.model,
            done,
            state.parity.agreed,
            state.parity.seen,
            100 * (state.saving or 0.0),
        )

    def _state(self, route: str, shadow: Shadow) -> ShadowState:
        known = self._states.get(route)
        return known[1] if known is not None and known[0] == shadow else ShadowState()

    def _put(self, original: _Original, state: ShadowState) -> None:
        """Remember; not of a policy that has gone."""
        known = self._states.get(original.plan.route)
        if known is None or known[0] == original.shadow:
            self._states[original.plan.route] = (original.shadow, state)


def _other_model(original: _Original) -> str | None:
    """Who gets the copy: the shadow's model; if that has answered, the first other one of the plan."""
    served = original.receipt.served
    if served is None:
        return None
    if served.model != original.shadow.model:
        return original.shadow.model
    names = (one.candidate.model.name for one in original.plan.kept)
    return next((name for name in names if name != served.model), None)


def _copy_of(original: _Original, model: str) -> Call:
    call = original.call
    hints = replace(
        call.hints, priority="background", deadline_s=None, max_cost_usd=None, on_interrupt=None
    )
    body = {name: value for name, value in call.body.items() if name != "stream_options"}
    return replace(call, model=model, stream=False, hints=hints, body=body, max_cost_usd=None)


def _worst_pico(original: _Original, model: str) -> int | None:
    """What a copy may cost at most; None: some backend that may get it has no known price."""
    call, served = original.call, original.receipt.served
    tokens_out = call.output_tokens_max
    if tokens_out is None:
        told = served.usage.output_tokens if served is not None and served.usage is not None else 0
        tokens_out = max(_OUTPUT_MIN, _OUTPUT_TIMES * told)
    facts = replace(original.plan.facts, output_tokens_max=tokens_out)
    at, candidates = original.receipt.started_at, original.plan.policy.candidates.get(model, ())
    costs = [worst_pico(one, facts, at) for one in candidates]
    known = [cost for cost in costs if cost is not None]
    return max(known) if known and len(known) == len(costs) else None


def _cost_pico(run: Run, reserved_pico: int) -> int:
    """What a copy did cost; what was set aside where that is not known."""
    known = [one.cost_usd for one in run.attempts if one.cost_usd is not None]
    doubtful = any(one.cost_usd is None and one.maybe_billed for one in run.attempts)
    return reserved_pico if doubtful else sum(map(pico_of, known))


def plain_text(answer: Any) -> str | None:
    """Return the text of a chat completion; None: it says something else, or more."""
    message = answer.choices[0].message
    if message.tool_calls or not isinstance(message.content, str):
        return None
    return message.content
