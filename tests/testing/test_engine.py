"""The simulated engine by itself: slots, blocks, prefix cache, preemption, in the numbers of the captures."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hybridllm.testing import VllmService
from hybridllm.testing._engine import Engine, Job
from hybridllm.testing._kv import KvCache, prompt_keys
from hybridllm.testing._tokens import prompt_stream, prompt_tokens

EVEN = VllmService(
    slots=2, tokens_per_s=10, tokens_per_s_max=10, prefill_tokens_per_s=100, kv_blocks=256
)


def ends(engine: Engine, jobs: list[Job]) -> list[float]:
    """When each of them ends, to the event."""
    found: dict[Job, float] = {}
    while (next_s := engine.next_s()) < 1e6:
        for job in engine.advance(next_s):
            if job.ended:
                found[job] = round(next_s, 6)
    return [found[job] for job in jobs]


def test_prompts_come_one_after_the_other_and_answers_share_the_speed() -> None:
    """Two of 10 tokens at 10 tokens/s together, after prompts of 0.5 s each; the third waits for a slot."""
    engine = Engine(EVEN)
    jobs = [Job(50, 10) for _ in range(3)]
    for job in jobs:
        engine.submit(job, now_s=0.0)
    assert (engine.running, engine.waiting) == (2, 1)
    # The first decodes alone for 0.5 s (5 of its 9), then both share: 4 more take 0.8 s.
    assert ends(engine, jobs)[0] == pytest.approx(0.5 + 0.5 + 0.8)
    told = engine.told()
    assert (told.prompt_tokens, told.generation_tokens) == (150, 30)
    assert (told.running, told.waiting, told.kv_used) == (0, 0, 0.0)


def test_the_sum_of_all_answers_approaches_its_limit() -> None:
    """So that a server has a capacity, and more at once makes each slower."""
    service = VllmService(slots=64, tokens_per_s=60, tokens_per_s_max=600)
    sums = [batch * service.tokens_per_s_each(batch) for batch in (1, 8, 64)]
    assert sums == sorted(sums)
    assert sums[0] == pytest.approx(60)
    assert service.tokens_per_s_full == pytest.approx(sums[-1])
    assert 500 < sums[-1] < 600


@pytest.mark.parametrize("answer", [600, 700, 900])
def test_under_kv_pressure_running_falls_and_waiting_rises(answer: int) -> None:
    """7 streams on 4 slots and 40 blocks, as captured: 4/3 becomes 1/6, the cache 54 to 100 % full.

    The real server needed 8 preemptions for its 7 streams; how long they were was not written down.
    """
    engine = Engine(VllmService(slots=4, kv_blocks=40, context_tokens=1_024))
    jobs = [Job(12, answer) for _ in range(7)]
    for job in jobs:
        engine.submit(job, now_s=0.0)
    seen: dict[tuple[int, int], list[float]] = {}
    while engine.next_s() < 1e6:
        engine.advance(engine.next_s())
        told = engine.told()
        seen.setdefault((told.running, told.waiting), []).append(told.kv_used)
    assert {(4, 3), (3, 4), (2, 5)} <= set(seen)
    if answer > 600:
        assert 0.5 < min(seen[1, 6]) < 0.56
    assert max(used for shares in seen.values() for used in shares) == 1.0
    told = engine.told()
    assert 7 <= told.preemptions <= 13
    assert told.generation_tokens == 7 * answer  # what was generated before is not generated again
    assert told.prompt_tokens == 7 * 12
    assert told.kv_used == 0.0


def test_a_block_of_the_cache_is_vllms_own() -> None:
    """24 of the 39 others: the 0.615 that was captured of a server with 40."""
    cache = KvCache(40)
    held = cache.take((), known=0, blocks=24)
    assert held is not None
    assert cache.used == pytest.approx(0.6153846153846154)
    assert cache.take((), known=0, blocks=16) is None
    cache.release(held)
    assert cache.used == 0.0
    with pytest.raises(ValueError, match="2 blocks or more"):
        KvCache(1)


def test_a_prompt_is_known_again_by_whole_blocks_and_never_all_of_it() -> None:
    """96 of 108 tokens, as captured; of 96, two blocks: its last token is always computed."""
    for tokens, cached in ((108, 96), (96, 64), (31, 0)):
        engine = Engine(EVEN)
        keys = tuple(range(tokens // 32))
        first, again = Job(tokens, 2, keys), Job(tokens, 2, keys)
        engine.submit(first, now_s=0.0)
        cold_s = ends(engine, [first])[0]
        engine.submit(again, now_s=cold_s)
        warm_s = ends(engine, [again])[0] - cold_s
        assert (first.cached_tokens, again.cached_tokens) == (0, cached)
        assert cold_s - warm_s == pytest.approx(cached / 100)  # at 100 tokens/s
        told = engine.told()
        assert (told.prefix_queries, told.prefix_hits) == (2 * tokens, cached)


def test_what_was_not_used_for_longest_is_forgotten_first_from_its_end() -> None:
    """Remembered blocks are free blocks: they make room as soon as somebody needs it."""
    cache = KvCache(7)  # 6 blocks
    for keys in ((1, 2, 3), (4, 5)):
        held = cache.take(keys, known=cache.known(keys), blocks=len(keys))
        assert held is not None
        cache.release(held)
    assert cache.used == 0.0
    big = cache.take((), known=0, blocks=3)  # one was blank, two are taken from the older prompt
    assert big is not None
    assert (cache.known((1, 2, 3)), cache.known((4, 5))) == (1, 2)
    shared = cache.take((4, 5), known=2, blocks=2)
    also = cache.take((4, 5), known=2, blocks=2)
    assert shared is not None
    assert also is not None
    assert cache.used == pytest.approx(5 / 6)  # held twice, there once


def test_a_cancelled_request_frees_its_slot_at_once_wherever_it_was() -> None:
    """In the queue, in its prompt, in its answer; what it had generated stays counted."""
    engine = Engine(EVEN)
    jobs = [Job(100, 50) for _ in range(4)]
    for job in jobs:
        engine.submit(job, now_s=0.0)
    engine.advance(
        1.55
    )  # the first has its prompt and 0.55 s of answer, the second is in its prompt
    engine.cancel(jobs[2])
    engine.cancel(jobs[1])
    assert (engine.running, engine.waiting) == (2, 0)
    engine.cancel(jobs[0])
    engine.cancel(jobs[3])
    engine.cancel(jobs[3])
    told = engine.told()
    assert (told.running, told.waiting, told.kv_used) == (0, 0, 0.0)
    assert (told.generation_tokens, sum(told.finished.values())) == (6, 0)
    assert engine.next_s() == float("inf")


def test_a_frozen_engine_goes_on_where_it_was() -> None:
    """Nothing is due while it stands still, and nothing is lost."""
    engine = Engine(EVEN)
    job = Job(100, 11)
    engine.submit(job, now_s=0.0)
    engine.advance(1.5)
    engine.speed = 0.0
    assert engine.next_s() == float("inf")
    assert engine.advance(100.0) == []
    engine.speed = 0.5
    assert ends(engine, [job]) == [pytest.approx(101.0)]


def test_tokens_blocks_and_slots_are_in_balance_after_any_course() -> None:
    """Random requests, some of which leave: nothing is held at the end, and each token was counted."""
    chance = Random(1)
    service = VllmService(slots=5, kv_blocks=60, context_tokens=1_500)
    engine = Engine(service)
    now_s = 0.0
    jobs: list[Job] = []
    for _ in range(300):
        now_s += chance.expovariate(2)
        engine.advance(now_s)
        job = Job(
            chance.randint(1, 700), chance.randint(0, 700), tuple(range(chance.randint(0, 20)))
        )
        job.keys = job.keys[: job.prompt_tokens // 32]
        jobs.append(job)
        engine.submit(job, now_s=now_s)
        if chance.random() < 0.3:
            engine.cancel(chance.choice(jobs))
        told = engine.told()
        assert told.running <= 5
        assert 0.0 <= told.kv_used <= 1.0
    ends(engine, [])
    told = engine.told()
    assert (told.running, told.waiting, told.kv_used) == (0, 0, 0.0)
    assert told.preemptions > 0
    assert told.generation_tokens == sum(job.tokens for job in jobs)
    assert told.finished["stop"] == sum(job.ended for job in jobs)


def test_the_tokens_of_a_prompt_are_as_many_as_are_counted_and_begin_as_it_begins() -> None:
    """What counts them and what compares them is the same rule."""
    long = "as it was said before " * 20
    parts: list[Any] = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "x"}},
    ]
    tools = [{"type": "function", "function": {"name": "f"}}]
    first: list[Any] = [{"role": "system", "content": long}, {"role": "user", "content": parts}]
    second: list[Any] = [
        *first,
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "and?"},
    ]
    third: list[Any] = [{"role": "user", "content": long}, *first[1:]]
    empty: list[Any] = [{"role": "user", "content": None}]
    for messages in (first, second, third, empty):
        assert len(prompt_stream(messages, tools)) == prompt_tokens(messages, tools)
    keys = [prompt_keys("m", prompt_stream(messages)) for messages in (first, second, third)]
    assert keys[1][: len(keys[0])] == keys[0]
    assert not set(keys[2]) & set(keys[0])
    assert not set(prompt_keys("other", prompt_stream(first))) & set(keys[0])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"slots": 0}, "are 1 or more"),
        ({"tokens_per_s": 700}, "no faster than all"),
        ({"kv_blocks": 10, "context_tokens": 300}, "does not fit"),
        ({"kv_blocks": 1}, "does not fit"),
    ],
)
def test_a_service_that_cannot_be_is_refused(wrong: dict[str, Any], words: str) -> None:
    """And not in the middle of a simulation."""
    with pytest.raises(ValueError, match=words):
        VllmService(**wrong)
