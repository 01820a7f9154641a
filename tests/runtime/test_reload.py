"""`router.reload()`: another policy for the next request, none for one under way, and never a wrong one."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from hybridllm import InvalidRequest, Policy, PolicyError, Router, RouterClosed, receipt
from hybridllm._adapters import semconv
from hybridllm._adapters.policy_source import REMEMBERED_MAX
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.reloading import GOOD, put, reloading, settle, text
from runtime.world import KEY, many

ROTATED = "sk-test-fedcba9876543210"
DOWN = Reply.status(503)


def routed(answer: Any) -> tuple[str, str, str]:
    """A receipt's version of the policy, its route, and who answered."""
    found = receipt(answer)
    return found.policy_version, found.route, found.attempts[-1].backend


async def test_the_next_request_runs_by_the_new_policy(tmp_path: Path) -> None:
    """So do `explain`, `models` and `status`; a file that says the same changes nothing."""
    path = tmp_path / "team.yaml"
    async with reloading(path, text("eu")) as here:
        first = here.router.policy
        assert await here.router.reload() is False
        assert here.router.policy is first
        assert routed(await here.chat()) == (first.version, "all", "eu")
        put(path, text("us", route="other", model="n"))
        assert await here.router.reload() is True
        second = here.router.policy
        assert second.version != first.version
        assert routed(await here.chat()) == (second.version, "other", "us")
        assert here.router.explain(task="t").candidates == ("us/n",)
        assert [model.id async for model in here.router.models.list()] == ["n"]
        assert here.router.status().version == second.version
        put(path, text("eu"))
        assert await here.router.reload() is True
        assert here.router.policy is first  # known from before


@pytest.mark.parametrize("stream", [False, True], ids=["answer", "stream"])
def test_a_request_under_way_ends_by_the_policy_it_began_with(tmp_path: Path, stream: bool) -> None:
    """Its candidates, its numbers of attempts, its version: all are those of its beginning."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        good = Reply.chat_stream(["fine"]) if stream else GOOD
        replies = {"old": DOWN.after(1.0), "eu": [DOWN.after(1.0), good]}
        before = text("old", "eu", retries="{same_backend_max: 1, attempts_max: 4}")
        async with reloading(path, before, replies) as here:
            version = here.router.policy.version
            task = asyncio.get_running_loop().create_task(here.chat(stream=stream))
            await asyncio.sleep(0.5)
            put(path, text("us", retries="{same_backend_max: 0, attempts_max: 1}"))
            assert await here.router.reload()
            assert here.router.status().in_flight == {"us": 0, "old": 1}
            answer = await task
            if stream:
                async with answer:
                    assert [chunk async for chunk in answer]
            found = receipt(answer)
            assert found.policy_version == version
            assert [attempt.backend for attempt in found.attempts[:2]] == ["old", "eu"]
            assert found.attempts[-1].backend == "eu"
            assert here.sent("us") == 0
            assert receipt(await here.chat()).attempts[-1].backend == "us"
            remembered = here.router._engine._targets._targets
            assert set(remembered) == set(here.router.policy.backends.values())

    run_in_virtual_time(main)


def test_a_request_under_way_shares_its_time_as_it_began(tmp_path: Path) -> None:
    """A backend that hangs leaves the next one its part, whatever the new policy allows."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        replies = {"old": DOWN.after(1.0), "eu": Reply.hang()}
        async with reloading(path, text("old", "eu", "us"), replies) as here:
            task = asyncio.get_running_loop().create_task(here.chat(deadline_s=9))
            await asyncio.sleep(0.5)
            put(path, text("asia", retries="{attempts_max: 1}"))
            assert await here.router.reload()
            assert routed(await task)[2] == "us"
            assert asyncio.get_running_loop().time() == pytest.approx(5.0, abs=0.2)

    run_in_virtual_time(main)


def test_a_stream_that_has_begun_flows_on(tmp_path: Path) -> None:
    """Its receipt says which policy it began with."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        slow = Reply.chat_stream(["a", "b", "c"]).paced(1.0)
        async with reloading(path, text("eu"), {"eu": slow}) as here:
            version = here.router.policy.version
            stream = await here.stream()
            put(path, text("us", route="other"))
            assert await here.router.reload()
            said = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
            assert [word for word in said if word] == ["a", "b", "c"]
            assert receipt(stream).policy_version == version

    run_in_virtual_time(main)


# Wrong files

WRONG = {
    "half of it": text("us")[:200],
    "empty": "",
    "not text": b"\xff\xfe\x00v\x00e",
    "two documents": text("us") + "---\n" + text("eu"),
    "typo": text("us").replace("routes:", "rotes:"),
    "unknown backend": text("us").replace("on: [us]", "on: [su]"),
    "bomb": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "deep": "a: " + "[" * 5_000,
    "huge": text("us") + "#" * 1_200_000,
    "variable not set": text("us") + "environment: ${NOBODY_SET_THIS}\n",
    "test fails": text("us", more="tests: [{given: {}, expect: {route: other}}]"),
    "a key": text("us") + "environment: sk-proj-0123456789abcdef0123456789abcdef\n",
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
async def test_a_wrong_file_leaves_the_last_good_policy_in_force(
    tmp_path: Path, content: str | bytes
) -> None:
    """It is told to whoever asked, and in the status until a later reload goes well."""
    path = tmp_path / "team.yaml"
    async with reloading(path, text("eu")) as here:
        first = here.router.policy
        put(path, content)
        for attempt in (1, 2):
            with pytest.raises(PolicyError) as caught:
                await here.router.reload()
            assert caught.value.source == str(path)
            status = here.router.status()
            assert (status.reloads, status.failed) == (0, attempt)
            assert status.last_error == str(caught.value)[:1_999] + "…" * (
                len(str(caught.value)) > 2_000
            )
            assert status.last_error_at is not None
        assert here.router.policy is first
        assert routed(await here.chat()) == (first.version, "all", "eu")
        put(path, text("us"))
        assert await here.router.reload()
        status = here.router.status()
        assert (status.reloads, status.failed, status.last_error) == (1, 2, None)
        assert routed(await here.chat())[2] == "us"


async def test_each_caller_gets_an_error_of_his_own(tmp_path: Path) -> None:
    """One object raised to many would carry the frames of all of them."""
    path = tmp_path / "team.yaml"
    async with reloading(path, text("eu")) as here:
        put(path, "nonsense")
        results = await many(5, 5, lambda _: here.router.reload())
        assert len({id(error) for error in results}) == 5
        assert {type(error) for error in results} == {PolicyError}


# Keys


async def test_a_reload_reads_keys_anew(tmp_path: Path) -> None:
    """A key that was exchanged takes effect with the next request, and ends what the old one caused."""
    path = tmp_path / "team.yaml"
    environ = {"KEY": KEY}
    replies = {"eu": lambda sent: GOOD if ROTATED in sent.headers["authorization"] else no_key}
    no_key = Reply.status(401)
    async with reloading(path, text("eu", "us"), replies, environ=environ) as here:
        assert routed(await here.chat())[2] == "us"
        assert "credential gate" in here.router.explain(task="t").refusals[0]
        assert await here.router.reload() is False
        assert routed(await here.chat())[2] == "us"
        environ["KEY"] = ROTATED
        assert await here.router.reload() is True
        assert routed(await here.chat())[2] == "eu"


async def test_a_key_that_is_set_at_last_is_used(tmp_path: Path) -> None:
    """The backend was left alone for want of it."""
    path = tmp_path / "team.yaml"
    environ = {"KEY": KEY}
    content = text("eu", "us", keys={"eu": "EU_KEY"})
    async with reloading(path, content, environ=environ) as here:
        assert routed(await here.chat())[2] == "us"
        environ["EU_KEY"] = ROTATED
        assert await here.router.reload() is True
        assert routed(await here.chat())[2] == "eu"
        assert here.wire.sent_to("eu.test")[0].headers["authorization"] == f"Bearer {ROTATED}"


# Together


async def test_reloads_at_the_same_time_share_a_load(tmp_path: Path) -> None:
    """A hundred callers, some of them cancelled, cost a handful of loads, and all see the new policy."""
    path = tmp_path / "team.yaml"
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    async with reloading(path, text("eu"), meter_provider=provider) as here:
        put(path, text("us"))
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(here.router.reload()) for _ in range(100)]
        await settle()
        for task in tasks[::3]:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks[::3])
        assert all(isinstance(task.result(), bool) for task in tasks[1::3] + tasks[2::3])
        assert routed(await here.chat())[2] == "us"
        assert sum(counted(reader).values()) <= 4
    provider.shutdown()


def counted(reader: InMemoryMetricReader) -> dict[str, int]:
    """The counter's value by outcome; the name of the policy is on every one."""
    data = reader.get_metrics_data()
    if data is None:
        return {}
    told = data.resource_metrics[0].scope_metrics[0].metrics  # of the requests too
    metric = next((one for one in told if one.name == semconv.POLICY_RELOADS), None)
    if metric is None:
        return {}
    assert metric.unit == "{reload}"
    points = metric.data.data_points
    assert {point.attributes[semconv.POLICY_NAME] for point in points} == {"team"}
    return {point.attributes[semconv.OUTCOME]: point.value for point in points}


async def test_reloads_are_counted_by_outcome(tmp_path: Path) -> None:
    """In the metric and in the status."""
    path = tmp_path / "team.yaml"
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    async with reloading(path, text("eu"), meter_provider=provider) as here:
        for content in (text("eu"), text("us"), "wrong", text("us"), text("eu")):
            put(path, content)
            await many(1, 1, lambda _: here.router.reload())
        assert counted(reader) == {"unchanged": 2, "ok": 2, "failed": 1}
        status = here.router.status()
        assert (status.reloads, status.failed) == (2, 1)
    provider.shutdown()


class Broken(MeterProvider):
    """A meter provider of an application that is not well."""

    def get_meter(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no meter today")


async def test_metrics_that_fail_harm_no_reload(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once."""
    path = tmp_path / "team.yaml"
    provider = Broken()
    async with reloading(path, text("eu"), meter_provider=provider) as here:
        for content in (text("us"), text("eu")):
            put(path, content)
            assert await here.router.reload() is True
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "tracing failed with RuntimeError; requests go on, metrics may be missing (this is said once)"
    ]
    provider.shutdown()


# What is left


def alive(kind: type) -> int:
    """How many objects of a class there are."""
    gc.collect()
    return sum(type(one) is kind for one in gc.get_objects())


def test_former_policies_are_collected(tmp_path: Path) -> None:
    """With all that was remembered for them; only the source keeps the last few."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        before = alive(Policy)
        async with reloading(path, text("eu", "us")) as here:
            for number in range(60):
                put(path, text("eu", "us", route=f"r{number}"))
                assert await here.router.reload()
                assert routed(await here.chat())[1] == f"r{number}"
            assert alive(Policy) - before <= REMEMBERED_MAX
            assert len(here.router._engine._targets._targets) <= 2

    run_in_virtual_time(main)


async def test_a_closed_router_reloads_nothing(tmp_path: Path) -> None:
    """Nor does its thread live on."""
    path = tmp_path / "team.yaml"
    put(path, text("eu"))
    before = set(threading.enumerate())
    async with Router.from_file(path, environ={"KEY": KEY}) as router:
        put(path, text("us"))
        under_way = asyncio.get_running_loop().create_task(router.reload())
        await settle()
    with pytest.raises(RouterClosed, match="closed"):
        await under_way
    with pytest.raises(RouterClosed, match="closed"):
        await router.reload()
    assert set(threading.enumerate()) == before
    assert router.status().version == router.policy.version
    never = Router.from_file(path, environ={})
    await never.aclose()
    with pytest.raises(RouterClosed, match="closed"):
        await never.reload()


def test_a_router_is_reloaded_in_its_own_event_loop(tmp_path: Path) -> None:
    """Or in another one, when the first is no more."""
    path = tmp_path / "team.yaml"
    put(path, text("eu"))
    router = Router.from_file(path, environ={})
    with asyncio.Runner() as first:
        assert first.run(router.reload()) is False
        with asyncio.Runner() as second, pytest.raises(RouterClosed, match="another event loop"):
            second.run(router.reload())
    put(path, text("us"))

    async def last() -> None:
        assert await router.reload() is True
        await router.aclose()

    asyncio.run(last())


async def test_a_router_without_a_file_says_so() -> None:
    """And what to do instead."""
    async with Router.from_text(text("eu"), environ={}) as router:
        with pytest.raises(InvalidRequest, match=r"not made from a file.*from_file"):
            await router.reload()
        status = router.status()
        assert (status.file, status.watching, status.reloads) == (None, False, 0)
