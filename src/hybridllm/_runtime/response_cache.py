"""Answers that are kept for equal requests, and the flights that equal requests share.

Owns whose flight it is: of equal requests at once one is sent, the others wait for its answer, each within
its own deadline. If that one is cancelled, fails, or gets an answer that may not be kept, one of those who
wait goes on in its place.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from hybridllm._core.cache.key import request_key
from hybridllm._core.cache.rule import whole
from hybridllm._core.receipt import AttemptOutcome, Receipt, RequestOutcome
from hybridllm._core.resilience.next_step import GiveUp, GiveUpReason
from hybridllm._runtime.failed import failed
from hybridllm._runtime.kept_answers import Entry, Event, KeptAnswers
from hybridllm._runtime.ports import Codec, Parsed
from hybridllm._runtime.replayed import ReplayedStream
from hybridllm._runtime.stream import Stream

if TYPE_CHECKING:
    from hybridllm._core.decide.plan import Plan
    from hybridllm._core.policy.compiled import Policy
    from hybridllm._runtime.run import Run
    from hybridllm._runtime.upstream import Upstream

Flights = dict[bytes, "asyncio.Future[Entry | None]"]


class ResponseCaches:
    """The response caches of the policy in force.

    Args:
        now_s: The clock's monotonic seconds.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._secret = os.urandom(32)
        self._kept: dict[tuple[str, str], KeptAnswers] = {}
        self._flights: Flights = {}

    def of(self, run: Run, codec: Codec) -> Caching | None:
        """Return what keeps a request's answer, or has it; None: nothing does."""
        rule, plan, call = run.plan.cache, run.plan, run.call
        if rule is None or not rule.takes(call):
            return None
        body = codec.encoded(call.body)
        if not isinstance(body, bytes):
            return None  # whoever sends it tells what is wrong with it
        try:
            key = request_key(plan, call, body, secret=self._secret)
        except (ValueError, RecursionError):  # JSON that Python does not read: numbers without end
            return None
        place = (plan.policy.version, plan.route)
        kept = self._kept.get(place)
        if kept is None:
            kept = self._kept[place] = KeptAnswers(rule, self._now_s)
        return Caching(key, plan, kept, self._flights, codec, self._now_s)

    def follow(self, policy: Policy) -> None:
        """Forget all that was answered under another version of the policy."""
        for place in [place for place in self._kept if place[0] != policy.version]:
            del self._kept[place]

    @property
    def kept(self) -> Mapping[tuple[str, str], KeptAnswers]:
        """By (version of the policy, route), of those that were asked."""
        return self._kept


class Caching:
    """One request that may be answered by what another one got.

    Attributes:
        hit: `hit` or `shared` if it was; None: it was sent.
    """

    def __init__(
        self,
        key: bytes,
        plan: Plan,
        kept: KeptAnswers,
        flights: Flights,
        codec: Codec,
        now_s: Callable[[], float],
    ) -> None:
        self.hit: str | None = None
        self._key = key
        self._candidates = plan.candidate_names
        self._kept = kept
        self._flights = flights
        self._codec = codec
        self._now_s = now_s
        self._saved_usd: Decimal | None = None

    async def found(
        self, run: Run, ask: Callable[[], Awaitable[Parsed | Stream]]
    ) -> Parsed | Stream:
        """Return an answer that is kept, or is on its way for an equal request; otherwise what `ask` finds.

        Raises:
            DeadlineExceeded: If the request's own deadline passes while it waits.
        """
        entry = self._kept.get(self._key)
        if entry is not None:
            return self._handed_out(run, entry, "hit")
        if run.call.stream:  # its pace is its reader's: nobody waits for that
            self._kept.misses += 1
            return await ask()
        while (flight := self._flights.get(self._key)) is not None:
            left_s = run.deadline_at_s - self._now_s()
            landed, _ = await asyncio.wait({flight}, timeout=max(0.0, left_s))
            if not landed:
                raise failed(run, GiveUp(GiveUpReason.DEADLINE), now_s=self._now_s())
            entry = flight.result()
            if entry is not None:
                return self._handed_out(run, entry, "shared")
        return await self._led(run, ask)

    async def _led(
        self, run: Run, ask: Callable[[], Awaitable[Parsed | Stream]]
    ) -> Parsed | Stream:
        self._kept.misses += 1
        flight = self._flights[self._key] = asyncio.get_running_loop().create_future()
        entry: Entry | None = None
        try:
            found = await ask()
            entry = self._entry(run, found)
            if entry is not None:
                self._kept.keep(self._key, entry)
            return found
        finally:
            del self._flights[self._key]
            if not flight.get_loop().is_closed():
                flight.set_result(entry)

    def _entry(self, run: Run, found: Parsed | Stream) -> Entry | None:
        """Return a whole answer as it is kept; None: it is not to be."""
        if not isinstance(found, Parsed) or not whole(found.facts.finish_reasons):
            return None
        body = self._codec.body(found.value)
        return None if body is None else self._made(run, body)

    def keep_stream(self, run: Run, upstream: Upstream) -> None:
        """Keep a stream that has ended as a whole answer does."""
        if upstream.recording and whole(upstream.state.finish_reasons.values()):
            entry = self._made(run, tuple(upstream.recording))
            if entry is not None:
                self._kept.keep(self._key, entry)

    def _handed_out(self, run: Run, entry: Entry, how: str) -> Parsed | Stream:
        """Return a caller's own copy of an answer."""
        self.hit, self._saved_usd = how, entry.cost_usd
        run.on_answer = None  # what was not asked is not compared
        if how == "hit":
            self._kept.hits += 1
        else:
            self._kept.shared += 1
        self._kept.saved_usd += entry.cost_usd or Decimal(0)
        if not isinstance(entry.body, bytes):
            now_s = self._now_s()
            first_token_s = now_s - run.started_s
            receipt = run.settle(RequestOutcome.OK, now_s=now_s, first_token_s=first_token_s)
            return ReplayedStream(entry, self._codec, receipt)
        if run.call.operation == "chat":
            found = self._codec.completion(entry.body)
        else:
            found = self._codec.embeddings(entry.body, inputs=None, dimensions=None)
        if isinstance(found, Parsed):
            return found
        raise AssertionError("what was kept had been read before")

    def told(self, receipt: Receipt) -> Receipt:
        """Return the receipt with where the answer is from, and what that saved."""
        if self.hit is None:
            return receipt
        return replace(receipt, cache=self.hit, saved_usd=self._saved_usd)

    def _made(self, run: Run, body: bytes | tuple[Event, ...]) -> Entry | None:
        """Return an answer as it is kept, with what bought it; None: it did not pass its cascade's checks."""
        bought = [
            one
            for one in run.attempts
            if one.outcome in (AttemptOutcome.SERVED, AttemptOutcome.ESCALATED)
        ]
        plan = run.plan if run.cascade is None else run.cascade.plan
        if plan.candidate_names != self._candidates:  # budgets have taken somebody out
            return None
        if not bought or (run.cascade is not None and not run.cascade.passed):
            return None
        costs = [one.cost_usd for one in bought]
        known = [cost for cost in costs if cost is not None]
        cost = sum(known, Decimal(0)) if len(known) == len(costs) else None
        return Entry(body, bought[-1].backend, bought[-1].model, cost)
