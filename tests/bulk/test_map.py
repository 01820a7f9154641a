"""`router.map`: order, bounds, errors, hints. Scripted backends, virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest

from bulk.jobs import all_of, backend, drain, in_a_second, number_in, request, requests, said
from hybridllm import (
    BulkProgress,
    BulkResult,
    DeadlineExceeded,
    InvalidRequest,
    PolicyDenied,
    RequestRejected,
    RouteExhausted,
    RouterClosed,
    context,
    receipt,
)
from hybridllm.testing import Reply, SentRequest, run_in_virtual_time
from runtime.world import policy, scripted


def slow_first(number: int) -> Reply:
    return Reply.chat(f"answer {number}").after(100.0 if number == 0 else 1.0)


def test_results_come_in_the_order_of_the_requests() -> None:
    """Whoever is ready first; with what each cost."""

    async def main() -> None:
        async with backend(lambda n: Reply.chat(f"answer {n}").after(10.0 - n)) as here:
            results = await all_of(here.router.map(requests(10), concurrency=10))
        assert [said(result) for result in results] == [f"answer {n}" for n in range(10)]
        assert [result.index for result in results] == list(range(10))
        assert all(result.ok and result.tries == 1 for result in results)
        first = results[0]
        assert first.receipt == receipt(first.answer)
        assert first.paid.cost_usd == Decimal("0.00002")
        assert (first.paid.backend, first.paid.model) == ("eu", "m")
        assert (first.paid.tokens_in, first.paid.tokens_out) == (10, 5)

    run_in_virtual_time(main)


def test_without_order_a_slow_item_holds_nobody_up() -> None:
    """It comes last, and every other one is there in its time."""

    async def main() -> None:
        async with backend(slow_first) as here:
            job = here.router.map(requests(200), concurrency=2, ordered=False)
            results = await all_of(job)
        assert sorted(result.index for result in results) == list(range(200))
        assert [result.index for result in results].index(0) > 90

    run_in_virtual_time(main)


@pytest.mark.parametrize("concurrency", [1, 7, 64])
def test_no_more_are_under_way_than_allowed(concurrency: int) -> None:
    """And as many as allowed: 128 items take 128 / concurrency seconds."""

    async def main() -> None:
        most = 0

        def answer(number: int) -> Reply:
            nonlocal most
            most = max(most, here.wire.active)
            return in_a_second(number)

        async with backend(answer) as here:
            job = here.router.map(requests(126), concurrency=concurrency)
            await all_of(job)
        assert most == concurrency
        assert job.progress.elapsed_s == pytest.approx(-(-126 // concurrency), abs=0.01)

    run_in_virtual_time(main)


def test_in_order_a_slow_item_lets_only_a_window_of_results_wait() -> None:
    """The others get ahead of it by the window, and not a request further."""

    async def main() -> None:
        taken = 0

        def counted() -> Iterator[dict[str, Any]]:
            nonlocal taken
            for one in requests(1_000):
                taken += 1
                yield one

        async with (
            backend(slow_first) as here,
            here.router.map(counted(), concurrency=4, window=20) as job,
        ):
            first = asyncio.ensure_future(anext(job))
            await asyncio.sleep(99)
            assert (taken, here.wire.active) == (20, 1)
            assert (await first).index == 0
            assert [(await anext(job)).index for _ in range(19)] == list(range(1, 20))

    run_in_virtual_time(main)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_consumer_who_takes_his_time_is_waited_for(ordered: bool) -> None:
    """The input is read as there is room, so that it may be endless."""

    async def main() -> None:
        taken = 0

        def endless() -> Iterator[dict[str, Any]]:
            nonlocal taken
            for index in itertools.count():
                taken += 1
                yield request(index)

        async with backend() as here:
            job = here.router.map(endless(), concurrency=4, ordered=ordered)
            async with job:
                for count in range(1, 50):
                    await anext(job)
                    await asyncio.sleep(60)
                    assert taken == 16 + count
                assert job.progress.total is None

    run_in_virtual_time(main)


def test_the_input_may_be_asynchronous_and_have_keys() -> None:
    """A pair is a key and its request; an input that waits lets the rest go on."""

    async def slowly() -> AsyncIterator[tuple[str, dict[str, Any]]]:
        for index in range(5):
            await asyncio.sleep(10)
            yield f"key-{index}", request(index)

    async def main() -> None:
        async with backend() as here:
            job = here.router.map(slowly(), total=5)
            results = await all_of(job)
        assert [result.key for result in results] == [f"key-{n}" for n in range(5)]
        assert job.progress.elapsed_s == pytest.approx(51)
        assert job.progress.done == job.progress.total == 5

    run_in_virtual_time(main)


def test_an_error_of_one_item_ends_none_of_the_others() -> None:
    """Denied, wrong, rejected, failed, no request at all, passed on: each is its item's own."""
    mine = LookupError("line 6 of the file")

    def answer(number: int) -> Reply:
        return {2: Reply.status(400), 3: Reply.status(504)}.get(number, in_a_second(number))

    async def main() -> None:
        items: list[Any] = [*requests(6), ("six", mine), 7, (8, 8, 8), request(9, stream=True)]
        items[0]["residency"] = "mars"
        items[1]["temprature"] = 1
        async with backend(answer) as here:
            job = here.router.map(items)
            results = await all_of(job)
            assert here.sent("eu") == 4
        kinds = (PolicyDenied, InvalidRequest, RequestRejected, RouteExhausted)
        for result, kind in zip(results, kinds, strict=False):
            assert isinstance(result.error, kind)
            assert result.answer is None
        assert [said(result) for result in results[4:6]] == ["answer 4", "answer 5"]
        assert (results[6].key, results[6].error) == ("six", mine)
        assert all(isinstance(result.error, InvalidRequest) for result in results[7:])
        assert (job.progress.done, job.progress.failed) == (2, 8)

    run_in_virtual_time(main)


def test_errors_carry_no_frames() -> None:
    """Ours hold the request."""

    async def main() -> None:
        async with backend(lambda _: Reply.status(500)) as here:
            for result in await all_of(here.router.map(requests(3))):
                assert result.error is not None
                assert result.error.__traceback__ is None
                assert result.error.__context__ is None
                assert "item" not in str(result.error)

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("more", "waited_s"),
    [
        pytest.param({}, 600, id="a-batch"),
        pytest.param({"task": "t"}, 40, id="the-tasks"),
        pytest.param({"model": "t"}, 40, id="the-task-as-a-model"),
        pytest.param({"task": "t", "deadline_s": 7}, 7, id="its-own"),
    ],
)
def test_an_item_has_the_time_of_a_batch(more: dict[str, Any], waited_s: float) -> None:
    """Ten minutes, unless its task or the request itself says better."""
    text = policy("eu", timeouts="total: 40s", repeats=0)
    text = text.replace("region: eu", "region: eu, timeouts: {attempt: 3600s}")

    async def main() -> None:
        async with scripted(text, eu=Reply.hang()) as here:
            job = here.router.map(requests(1, **more))
            (result,) = await all_of(job)
        assert isinstance(result.error, DeadlineExceeded)
        assert job.progress.elapsed_s == pytest.approx(waited_s)

    run_in_virtual_time(main)


def test_hints_of_the_block_hold_for_a_job_that_was_made_in_it() -> None:
    """Also when it is iterated outside; a request's own go before them."""

    async def main() -> None:
        async with backend() as here:
            with context(tenant="acme", feature="f"):
                job = here.router.map([request(0), request(1, tenant="globex")])
            results = await all_of(job)
        tenants = [result.receipt.tenant for result in results if result.receipt is not None]
        assert tenants == ["acme", "globex"]

    run_in_virtual_time(main)


def test_texts_are_embedded_as_well() -> None:
    """`operation="embeddings"` takes the keywords of `embeddings.create`."""

    def vector(sent: SentRequest) -> Reply:
        data = [{"object": "embedding", "index": 0, "embedding": [float(sent.json["input"])]}]
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        return Reply.json({"object": "list", "model": "m", "data": data, "usage": usage})

    async def main() -> None:
        async with scripted(policy("eu"), eu=vector) as here:
            items = [{"input": str(n), "model": "m"} for n in range(5)]
            results = await all_of(here.router.map(items, operation="embeddings"))
        assert [result.answer.data[0].embedding for result in results] == [
            [float(n)] for n in range(5)
        ]

    run_in_virtual_time(main)


def test_an_input_that_raises_ends_the_job_after_what_is_under_way() -> None:
    """What was sent is paid for, so it is handed out; then the caller's own error comes."""

    def broken() -> Iterator[dict[str, Any]]:
        yield from requests(5)
        raise OSError("the database has gone")

    async def main() -> None:
        async with backend() as here, here.router.map(broken(), concurrency=8) as job:
            got = [await anext(job) for _ in range(5)]
            assert [result.ok for result in got] == [True] * 5
            with pytest.raises(OSError, match="the database has gone"):
                await anext(job)
            with pytest.raises(StopAsyncIteration):
                await anext(job)

    run_in_virtual_time(main)


def test_a_router_that_is_closed_ends_the_job() -> None:
    """Not item by item, to the end of a long input."""

    async def main() -> None:
        async with backend() as here, here.router.map(requests(100_000), concurrency=4) as job:
            await anext(job)
            await here.router.aclose()
            got: list[BulkResult] = []
            with pytest.raises(RouterClosed):
                await drain(job, got)
            assert all(result.ok or isinstance(result.error, RouterClosed) for result in got)
            assert job.progress.ended < 30

    run_in_virtual_time(main)


def test_progress_is_told_as_it_comes_and_at_the_end() -> None:
    """Done, failed, money, tokens, time left: at most ten times a second."""
    told: list[BulkProgress] = []

    def answer(number: int) -> Reply:
        return Reply.status(400) if number % 10 == 9 else in_a_second(number)

    async def main() -> None:
        async with backend(answer) as here:
            job = here.router.map(list(requests(100)), concurrency=10, on_progress=told.append)
            assert job.progress == BulkProgress(total=100)
            await all_of(job)
        assert told[-1] == job.progress
        assert (told[-1].done, told[-1].failed, told[-1].left_s) == (90, 10, 0.0)
        assert told[-1].cost_usd == 90 * Decimal("0.00002")
        assert (told[-1].tokens_in, told[-1].tokens_out) == (900, 450)
        middle = next(progress for progress in told if progress.elapsed_s >= 6)
        assert middle.rate_per_s == pytest.approx(10, rel=0.3)
        assert middle.left_s == pytest.approx((100 - middle.ended) / 10, rel=0.3)
        assert len(told) < 40
        assert all(progress.under_way <= 10 for progress in told)

    run_in_virtual_time(main)


def test_a_callback_that_raises_ends_the_job_with_its_error() -> None:
    """What is under way is handed out before it."""

    def refuse(_: BulkProgress) -> None:
        raise KeyError("a bug of the application")

    async def main() -> None:
        async with backend() as here:
            job = here.router.map(requests(1_000), concurrency=4, on_progress=refuse)
            got: list[BulkResult] = []
            with pytest.raises(KeyError, match="a bug of the application"):
                await drain(job, got)
        assert 4 <= len(got) < 20
        assert number_in(here.wire.requests[0]) == 0

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        pytest.param([], {"concurrency": 0}, "concurrency: must be a whole number", id="none"),
        pytest.param([], {"concurrency": 1.5}, "concurrency: must be", id="half"),
        pytest.param([], {"window": 0}, "window: must be", id="window"),
        pytest.param([], {"operation": "images"}, "'images' is not one of chat", id="operation"),
        pytest.param([], {"unknown": "maybe"}, "'maybe' is not one of retry, skip", id="unknown"),
        pytest.param({}, {}, "must be an iterable of requests, got dict", id="one-request"),
        pytest.param(7, {}, "must be an iterable of requests, got int", id="a-number"),
    ],
)
def test_a_wrong_argument_is_told_at_once(given: Any, options: Any, words: str) -> None:
    """Before anything is sent."""

    async def main() -> None:
        async with backend() as here:
            with pytest.raises(InvalidRequest, match=words):
                here.router.map(given, **options)

    run_in_virtual_time(main)
