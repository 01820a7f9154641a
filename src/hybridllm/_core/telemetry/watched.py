"""One backend whose load decides: everything that is known of it, and what that comes to.

Hears of our own requests as they are sent, get a first token and end, and of reports as they come. A record
that changes in place: nothing happens between two of its steps. Knows nothing of clocks, tasks or policies;
time comes in as `now_s`.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from hybridllm._core.telemetry.first_tokens import FirstTokens
from hybridllm._core.telemetry.heard import (
    SETTLED_S,
    Asked,
    Belief,
    Heard,
    after_header,
    after_page,
    believed,
)
from hybridllm._core.telemetry.room import UNSEEN, Room, after_calm, after_overdue, after_report
from hybridllm._core.telemetry.saturated import saturated_because
from hybridllm._core.telemetry.throughput import OwnWork, Throughput, wait_s

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Backend
    from hybridllm._core.telemetry.report import LoadReport

LOOKED_AT_MAX = 64
"""So many requests that wait for a first token are looked at, the oldest ones."""
COUNTERS_S = 30.0
"""So long what counters said goes before what our own answers say."""

_HIT_WEIGHT = 0.2


_NEVER = float("inf")


class _Overdue(NamedTuple):
    """Of our requests, those that wait for a first token far longer than is usual.

    Attributes:
        requests: How many.
        oldest_s: How long the oldest of them has waited; 0: there is none.
        next_at_s: When the next one is overdue.
    """

    requests: int = 0
    oldest_s: float = 0.0
    next_at_s: float = _NEVER


_NOT_OVERDUE = _Overdue()


class Judged(NamedTuple):
    """What is known of a backend comes to this.

    Attributes:
        belief: What is believed of its queue.
        kv_used: Share of its KV cache in use; None: unknown.
        wait_s: How long a request that comes now waits in its queue; None: not known.
        saturated: Why it has as much to do as it can take, in words; empty: it has not.
        stale: Whether it told something once, and not lately.
        until_s: Until when that holds if nothing is heard or done.
    """

    belief: Belief
    kv_used: float | None
    wait_s: float | None
    saturated: str
    stale: bool
    until_s: float


class Watched:
    """What is known of one backend.

    Args:
        backend: As its policy has it.
        own: Whether it is a server of one's own, where a first token that is late was queued. A hosted API
            has its ups and downs.

    Attributes:
        backend: As its policy has it.
        sent: Our requests to it since it is watched.
        ended: Those that have ended.
        answered: First tokens and whole answers so far.
        heard: The last report, and what is thought of it; None: none.
        asked_since_s: Since when its page is asked for, without a break; None: it is not.
        silent: How often in a row it told nothing when asked.
        cache_hit_rate: Share of prompt tokens found in its prefix cache lately; None: not told.
    """

    __slots__ = (
        "_answered_at_s",
        "_counted_at_s",
        "_own",
        "_room",
        "_unanswered",
        "_under_way",
        "_work",
        "answered",
        "asked_since_s",
        "backend",
        "cache_hit_rate",
        "ended",
        "first_tokens",
        "heard",
        "sent",
        "silent",
        "throughput",
    )

    def __init__(self, backend: Backend, *, own: bool = True) -> None:
        self.backend = backend
        self._own = own
        self.sent = self.ended = self.answered = self.silent = 0
        self.heard: Heard | None = None
        self.asked_since_s: float | None = None
        self.cache_hit_rate: float | None = None
        self.first_tokens = FirstTokens()
        self.throughput = Throughput()
        self._work = OwnWork()
        self._room: Room = UNSEEN
        self._under_way: dict[Hashable, float] = {}  # key -> when it was sent, oldest first
        self._unanswered: dict[Hashable, tuple[float, float]] = {}  # sent, overdue from
        self._answered_at_s = float("-inf")
        self._counted_at_s = float("-inf")

    # -- our own requests

    def begun(self, key: Hashable, prompt_tokens: int, now_s: float, *, stream: bool) -> None:
        """A request was sent; `key` names it until it ends."""
        self._work.changes(len(self._under_way), now_s)
        self.sent += 1
        self._under_way[key] = now_s
        if stream and self._own:
            self._unanswered[key] = (
                now_s,
                now_s + self.first_tokens.overdue_after_s(prompt_tokens),
            )

    def first_token(self, key: Hashable, prompt_tokens: int, seconds: float, now_s: float) -> None:
        """A stream's first token came."""
        self._unanswered.pop(key, None)
        self._progressed(now_s)
        self.first_tokens.came(prompt_tokens, seconds)

    def over(self, key: Hashable, now_s: float, *, answered: bool) -> None:
        """A request has ended; one that began before it was watched is nobody's."""
        if key not in self._under_way:
            return
        self._work.changes(len(self._under_way), now_s)
        del self._under_way[key]
        self._unanswered.pop(key, None)
        self.ended += 1
        if answered:
            self._progressed(now_s)

    def used(self, tokens: int, now_s: float) -> None:
        """A request took so many tokens, prompt and answer."""
        self._work.done(tokens)
        window = self._work.window()
        if window is not None and now_s - self._counted_at_s > COUNTERS_S:
            self.throughput.measured(*window)

    def _progressed(self, now_s: float) -> None:
        self.answered += 1
        self._answered_at_s = now_s

    # -- what it tells

    @property
    def outdated(self) -> bool:
        """Whether it has more to do than it was ever seen to work on, and should be asked again soon.

        Once its slots were seen, what was sent is enough to know.
        """
        heard = self.heard
        if heard is None or self._room.size is not None:
            return False
        since = (self.sent - heard.sent) - (self.ended - heard.ended)
        told = (heard.report.running or 0.0) + (heard.report.waiting or 0.0)
        return told + since > self._room.proven

    def asks(self, now_s: float) -> Asked:
        """Return what is known as its page is asked for."""
        if self.asked_since_s is None:
            self.asked_since_s = now_s
        return Asked(now_s, self.sent, self.answered)

    def told_nothing(self) -> None:
        """It was asked, and told nothing."""
        self.silent += 1

    def told(self, report: LoadReport, asked: Asked, now_s: float) -> None:
        """Its page came."""
        self.silent = 0
        before = self.heard
        if before is not None and _is_another(before.report, report):
            before, self._room = None, UNSEEN
        self._count(before, report, now_s)
        begun_s = next(iter(self._under_way.values()), now_s)
        heard = self.heard = after_page(
            before,
            report,
            asked,
            ended=self.ended,
            settled=self._settled(asked.at_s - SETTLED_S),
            stuck_s=min(now_s - self._answered_at_s, now_s - begun_s),
            now_s=now_s,
        )
        if report.running is None or report.waiting is None:
            return
        if not heard.doubted(now_s):
            self._room = after_report(
                self._room, report.running, report.waiting, report.kv_used, now_s
            )

    def told_in_answer(self, report: LoadReport, now_s: float) -> None:
        """The head of an answer told something."""
        overdue = self._overdue(now_s).requests
        running = self._belief(self._fresh(now_s), len(self._under_way), overdue, now_s).running
        self.heard = after_header(
            self.heard, report, running, sent=self.sent, ended=self.ended, now_s=now_s
        )

    def _count(self, before: Heard | None, report: LoadReport, now_s: float) -> None:
        """Learn from what counters did between two pages."""
        if before is None or report.cache_hit_rate is not None:
            self.cache_hit_rate = report.cache_hit_rate
        if before is None:
            return
        then = before.report
        if report.steps is not None and report.steps == report.tokens and then.tokens is not None:
            load = ((report.running or 0.0) + (then.running or 0.0)) / 2.0
            self.throughput.measured(report.tokens - then.tokens, now_s - before.page_at_s, load)
            self._counted_at_s = now_s
        looked_up = (report.cache_queries or 0.0) - (then.cache_queries or 0.0)
        found = (report.cache_hits or 0.0) - (then.cache_hits or 0.0)
        if looked_up > 0.0 and found >= 0.0:
            rate, share = self.cache_hit_rate, min(1.0, found / looked_up)
            self.cache_hit_rate = share if rate is None else rate + (share - rate) * _HIT_WEIGHT

    def _settled(self, by_s: float) -> int:
        """How many of our requests under way were sent by then."""
        count = 0
        for sent_at_s in self._under_way.values():
            if sent_at_s > by_s:
                break
            count += 1
        return count

    # -- what that comes to

    def learn(self, now_s: float) -> None:
        """Learn of its slots from our own requests, where no report can be believed."""
        heard = self._fresh(now_s)
        if heard is not None and not heard.doubted(now_s):
            return
        under_way = len(self._under_way)
        if self._overdue(now_s).requests:
            self._room = after_overdue(self._room, under_way - len(self._unanswered), now_s)
        else:
            self._room = after_calm(self._room, under_way, now_s)

    def judged(self, in_flight: int, now_s: float) -> Judged:
        """Return what it comes to now, and until when that holds if nothing is heard or done.

        Args:
            in_flight: Our requests under way there.
            now_s: Monotonic.
        """
        overdue, heard = self._overdue(now_s), self._fresh(now_s)
        silent_s, until_s = self._silent(now_s)
        belief = self._belief(heard, in_flight, overdue.requests, now_s)
        kv_used, frozen_s, asleep = None, None, False
        if heard is not None:
            kv_used, asleep = heard.report.kv_used, heard.report.asleep is True
            frozen_s = None if heard.frozen_at_s is None else now_s - heard.stepped_at_s
        why = saturated_because(
            self.backend.saturation,
            belief,
            in_flight=in_flight,
            kv_used=kv_used,
            overdue=overdue.requests,
            silent_s=silent_s,
            frozen_s=frozen_s,
            asleep=asleep,
        )
        wait_s = self._wait_s(belief, overdue.oldest_s, in_flight)
        until_s = min(until_s, overdue.next_at_s)
        return Judged(belief, kv_used, wait_s, why, silent_s is not None, until_s)

    def free(self, in_flight: int, now_s: float) -> float | None:
        """Return how many more it could work on at once; None: its slots were not seen."""
        return self._belief(
            self._fresh(now_s), in_flight, self._overdue(now_s).requests, now_s
        ).free

    def _overdue(self, now_s: float) -> _Overdue:
        if not self._unanswered:
            return _NOT_OVERDUE
        count, next_at_s, oldest_s = 0, _NEVER, 0.0
        for sent_at_s, due_at_s in islice(self._unanswered.values(), LOOKED_AT_MAX):
            if due_at_s <= now_s:
                count += 1
                oldest_s = max(oldest_s, now_s - sent_at_s)
            else:
                next_at_s = min(next_at_s, due_at_s)
        return _Overdue(count, oldest_s, next_at_s)

    def _fresh(self, now_s: float) -> Heard | None:
        """What was heard, if it is not too long ago to be believed."""
        heard = self.heard
        if heard is None or now_s - heard.at_s > self.backend.saturation.stale_after_s:
            return None
        return heard

    def _silent(self, now_s: float) -> tuple[float | None, float]:
        """How long it has told nothing, if it told something once and is asked; and when that changes.

        While nobody asked it, it could tell nothing.
        """
        heard, since_s = self.heard, self.asked_since_s
        if heard is None:
            return None, _NEVER
        patience_s = self.backend.saturation.stale_after_s
        old_at_s = heard.at_s + patience_s
        if since_s is None:
            return None, old_at_s if now_s <= old_at_s else _NEVER
        stale_at_s = max(old_at_s, since_s + patience_s)
        if now_s > stale_at_s:
            return now_s - heard.at_s, _NEVER
        return None, old_at_s if now_s <= old_at_s else stale_at_s

    def _belief(self, heard: Heard | None, in_flight: int, overdue: int, now_s: float) -> Belief:
        return believed(
            heard,
            sent=self.sent,
            ended=self.ended,
            in_flight=in_flight,
            overdue=overdue,
            room=self._room.size,
            now_s=now_s,
        )

    def _wait_s(self, belief: Belief, oldest_s: float, in_flight: int) -> float | None:
        """What a new request has to expect: as predicted, or as ours show that wait now, the worse."""
        running = belief.running
        declared = self.backend.capacity
        predicted_s = wait_s(
            belief.waiting,
            full=belief.full,
            tokens_each=self._work.tokens_each,
            tokens_per_s=self.throughput.at(in_flight if running is None else running)
            or (None if declared is None else declared.tokens_per_s),
        )
        return predicted_s if not oldest_s else max(predicted_s or 0.0, oldest_s)


def _is_another(before: LoadReport, now: LoadReport) -> bool:
    """Whether another process tells: its counters began at another time, or fell."""
    if before.born is not None and now.born is not None and before.born != now.born:
        return True
    return before.tokens is not None and now.tokens is not None and now.tokens < before.tokens
