"""A request from its call to its answer: decided, tried by `turns.py`, and ended exactly once.

Owns the request's record and its deadline; no rule about whom to ask.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from hybridllm._core.decide.decide import brought_tags, decide
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.policy.compiled import Candidate, Policy
from hybridllm._core.policy.timeouts import total_s
from hybridllm._core.receipt import Receipt, RequestOutcome
from hybridllm._core.request.read import Call, facts_of
from hybridllm._core.resilience.breaker import BreakerState, Phase
from hybridllm._runtime.answered import answered
from hybridllm._runtime.attempt import Attempts
from hybridllm._runtime.budgets.admission import Admission
from hybridllm._runtime.budgets.ports import Budgets
from hybridllm._runtime.cascades import Cascades
from hybridllm._runtime.copies import begun_copy
from hybridllm._runtime.failed import settle_early, settle_unsent
from hybridllm._runtime.fleet import Fleet, Told
from hybridllm._runtime.health import HealthWatch
from hybridllm._runtime.in_force import InForce
from hybridllm._runtime.lifetime import Lifetime
from hybridllm._runtime.listeners import Listeners
from hybridllm._runtime.load_watch import LoadWatch
from hybridllm._runtime.loads import LoadTold
from hybridllm._runtime.overflows import Overflows
from hybridllm._runtime.ports import Clock, Codec, LedgerPort, Wire
from hybridllm._runtime.request_id import RequestIds
from hybridllm._runtime.response_cache import ResponseCaches
from hybridllm._runtime.run import Run, denied_receipt
from hybridllm._runtime.shadows import Shadows, plain_text
from hybridllm._runtime.stay import Stay
from hybridllm._runtime.stream import Stream
from hybridllm._runtime.taints import Taints
from hybridllm._runtime.target import Targets
from hybridllm._runtime.transitions import log_transition
from hybridllm._runtime.turns import Turns
from hybridllm._runtime.volume_keeper import VolumeKeeper
from hybridllm._runtime.wake import WakeHook, Waker
from hybridllm._runtime.wake_ahead import WakeAhead
from hybridllm.errors import HybridLLMError, LedgerError, PolicyDenied, RouterClosed

if TYPE_CHECKING:
    from hybridllm._runtime.resume import Resume


class Engine:
    """Runs requests by the policy in force, inside one event loop at a time.

    A request reads the policy once, as it is decided; from then on its plan's policy is its own.

    Args:
        in_force: Holds the policy.
        lifetime: Says where it works, and whether it still does.
        wire: Makes a wire, at the first request in each event loop.
        codec: Makes the codec, at the first request: it loads `openai`.
        draw: A number in [0, 1], drawn anew at each call.
        ready: Called at the first request in each event loop.
        on_breaker: Hears of every transition of a breaker.
        on_load: Hears of a backend's load each time that it was asked.
        wake: The application's own way to wake a backend that sleeps.
        listeners: Who hears of requests.
        keeper: Keeps the volumes, in the event loop where the router is.
        budgets: Keeps what may be spent.
    """

    def __init__(
        self,
        in_force: InForce,
        lifetime: Lifetime,
        *,
        wire: Callable[[], Wire],
        codec: Callable[[], Codec],
        targets: Targets,
        listeners: Listeners,
        clock: Clock,
        draw: Callable[[], float],
        keeper: VolumeKeeper,
        budgets: Budgets,
        ready: Callable[[], None] | None = None,
        on_breaker: Told = log_transition,
        on_load: LoadTold | None = None,
        wake: WakeHook | None = None,
    ) -> None:
        self._in_force = in_force
        self._lifetime = lifetime
        self.taints = Taints(clock.monotonic_s)
        self._on_breaker = on_breaker
        self._on_load = on_load
        self._wake = wake
        self._make_wire = wire
        self._make_codec = codec
        self._targets = targets
        self._listeners = listeners
        self._clock = clock
        self._draw = draw
        self._keeper = keeper
        self._ledger = listeners.ledger
        self.volumes = keeper.volumes
        self.admission = Admission(budgets, clock)
        self._call_ready = ready
        self._ids = RequestIds()
        self._attempts: Attempts | None = None
        self._health: HealthWatch | None = None
        self._waker: Waker | None = None
        self._stay: Stay | None = None  # that both were made for
        self._know_nothing()

    def _know_nothing(self) -> None:
        """Begin to learn about backends."""
        self.fleet = Fleet(self._clock.monotonic_s, self._draw)
        policy = self._in_force.policy
        self.fleet.slots.follow(policy.backends, loaded=policy.loaded)
        self.fleet.loads.follow(policy)
        self.fleet.loads.tell = self._on_load
        self.fleet.tell = self._breaker_changed
        self.turns = Turns(self.fleet, self._clock, self._draw)
        self.cascades = Cascades()
        self.response_caches = ResponseCaches(self._clock.monotonic_s)
        self.overflows = Overflows(self._clock.monotonic_s)
        self.shadows = Shadows(self._clock, self._draw)
        self.fleet.loads.spent_usd = self.volumes.spent_usd
        self._ahead = WakeAhead(self.fleet, self.volumes, policy)

    @property
    def policy(self) -> Policy:
        """In force now."""
        return self._in_force.policy

    @property
    def ledger_errors(self) -> int | None:
        """How often its ledger could not do what it should; None: it has none."""
        return None if self._ledger is None else self._ledger.errors

    @property
    def now_s(self) -> float:
        """The clock's monotonic seconds."""
        return self._clock.monotonic_s()

    async def run(self, call: Call) -> Any:
        """Return the answer to a call: an `openai` object, or a `Stream`.

        Raises:
            PolicyDenied: If the policy leaves nobody to ask. Nothing was sent.
            RequestFailed: If no answer can be had.
            InvalidRequest: If the call cannot be said in JSON.
            LedgerError: If the ledger takes nothing, and then nothing may be sent.
            RouterClosed: If the router is closed, or works in another event loop.
        """
        stay = self._lifetime.here()
        attempts = self._ready(stay)
        if self._keeper.reading:
            await self._keeper.known()
        if self._ledger is not None:
            await self._written_down(self._ledger, attempts)
        run = self._begun(self._listeners.named(call, self._in_force.policy), stay)
        if isinstance(run, PolicyDenied):
            raise attempts.codec.raised(run)
        if call.hints.on_interrupt not in (None, "fail"):
            run.resume = self._resume(attempts, run)
        try:
            if run.caching is None and run.plan.cascade is None:
                await self.admission.admit(run)
                found = await self.turns.found(attempts, run)
            else:
                found = await answered(run, attempts, self.turns, self.admission, self.cascades)
        except HybridLLMError as error:
            outcome = error
        except BaseException as error:  # noqa: BLE001 - a cancellation ends the request too; raised again
            if not run.passage.was_broken_off(error):
                settle_early(run, error, now_s=self._clock.monotonic_s())
                raise error.with_traceback(None) from None  # the frames below hold the request
            outcome = RouterClosed("this router was closed while a request was under way")
        else:
            if isinstance(found, Stream):
                found.hand_over(run.passage)
                return found
            receipt = run.settle(RequestOutcome.OK, now_s=self._clock.monotonic_s())
            attempts.codec.attach(found.value, receipt, found.request_id)
            if run.on_answer is not None and (text := plain_text(found.value)) is not None:
                run.on_answer(text, receipt)
            return found.value
        settle_unsent(run, outcome, now_s=self._clock.monotonic_s())
        raise attempts.codec.raised(outcome.with_traceback(None))

    async def _written_down(self, ledger: LedgerPort, attempts: Attempts) -> None:
        """See to it that what is sent can be written down, where nothing else may be sent."""
        if ledger.opening:
            await ledger.opened()
        if (why := ledger.refusal) is not None:
            refused = (
                f"nothing was sent: the ledger takes nothing now ({why}), and `unavailable` is 'deny'; mend "
                "it, or say Ledger(..., unavailable='allow')"
            )
            raise attempts.codec.raised(LedgerError(refused))

    def raised(self, error: HybridLLMError) -> HybridLLMError:
        """Return an error as the caller should see it: an `openai` error too, where one matches."""
        return self._make_codec().raised(error)

    def _ready(self, stay: Stay) -> Attempts:
        """Build what the first request of a stay needs.

        Raises:
            RouterClosed: If the router was handed a wire that cannot come along.
        """
        if self._attempts is not None and stay is self._stay:
            return self._attempts
        if self._call_ready is not None:
            self._call_ready()
        import hybridllm._runtime.retry  # noqa: F401 - now, so that the first failover does not wait for it

        wire = self._lifetime.wire(self._make_wire)
        if stay.cut_off or not stay.goes_on:
            # What was under way there would stay counted, and hold its slots, for ever.
            self._know_nothing()
            self.admission.budgets.cut_off()
        self._attempts = Attempts(
            wire,
            self._make_codec(),
            self.fleet,
            self._targets,
            self._clock,
            self._draw,
        )
        self._health = HealthWatch(
            self.fleet,
            wire,
            self._targets,
            self._clock,
            lambda: self._in_force.policy.backends,
        )
        self._waker = Waker(
            self.fleet,
            wire,
            self._targets,
            self._clock,
            lambda: self._in_force.policy,
            self._wake,
        )
        load_watch = LoadWatch(self.fleet.loads, wire, self._clock, self._draw)
        closings = (self.shadows.close, self._health.close, self._waker.close, load_watch.close)
        stay.use(wire, first=_all_of(*closings))
        self._stay = stay
        self._health.wake()
        self._keeper.begin()
        if self._ledger is not None:
            self._ledger.begin()
        return self._attempts

    def _breaker_changed(
        self, candidate: Candidate, before: BreakerState, after: BreakerState
    ) -> None:
        """Tell whoever listens, and look for its return."""
        self._on_breaker(candidate, before, after)
        if self._health is not None and after.phase is Phase.OPEN:
            self._health.wake()

    def follow(self, policy: Policy) -> None:
        """Prepare for another policy: keys are read anew, and what was learnt of gone endpoints goes."""
        self.shadows.follow(policy)
        self.response_caches.follow(policy)
        self.cascades.keep([route.name for route in policy.routes if route.cascade is not None])
        self.overflows.keep([route.name for route in policy.routes if route.overflows])
        self._ahead.follow(policy)
        rekeyed = self._targets.follow(policy.backends)
        self.fleet.follow(self._in_force.policy, policy, rekeyed)

    def _begun(self, call: Call, stay: Stay) -> Run | PolicyDenied:
        """Decide, and start the request's record; or deny."""
        started_s, started_at = self._clock.monotonic_s(), self._clock.utc_now()
        request_id = self._ids.new(started_at)
        self.fleet.totals.requests += 1
        decision = self._decision(call, started_at, started_s)
        trace = self._listeners.traced(decision, request_id, call)
        if isinstance(decision, Denied):
            receipt = denied_receipt(
                decision,
                request_id=request_id,
                stream=call.stream,
                started_at=started_at,
                duration_s=self._clock.monotonic_s() - started_s,
            )
            self._listeners.denied(receipt, decision, trace)
            return PolicyDenied(
                decision.message,
                rule=decision.rule,
                residency=decision.residency[0] if decision.residency else decision.facts.residency,
                dropped=decision.dropped,
                receipt=receipt,
            )
        deadline_s = call.hints.deadline_s
        if deadline_s is None:
            deadline_s = total_s(decision.task)
        run = Run(
            request_id,
            call,
            decision,
            started_at,
            started_s,
            deadline_s,
            started_s + deadline_s,
            stay.enter(),
            trace,
            self.volumes if self.volumes.counting else None,
            self._ledger,
            metrics=self._listeners.metered,
        )
        if decision.cache is not None and self._attempts is not None:
            run.caching = self.response_caches.of(run, self._attempts.codec)
        if decision.policy.shadows and self.shadows.wanted(call, decision):
            run.on_answer = partial(self._copy, call, decision)
        return run

    def _copy(self, call: Call, plan: Plan, text: str, receipt: Receipt) -> None:
        """Have a request that was answered asked of another model too; see `Shadows`."""
        self.shadows.copy(call, plan, text, receipt, begin=self._begun_copy, find=self._found_copy)

    def _begun_copy(self, call: Call, plan: Plan, original: str) -> Run | None:
        if self._stay is None or plan.policy is not self._in_force.policy:
            return None  # the policy in force now might forbid it
        if self._ledger is not None and self._ledger.refusal is not None:
            return None
        return begun_copy(
            call,
            plan,
            original,
            fleet=self.fleet,
            clock=self._clock,
            draw=self._draw,
            passage=self._stay.enter(counted=False),
            listeners=self._listeners,
            ids=self._ids,
        )

    async def _found_copy(self, run: Run) -> Any:
        if self._attempts is None:
            raise AssertionError("a copy is made of what was answered")
        await self.admission.admit(run)
        found = await self.turns.found(self._attempts, run)
        if isinstance(found, Stream):
            raise AssertionError("a copy is never streamed")  # noqa: TRY004 - a bug of ours
        return found.value

    def _decision(self, call: Call, now_utc: datetime, now_s: float) -> Plan | Denied:
        """Decide by the policy in force now; what its session carries is known from here on."""
        policy, session = self._in_force.policy, call.hints.session
        facts = facts_of(call, policy, self.taints.of(session, policy))
        snapshot = self.fleet.snapshot(
            policy,
            now_utc=now_utc,
            chance=self._draw() if policy.splits else 0.0,
            two_of=self._draw() if policy.balances else None,
            stream=call.stream,
            hot=self.overflows.hot,
            held=self.volumes.held(now_s, tenant=facts.tenant, task=facts.task),
        )
        if self.shadows.shifted:
            snapshot = replace(snapshot, shifted=self.shadows.shifted)
        decision = decide(policy, facts, snapshot)
        if isinstance(decision, Plan) and decision.left is not None:
            self.overflows.note(decision.route, decision.left)
        if policy.taints:
            self.taints.carry(session, brought_tags(policy, facts), policy)
        if decision.observed:
            self._in_force.observed.count(decision.observed)
        return decision

    def _resume(self, attempts: Attempts, run: Run) -> Resume:
        from hybridllm._runtime.resume import Resume

        return Resume(run, lambda: self.turns.found_again(attempts, run))


def _all_of(*closings: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        for closing in closings:
            await closing()

    return close
