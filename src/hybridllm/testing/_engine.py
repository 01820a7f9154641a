"""The engine of a simulated vLLM: slots, prefill, decoding, preemption. Pure; time comes in as `now_s`.

Between two events everything goes on evenly, so there is no step per token: prompts are computed one after
the other, and every answer under way gains tokens at the same speed. What happens next is known in advance.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from hybridllm.testing._kv import BLOCK_TOKENS, Held, KvCache, blocks_for
from hybridllm.testing._metrics import Load
from hybridllm.testing._vllm_service import VllmService


@dataclass(slots=True, eq=False)
class Job:
    """One request in an engine.

    Attributes:
        prompt_tokens: Of its prompt.
        answer_tokens: How long its answer will be; 0: it is all prompt, as for embeddings.
        keys: Of the whole blocks of its prompt.
        reason: How its answer ends.
        cached_tokens: Of the prompt, found in the cache; known once it has had a slot.
        tokens: Of the answer, that there are at least.
        ended: Whether that is all.
        held: Its blocks.
        had_slot: Whether it ever had one.
        to_compute: Tokens that were not in the cache when it got its slot.
        since: The engine's progress when it had `tokens`.
        turn: Number of its next event; 0: its answer does not go on.
    """

    prompt_tokens: int
    answer_tokens: int
    keys: tuple[int, ...] = ()
    reason: str = "stop"
    cached_tokens: int = 0
    tokens: int = 0
    ended: bool = False
    held: Held = field(default_factory=Held)
    had_slot: bool = False
    to_compute: int = 0
    since: float = 0.0
    turn: int = 0


class Engine:
    """Requests that wait for slots and for blocks, and that are worked on.

    Attributes:
        slots: May be changed; who has a slot keeps it.
        speed: 1 is its usual one; 0: it stands still. Call `advance` before it is changed.
    """

    def __init__(self, service: VllmService) -> None:
        self.slots = service.slots
        self.speed = 1.0
        self._service = service
        self._cache = KvCache(service.kv_blocks)
        self._waiting: OrderedDict[Job, None] = OrderedDict()
        self._running: dict[Job, None] = {}  # in the order in which they got their slots
        self._prompts: deque[Job] = deque()  # whose prompt is computed or waits for that
        self._prompt_left = 0.0  # tokens of the first of them
        self._decoding = 0
        self._progress = 0.0  # tokens that an answer would have that went on all the time
        self._events: list[tuple[float, int, int, Job]] = []  # progress, turn, tokens then, whose
        self._turns = 0
        self._now_s = 0.0
        self._done = Load()

    @property
    def running(self) -> int:
        """Requests that have a slot."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests that wait for one, those that lost theirs among them."""
        return len(self._waiting)

    def jobs(self) -> Iterator[Job]:
        """Yield every request that is in it."""
        yield from self._running
        yield from self._waiting

    def told(self) -> Load:
        """Return what it would tell of itself at the time of the last `advance`."""
        done = self._done
        under_way = sum(int(self._progress - job.since) for job in self._running if job.turn)
        return Load(
            running=len(self._running),
            waiting=len(self._waiting),
            kv_used=self._cache.used,
            prompt_tokens=done.prompt_tokens,
            generation_tokens=done.generation_tokens + under_way,
            prefix_queries=done.prefix_queries,
            prefix_hits=done.prefix_hits,
            preemptions=done.preemptions,
            finished=Counter(done.finished),
        )

    def submit(self, job: Job, *, now_s: float) -> None:
        """Take a request. `advance` to this time comes first."""
        self._now_s = max(self._now_s, now_s)
        self._waiting[job] = None
        self._admit()

    def cancel(self, job: Job) -> None:
        """Forget a request, wherever it is. `advance` comes first."""
        if job in self._waiting:
            del self._waiting[job]
        elif job in self._running:
            self._leave(job)
            self._admit()

    def next_s(self) -> float:
        """Return when something will happen next; infinite: nothing, unless a request comes."""
        work_s, _ = self._next()
        return self._now_s + work_s / self.speed if self.speed else math.inf

    def advance(self, now_s: float) -> list[Job]:
        """Go on until `now_s`, and return the requests that have more tokens, or their end."""
        touched: list[Job] = []
        while self.speed:
            work_s, is_prompt = self._next()
            if self._now_s + work_s / self.speed > now_s:
                break
            self._move(work_s)
            self._now_s += work_s / self.speed
            if is_prompt:
                self._prompt_ends(touched)
            else:
                self._answer_goes_on(touched)
            self._admit()
        if now_s > self._now_s:
            self._move((now_s - self._now_s) * self.speed)
            self._now_s = now_s
        return touched

    def _next(self) -> tuple[float, bool]:
        """Return how much work lies before the next event, in seconds, and whether a prompt ends there."""
        prompt_s = tokens_s = math.inf
        if self._prompts:
            prompt_s = max(0.0, self._prompt_left) / self._service.prefill_tokens_per_s
        while self._events and self._events[0][3].turn != self._events[0][1]:
            heapq.heappop(self._events)  # its request has left, or lost its slot
        if self._events:
            tokens_s = max(0.0, self._events[0][0] - self._progress) / self._each
        return min((prompt_s, True), (tokens_s, False))

    @property
    def _each(self) -> float:
        return self._service.tokens_per_s_each(self._decoding)

    def _move(self, work_s: float) -> None:
        self._prompt_left -= work_s * self._service.prefill_tokens_per_s
        if self._decoding:
            self._progress += work_s * self._each

    def _prompt_ends(self, touched: list[Job]) -> None:
        """The first token of an answer is there, or the next one of an answer that had lost its slot."""
        job = self._prompts.popleft()
        self._next_prompt()
        if not job.tokens:
            self._done.prompt_tokens += job.prompt_tokens
        self._go_on(job, min(job.tokens + 1, job.answer_tokens), touched)

    def _answer_goes_on(self, touched: list[Job]) -> None:
        """An answer has ended, or has filled its blocks."""
        at, _, tokens, job = heapq.heappop(self._events)
        self._progress = max(self._progress, at)
        self._stop(job)
        self._go_on(job, tokens, touched)

    def _go_on(self, job: Job, tokens: int, touched: list[Job]) -> None:
        """Give an answer these tokens, and its end or the blocks for more."""
        self._done.generation_tokens += tokens - job.tokens
        job.tokens = tokens
        touched.append(job)
        if tokens >= job.answer_tokens:
            job.ended = True
            self._done.finished[job.reason] += 1
            self._leave(job)
            return
        while self._room(job) <= 0 and not self._cache.grow(job.held):
            last = next(reversed(self._running))
            self._preempt(last)
            if last is job:
                return
        self._turns += 1
        job.turn, job.since = self._turns, self._progress
        if not self._decoding:
            self._progress = job.since = (
                0.0  # so that it never grows so large that tokens are lost in it
            )
            self._events.clear()
        self._decoding += 1
        more = min(job.answer_tokens - tokens, self._room(job))
        heapq.heappush(self._events, (job.since + more, job.turn, tokens + more, job))

    def _room(self, job: Job) -> int:
        """Return how many more tokens of its answer fit into the blocks it has."""
        return job.held.blocks * BLOCK_TOKENS - job.prompt_tokens - job.tokens

    def _stop(self, job: Job) -> None:
        if job.turn:
            job.turn = 0
            self._decoding -= 1

    def _leave(self, job: Job) -> None:
        """Take a request's slot and its blocks."""
        if job.turn:
            gained = int(self._progress - job.since)
            self._done.generation_tokens += gained
            job.tokens += gained
        self._stop(job)
        if self._prompts and self._prompts[0] is job:
            self._prompts.popleft()
            self._next_prompt()
        elif job in self._prompts:
            self._prompts.remove(job)
        del self._running[job]
        self._cache.release(job.held)

    def _preempt(self, job: Job) -> None:
        """Take a slot away, for there are no blocks left; its prompt has to be computed again."""
        self._leave(job)
        self._done.preemptions += 1
        self._waiting[job] = None
        self._waiting.move_to_end(job, last=False)

    def _admit(self) -> None:
        """Give slots to those who wait, in their order, while there are slots and blocks."""
        while self._waiting and len(self._running) < self.slots:
            job = next(iter(self._waiting))
            # The last token of a prompt is always computed: its successor comes of it.
            keys = job.keys if job.tokens else job.keys[: (job.prompt_tokens - 1) // BLOCK_TOKENS]
            known = self._cache.known(keys)
            blocks = blocks_for(job.prompt_tokens + job.tokens + 1)
            held = self._cache.take(job.keys, known=known, blocks=blocks)
            if held is None:
                return
            del self._waiting[job]
            self._running[job] = None
            job.held = held
            if not job.had_slot:
                job.had_slot, job.cached_tokens = True, known * BLOCK_TOKENS
                self._done.prefix_queries += job.prompt_tokens
                self._done.prefix_hits += job.cached_tokens
            self._prompts.append(job)
            job.to_compute = job.prompt_tokens + job.tokens - known * BLOCK_TOKENS
            if len(self._prompts) == 1:
                self._next_prompt()

    def _next_prompt(self) -> None:
        if self._prompts:
            self._prompt_left = float(self._prompts[0].to_compute)
