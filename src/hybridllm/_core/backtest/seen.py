"""What a ledger has seen of each candidate: how it answers, how it counts prompts, how often it fails.

Kept per task too: an answer's length is the task's more than the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from hybridllm._core.backtest.histogram import Histogram
from hybridllm._core.backtest.rows import Asked, Tried

ENOUGH = 30
"""From so many answers on, what they have in common says something."""

SIGMAS = 3.0
OTHER_TRAFFIC = 0.05
"""So much may a mean be off because those that it is of are not those that it is used for."""

_ANSWERED = frozenset({"served", "escalated"})


class Seen:
    """What was seen of one candidate, in one task or in all.

    Attributes:
        answers: With known tokens.
        asked: Times that it was asked first; `failed`: of those, times that it did not answer.
        whole: Of answers at the first attempt, how long the request took; `first`: to a first token.
    """

    __slots__ = (
        "_estimated",
        "_in",
        "_in_squares",
        "_out",
        "_out_squares",
        "answers",
        "asked",
        "cached",
        "failed",
        "first",
        "whole",
    )

    def __init__(self) -> None:
        self.answers = self.asked = self.failed = self.cached = 0
        self._in = self._estimated = self._out = self._in_squares = self._out_squares = 0
        self.whole, self.first = Histogram(), Histogram()

    def answer(self, asked: Asked, tried: Tried) -> None:
        """Note an answer and its tokens."""
        tokens_in, tokens_out = tried.input_tokens, tried.output_tokens
        if tokens_in is None or tokens_out is None:
            return
        self.answers += 1
        self._in += tokens_in
        self._in_squares += tokens_in * tokens_in
        self._estimated += max(asked.input_tokens_total, asked.input_tokens_estimate)
        self._out += tokens_out
        self._out_squares += tokens_out * tokens_out
        self.cached += tried.cached_input_tokens or 0

    def join(self, other: Seen) -> None:
        """Note all that another has noted."""
        self.answers += other.answers
        self.asked += other.asked
        self.failed += other.failed
        self.cached += other.cached
        self._in += other._in
        self._in_squares += other._in_squares
        self._estimated += other._estimated
        self._out += other._out
        self._out_squares += other._out_squares
        self.whole.join(other.whole)
        self.first.join(other.first)

    @property
    def tokens_out(self) -> float:
        """Of an answer, on average."""
        return self._out / self.answers

    @property
    def counts_in(self) -> float:
        """Prompt tokens for each that was estimated: how it counts them."""
        return self._in / self._estimated if self._estimated else 1.0

    @property
    def cached_share(self) -> float:
        """Of its prompt tokens."""
        return self.cached / self._in if self._in else 0.0

    @property
    def out_error(self) -> float:
        """How far the average may be off, as a share of it."""
        return _error(self._out, self._out_squares, self.answers)

    @property
    def in_error(self) -> float:
        """The same of prompts."""
        return _error(self._in, self._in_squares, self.answers)

    @property
    def fails_at_most(self) -> float:
        """The share of first attempts that fail, at most."""
        if self.asked < ENOUGH:
            return 1.0
        share = self.failed / self.asked
        return min(1.0, share + SIGMAS * sqrt((share * (1 - share) + 1 / self.asked) / self.asked))


def _error(sum_: int, squares: int, count: int) -> float:
    if not sum_:
        return 0.0
    mean = sum_ / count
    variance = max(0.0, squares / count - mean * mean)
    return SIGMAS * sqrt(variance / count) / mean + OTHER_TRAFFIC


class SeenAll:
    """What was seen of everybody: written down by candidate and task, and put together when asked for."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str | None], Seen] = {}
        self._joined: dict[str | None, Seen] = {}

    def add(self, asked: Asked, tried: Sequence[Tried]) -> None:
        """Note one more request."""
        self._joined.clear()
        first = self._one(tried[0], asked.task)
        first.asked += 1
        if tried[0].outcome not in _ANSWERED:
            first.failed += 1
        for one in tried:
            if one.outcome not in _ANSWERED:
                continue
            seen = self._one(one, asked.task)
            seen.answer(asked, one)
            if len(tried) == 1:
                seen.whole.add(asked.duration_us)
                if asked.first_token_us is not None:
                    seen.first.add(asked.first_token_us)

    def of(self, candidate: str | None, task: str | None) -> Seen | None:
        """Return what was seen of a candidate in a task, else in all tasks; None: too little."""
        if candidate is None:
            return None
        found = self._seen.get((candidate, task))
        if found is None or found.answers < ENOUGH:
            found = self._all_of(candidate)
        return found if found.answers >= ENOUGH else None

    @property
    def everybody(self) -> Seen:
        """What was seen of all together."""
        return self._all_of(None)

    def _all_of(self, candidate: str | None) -> Seen:
        """Return what was seen of a candidate in all tasks; None: of all candidates."""
        found = self._joined.get(candidate)
        if found is None:
            found = self._joined[candidate] = Seen()
            for (name, _), seen in self._seen.items():
                if candidate in (None, name):
                    found.join(seen)
        return found

    def _one(self, tried: Tried, task: str | None) -> Seen:
        key = (tried.candidate, task)
        found = self._seen.get(key)
        if found is None:
            found = self._seen[key] = Seen()
        return found
