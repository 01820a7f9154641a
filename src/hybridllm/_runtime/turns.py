"""The one loop of a request: ask what is next, do it, until an answer is there or nothing is left to do.

Owns no rule: who may be asked is the plan's, what comes next is `next_step`'s, how an attempt went is
the attempt's. It spends the retry budget, waits for slots, and has two attempts race if the policy says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from hybridllm._core.policy.timeouts import timeouts_for
from hybridllm._core.receipt import AttemptReason
from hybridllm._core.resilience.classify import classify_wire
from hybridllm._core.resilience.hedge import hedge_after_s, hedge_place
from hybridllm._core.resilience.next_step import (
    Call,
    GiveUp,
    GiveUpReason,
    Queue,
    Wake,
    attempt_limit_s,
    candidates_left,
    next_step,
)
from hybridllm._core.resilience.outcome import Failure, FailureKind, Next
from hybridllm._core.resilience.standing import Standing
from hybridllm._runtime.attempt import Attempts
from hybridllm._runtime.budgets.extra import funded, has_room
from hybridllm._runtime.failed import Refused, failed, overloaded, warming_up
from hybridllm._runtime.fleet import Fleet
from hybridllm._runtime.ports import Clock, Parsed
from hybridllm._runtime.race import Race
from hybridllm._runtime.run import Run
from hybridllm._runtime.slots import WAIT_S_MAX, WAIT_SHARE
from hybridllm._runtime.spending import Spending
from hybridllm._runtime.stream import Stream
from hybridllm.errors import InvalidRequest

INTERACTIVE = "interactive"
LOOK_AGAIN_S = 0.25
"""Who waits for somebody to be back looks so often."""

_OUT = frozenset({GiveUpReason.UNAVAILABLE, GiveUpReason.EXHAUSTED})


@dataclass(frozen=True, slots=True)
class _Pause:
    """Everybody who may be asked is out, and the policy lets the request wait for them."""

    seconds: float


class Turns:
    """Finds answers.

    Args:
        draw: A number in [0, 1], drawn anew at each call.
    """

    def __init__(
        self,
        fleet: Fleet,
        clock: Clock,
        draw: Callable[[], float],
    ) -> None:
        self._fleet = fleet
        self._clock = clock
        self._draw = draw
        self.spending = Spending()

    def found(self, attempts: Attempts, run: Run) -> Coroutine[Any, Any, Parsed | Stream]:
        """Try until an answer is there. A first attempt that succeeds costs no retry machinery.

        Raises:
            RequestFailed: If no answer can be had; the request is settled then.
        """
        now_s = self._clock.monotonic_s()
        self.spending.request(run.plan.policy.budget, now_s)
        return self.found_better(attempts, run)  # no coroutine around another one

    async def found_better(self, attempts: Attempts, run: Run) -> Parsed | Stream:
        """The same for a part of a request: it is no request more, as far as the retry budget goes."""
        step = self._step(run)
        if not isinstance(step, Call):
            step = await self._after_queue(run, step)
        found = await self._tried(attempts, run, step)
        if not isinstance(found, Failure):
            return found
        return await self.found_again(attempts, run)

    async def found_again(self, attempts: Attempts, run: Run) -> Parsed | Stream:
        """Go on after a failure, as `next_step` says, carried by tenacity."""
        from hybridllm._runtime.retry import Again, repeat

        async def turn() -> Parsed | Stream:
            step = self._step(run)
            if not isinstance(step, Call):
                step = await self._after_queue(run, step)
            found = await self._tried(attempts, run, step)
            if isinstance(found, Failure):
                raise Again
            return found

        return await repeat(turn, sleep=self._clock.sleep)

    def _step(
        self, run: Run, promised: str | None = None, *, paid: bool = False
    ) -> Call | Queue | Wake | _Pause:
        """Ask what is next; raise the request's error if nothing is.

        Args:
            run: The request.
            promised: The backend of which it was promised a slot.
            paid: Whether the budget has been charged for its next attempt.
        """
        now_s = self._clock.monotonic_s()
        policy, kept = run.plan.policy, run.plan.kept
        remaining_s = run.deadline_at_s - now_s
        standing = self._fleet.standings.now(
            kept,
            remaining_s=remaining_s,
            stream=run.call.stream,
            promised=promised,
            waits=run.plan.waits,
        )
        barred = run.barred
        run.passed_over = standing.refused.keys() | barred if barred else standing.refused.keys()
        if run.metrics is not None and (standing.refused or standing.full):
            run.rejected |= _rejected(run, standing)
        if standing.refused:
            standing = self._panicking(run, standing)
        failures = _uncounted(run, standing.cold) if standing.cold else run.failures
        verdict = next_step(
            kept=kept,
            failures=failures,
            retries_max=policy.retries_max,
            attempts_max=policy.attempts_max - run.attempts_before,
            remaining_s=remaining_s,
            jitter=self._draw() if run.failures or standing.refused else 0.0,
            standing=standing,
            affordable=paid or not failures or self.spending.affordable(policy.budget, now_s),
            barred=barred,
            spilled=run.plan.spilled,
        )
        if isinstance(verdict, GiveUp):
            pause_s = self._pause_s(run, now_s) if standing.refused else 0.0
            if verdict.reason in _OUT and pause_s > 0.0:
                return _Pause(pause_s)
            back_in_s = self._fleet.standings.back_in_s(kept, standing)
            refused = self._refused(run, standing)
            raise failed(run, verdict, now_s=now_s, refused=refused, back_in_s=back_in_s)
        if isinstance(verdict, Call) and verdict.extra and not paid:
            self.spending.spend(policy.budget, now_s)
        return verdict

    def _pause_s(self, run: Run, now_s: float) -> float:
        """How long a request may wait before it is looked again whether anybody is back; 0: it may not."""
        left = run.plan.left
        if left is None or left.queue_s is None:
            return 0.0
        until_s = min(run.started_s + left.queue_s, run.deadline_at_s)
        return min(LOOK_AGAIN_S, until_s - now_s)

    def _refused(self, run: Run, standing: Standing) -> list[Refused]:
        found = []
        for place, words in standing.refused.items():
            candidate = run.plan.kept[place].candidate
            gate = self._fleet.gate(candidate)
            found.append(Refused(candidate, words, gate.failure if gate is not None else None))
        return found

    def _panicking(self, run: Run, standing: Standing) -> Standing:
        """Say whom to ask although refused, where nobody else is left to ask."""
        kept = run.plan.kept
        tried = {place for place, _ in run.failures}
        untried = [place for place in range(len(kept)) if place not in tried | standing.cold.keys()]
        if any(place not in standing.refused for place in untried):
            return standing
        panic = self._fleet.standings.in_panic(kept, standing, untried)
        return replace(standing, panic=panic)

    async def _after_queue(self, run: Run, queue: Queue | Wake | _Pause) -> Call:
        """Wait for a slot, or for somebody to be back, and ask again what is next."""
        while True:
            if isinstance(queue, Queue):
                step = await self._after_slot(run, queue)
            elif isinstance(queue, Wake):
                await self._awake(run, queue)
                step = self._step(run)
            else:
                await self._clock.sleep(queue.seconds)
                step = self._step(run)
            if isinstance(step, Call):
                return step
            queue = step

    async def _after_slot(self, run: Run, queue: Queue) -> Call | Queue | Wake | _Pause:
        """Wait for a slot and ask again what is next; the slot is freed unless it is called at once."""
        promised = await self._slot(run, queue.places)
        try:
            step = self._step(run, promised)
        except BaseException:
            self._fleet.slots.freed(promised)
            raise
        if isinstance(step, Call) and not step.after_s:
            name = run.plan.kept[step.index].candidate.backend.name
            if name == promised:
                return step
        self._fleet.slots.freed(promised)  # somebody else may have it
        return step

    async def _after_wait(self, run: Run, step: Call) -> Call:
        """Look again after a wait: meanwhile a breaker may have opened, or the slots may have gone."""
        kept = run.plan.kept
        standing = self._fleet.standings.now(kept, stream=run.call.stream, waits=run.plan.waits)
        if step.index not in standing.refused and step.index not in standing.full:
            return Call(step.index, 0.0, step.reason, extra=step.extra)
        again = self._step(run, paid=step.extra)
        return again if isinstance(again, Call) else await self._after_queue(run, again)

    async def _awake(self, run: Run, wake: Wake) -> None:
        """Wait until one of these candidates is awake; if the policy says so, and there is time for it.

        Raises:
            RequestFailed: If not.
        """
        backends = {
            one.backend.name: one.backend
            for one in (run.plan.kept[place].candidate for place in wake.places)
        }
        patient = [b.name for b in backends.values() if b.cold_start and b.cold_start.waits]
        remaining_s = run.deadline_at_s - self._clock.monotonic_s()
        if not patient or not await self._fleet.warmths.wait(patient, remaining_s):
            now_s = self._clock.monotonic_s()
            raise warming_up(run, list(backends), back_in_s=wake.back_in_s, now_s=now_s)
        run.failures[:] = _uncounted(run, wake.places)

    async def _slot(self, run: Run, places: tuple[int, ...]) -> str:
        """Wait for a slot on one of these candidates' backends; return which."""
        kept, task = run.plan.kept, run.plan.task
        own = task.priority if task is not None else None
        priority = run.call.hints.priority or own or INTERACTIVE
        backends = list(dict.fromkeys(kept[place].candidate.backend.name for place in places))
        remaining_s = run.deadline_at_s - self._clock.monotonic_s()
        limit_s = min(WAIT_S_MAX[priority], remaining_s * WAIT_SHARE[priority])
        left = run.plan.left
        if left is not None and left.queue_s is not None:
            limit_s = min(left.queue_s, remaining_s)
        slots = self._fleet.slots
        granted = await slots.wait(backends, priority=priority, limit_s=limit_s)
        if granted is None:
            now_s = self._clock.monotonic_s()
            raise overloaded(
                run, backends, retry_after_s=slots.retry_after_s(backends), now_s=now_s
            )
        return granted

    async def _tried(self, attempts: Attempts, run: Run, step: Call) -> Parsed | Stream | Failure:
        while step.after_s:
            await self._clock.sleep(step.after_s)
            step = await self._after_wait(run, step)
        if run.hold is not None and run.begun:
            lets_go = self._fleet.slots.hold(run.plan.kept[step.index].candidate.backend.name)
            await self._funded(run, step, lets_go)
        task = run.plan.task
        if task is None or task.hedge is None or run.failures or step.panic:
            return await self._attempted(attempts, run, step)
        candidate = run.plan.kept[step.index].candidate
        measured_s = None
        if task.hedge.percentile is not None:
            measured_s = self._fleet.latencies.percentile_s(
                candidate.name, task.hedge.percentile, stream=run.call.stream
            )
        after_s = hedge_after_s(
            task.hedge, measured_s=measured_s, prompt_tokens=run.call.input_tokens_estimate
        )
        if after_s is None:
            return await self._attempted(attempts, run, step)
        return await self._raced(attempts, run, step, after_s)

    async def _funded(self, run: Run, step: Call, let_go: Callable[[], None]) -> None:
        """Reserve what one more attempt may cost; its slot is held meanwhile.

        Raises:
            HybridLLMError: If there is no room for it. The request is settled then.
        """
        try:
            await funded(run, step.index, self._clock)
        except BaseException:
            let_go()
            self._fleet.slots.freed(run.plan.kept[step.index].candidate.backend.name)
            raise
        let_go()

    async def _raced(
        self, attempts: Attempts, run: Run, step: Call, after_s: float
    ) -> Parsed | Stream | Failure:
        """Ask one candidate, and a second one if that takes long."""
        held: list[Callable[[], None]] = []

        def begun(call: Call) -> Coroutine[Any, Any, Parsed | Stream | Failure]:
            """A task takes its slot only when it first runs: until then the slot is held for it."""
            backend = run.plan.kept[call.index].candidate.backend.name
            lets_go = (self._fleet.slots.hold(backend), self._fleet.loads.hold(backend))
            held.extend(lets_go)

            async def attempted() -> Parsed | Stream | Failure:
                if call.reason is AttemptReason.HEDGE and not await has_room(run, call.index):
                    return classify_wire(FailureKind.LOCAL, "its budgets have no room for a hedge")
                for let_go in lets_go:
                    let_go()
                return await self._attempted(attempts, run, call)

            return attempted()

        def second() -> Coroutine[Any, Any, Parsed | Stream | Failure] | None:
            now_s = self._clock.monotonic_s()
            standing = self._fleet.standings.now(
                run.plan.kept,
                remaining_s=run.deadline_at_s - now_s,
                stream=run.call.stream,
                waits=[
                    one.candidate.backend.name for one in run.plan.kept
                ],  # nobody with too much to do
            )
            place = hedge_place(run.plan.kept, step.index, standing)
            config = run.plan.policy.budget
            if place is None or not self.spending.affordable(config, now_s, hedge=True):
                return None
            self.spending.spend(config, now_s, hedge=True)
            return begun(Call(place, 0.0, AttemptReason.HEDGE, extra=True))

        race: Race[Parsed | Stream] = Race(_dropped)
        run.racing = True
        try:
            return await race.run(begun(step), second, after_s)
        finally:
            run.racing = False
            for let_go in held:
                let_go()

    async def _attempted(
        self, attempts: Attempts, run: Run, step: Call
    ) -> Parsed | Stream | Failure:
        kept = run.plan.kept
        timeouts = timeouts_for(run.plan.task, kept[step.index].candidate.backend)
        stream = run.call.stream
        own_limit_s = None if stream else timeouts.attempt_s
        left = 1
        if own_limit_s is None:
            left = candidates_left(
                kept=kept,
                failures=run.failures,
                gated=run.passed_over,
                attempts_max=run.plan.policy.attempts_max - run.attempts_before,
            )
        limit_s = attempt_limit_s(
            remaining_s=run.deadline_at_s - self._clock.monotonic_s(),
            candidates_left=left,
            own_limit_s=own_limit_s,
        )
        try:
            if stream:
                return await attempts.stream(run, step, min(limit_s, timeouts.first_token_s))
            return await attempts.answer(run, step, limit_s)
        except InvalidRequest:  # before its slot was taken: somebody else may have it
            self._fleet.slots.freed(kept[step.index].candidate.backend.name)
            raise


def _uncounted(run: Run, cold: Collection[int]) -> list[tuple[int, Failure]]:
    """Its failures without those at backends that sleep: to have found one asleep costs no retry."""
    if run.seam is not None:
        return run.failures
    return [one for one in run.failures if one[0] not in cold or one[1].next is Next.STOP]


def _rejected(run: Run, standing: Standing) -> set[tuple[str, str]]:
    """Who cannot be asked now, and why in one word."""
    found = {(run.plan.kept[place].candidate.backend.name, "limit") for place in standing.full}
    for place in standing.refused:
        why = "limit" if place in standing.gates else "breaker_open"
        why = "cold" if place in standing.cold else why
        found.add((run.plan.kept[place].candidate.backend.name, why))
    return found


async def _dropped(found: Parsed | Stream) -> None:
    """Nobody will see it: a stream holds a slot and a connection."""
    if isinstance(found, Stream):
        await found.close()
