"""`watch=True`: a file that changes is taken once it is whole; whatever else happens to it does no harm."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hybridllm import InvalidRequest, Router
from hybridllm.testing import LoopClock, no_leaks, run_in_virtual_time
from policy.policy_text import load
from runtime.reloading import put, reloading, text
from runtime.world import KEY, Script

BESIDE = "tests: [{given: {}, expect: {route: %s}}]\n"


def watched(
    path: Path, then: Callable[[Script], Awaitable[None]], content: str = "", **options: Any
) -> None:
    """Run a router that watches a file once a second, in virtual time."""

    async def main() -> None:
        async with reloading(path, content or text("eu"), watch=True, **options) as here:
            await then(here)

    run_in_virtual_time(main)


def route(here: Script) -> str:
    return here.router.policy.routes[0].name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "team.yaml"


def test_a_file_that_was_replaced_is_taken_after_two_looks(path: Path) -> None:
    """Between them it stood still; a touch alone changes nothing."""

    async def then(here: Script) -> None:
        assert here.router.status().watching
        await asyncio.sleep(5.5)
        put(path, text("eu", route="second"))
        await asyncio.sleep(1.4)
        assert route(here) == "all"
        await asyncio.sleep(0.7)
        assert route(here) == "second"
        policy = here.router.policy
        path.touch()
        await asyncio.sleep(3)
        assert here.router.policy is policy
        assert here.router.status().reloads == 1

    watched(path, then)


def test_how_often_is_said_by_the_application(path: Path) -> None:
    """`watch_s`; what is no time is refused."""

    async def then(here: Script) -> None:
        put(path, text("eu", route="second"))
        await asyncio.sleep(2 * 0.05 + 0.06)
        assert route(here) == "second"

    watched(path, then, watch_s=0.05)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(InvalidRequest, match="watch_s"):
            Router.from_file(path, environ={}, watch=True, watch_s=wrong)


def test_a_file_that_is_being_written_is_not_taken_before_it_is_whole(path: Path) -> None:
    """A half of this one would be a good policy, without its constraint."""
    constraint = "constraints: [{name: ours, when: {}, allow: {backends: [us]}}]\n"
    whole = text("us", route="second") + constraint
    half = whole.removesuffix(constraint)
    load(half, KEY=KEY)

    async def then(here: Script) -> None:
        await asyncio.sleep(0.98)
        for size in range(len(half), len(whole) + 1, 4):
            path.write_text(whole[:size])
            assert route(here) == "all"
            await asyncio.sleep(0.03)
        path.write_text(whole)
        await asyncio.sleep(2.1)
        assert [rule.name for rule in here.router.policy.constraints] == ["ours"]
        assert here.router.status().failed == 0

    watched(path, then)


@pytest.mark.parametrize("begins_s", [0.0, 0.3, 0.65, 0.95, 0.999])
def test_a_writer_who_pauses_does_no_harm(path: Path, begins_s: float) -> None:
    """For less than a look, whenever he begins: a part that would be a good policy is never in force."""
    constraint = "constraints: [{name: ours, when: {}, allow: {backends: [us]}}]\n"
    whole = text("us", route="second") + constraint

    async def then(here: Script) -> None:
        await asyncio.sleep(2 + begins_s)
        path.write_text(whole.removesuffix(constraint))
        for _ in range(8):
            await asyncio.sleep(0.05)
            assert route(here) == "all"
        path.write_text(whole)
        await asyncio.sleep(2.1)
        assert [rule.name for rule in here.router.policy.constraints] == ["ours"]
        assert (here.router.status().reloads, here.router.status().failed) == (1, 0)

    watched(path, then)


def test_a_file_that_is_touched_all_the_time_is_told_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for its policy in vain without a word; it is taken when it stands still."""

    async def then(here: Script) -> None:
        put(path, text("eu", route="second"))
        for number in range(50):
            os.utime(path, ns=(number, number))
            await asyncio.sleep(1)
        status = here.router.status()
        assert (route(here), status.failed) == ("all", 2)  # one for each 20 looks
        await asyncio.sleep(2.1)
        assert (route(here), here.router.status().last_error) == ("second", None)

    watched(path, then)
    (record,) = caplog.records
    assert "is being written all the time" in record.getMessage()


def test_a_writer_who_dies_leaves_the_last_good_policy_in_force(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a file is told once, however long it lies there; the rest of it mends everything."""
    whole = text("us", route="second")

    async def then(here: Script) -> None:
        path.write_text(whole[:150])
        await asyncio.sleep(60)
        status = here.router.status()
        assert (route(here), status.failed, status.watching) == ("all", 1, True)
        assert str(path) in (status.last_error or "")
        path.write_text(whole)
        await asyncio.sleep(2.1)
        assert (route(here), here.router.status().last_error) == ("second", None)

    watched(path, then)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("hybridllm.reload", "WARNING")
    assert "team sha256:" in record.getMessage()
    assert "stays in force" in record.getMessage()


def test_a_wrong_content_is_logged_once_and_counted_each_time(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another wrong content is told, too."""
    caplog.set_level(logging.INFO, "hybridllm.reload")

    async def then(here: Script) -> None:
        for content in ("wrong: 1", "wrong: 2", "wrong: 1", text("eu"), "wrong: 1"):
            put(path, content)
            await asyncio.sleep(3)
        assert here.router.status().failed == 4
        put(path, text("us"))
        await asyncio.sleep(3)

    watched(path, then)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]
    assert "follows sha256:" in caplog.records[-1].getMessage()


def test_a_file_that_is_missing_for_a_moment_is_no_failure(path: Path) -> None:
    """Somebody deletes it and writes it anew."""

    async def then(here: Script) -> None:
        await asyncio.sleep(0.9)
        path.unlink()
        await asyncio.sleep(0.8)
        put(path, text("eu", route="second"))
        await asyncio.sleep(2.1)
        assert (route(here), here.router.status().failed) == ("second", 0)

    watched(path, then)


def test_a_file_that_stays_away_is_one_failure_and_may_come_back(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Meanwhile requests are answered by the policy that was there."""

    async def then(here: Script) -> None:
        path.unlink()
        await asyncio.sleep(30)
        status = here.router.status()
        assert status.failed == 1
        assert "cannot be read: No such file" in (status.last_error or "")
        await here.chat()
        put(path, text("eu"))
        await asyncio.sleep(3)
        status = here.router.status()
        assert (status.failed, status.reloads, status.last_error) == (1, 0, None)

    watched(path, then)
    assert len(caplog.records) == 1


def test_a_config_map_is_exchanged_as_kubernetes_does_it(tmp_path: Path) -> None:
    """The file is a link to `..data/team.yaml`, `..data` a link to a folder, and that one is replaced."""

    def publish(folder: str, content: str) -> None:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "team.yaml").write_text(content)
        (tmp_path / "..data_tmp").symlink_to(folder)
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")

    async def main() -> None:
        publish("..2026_11_20_1", text("eu"))
        (tmp_path / "team.yaml").symlink_to("..data/team.yaml")
        path = tmp_path / "team.yaml"
        async with (
            no_leaks(),
            Router.from_file(path, environ={}, clock=LoopClock(), watch=True) as router,
        ):
            for number in range(2, 5):
                publish(f"..2026_11_20_{number}", text("eu", route=f"r{number}"))
                await asyncio.sleep(2.1)
                assert router.policy.routes[0].name == f"r{number}"
            (tmp_path / "..data").unlink()
            await asyncio.sleep(0.5)
            publish("..2026_11_20_5", text("eu", route="r5"))
            await asyncio.sleep(2.1)
            assert router.policy.routes[0].name == "r5"
            assert (router.status().reloads, router.status().failed) == (4, 0)

    run_in_virtual_time(main)


def test_a_rewrite_with_the_same_size_and_time_is_noticed(path: Path) -> None:
    """As `rsync --times` or an archive may leave it."""

    async def then(here: Script) -> None:
        await asyncio.sleep(3)
        times = path.stat()
        path.write_text(text("eu", route="lla"))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        await asyncio.sleep(2.1)
        assert route(here) == "lla"

    watched(path, then)


def test_the_tests_beside_the_file_are_watched_too(path: Path) -> None:
    """A policy whose tests no longer hold is not put in force; nor is the one in force taken away."""
    beside = path.with_name("team.test.yaml")
    beside.write_text(BESIDE % "all")

    async def then(here: Script) -> None:
        put(path, text("eu", route="second"))
        await asyncio.sleep(3)
        assert (route(here), here.router.status().failed) == ("all", 1)
        beside.write_text(BESIDE % "second")
        await asyncio.sleep(3)
        assert (route(here), here.router.status().last_error) == ("second", None)

    watched(path, then)


# Beginning and end


async def test_a_watch_begins_with_the_first_request_and_ends_with_the_router(path: Path) -> None:
    """Without `async with`, too; afterwards there is no task and no thread."""
    put(path, text("eu"))
    threads = set(threading.enumerate())
    async with no_leaks():
        before = asyncio.all_tasks()
        router = Router.from_file(path, environ={}, watch=True, watch_s=0.01)
        router.explain(task="t")
        assert not router.status().watching
        with pytest.raises(Exception, match="key"):
            await router.chat.completions.create(messages=[{"role": "user", "content": "hi"}])
        assert router.status().watching
        (watcher,) = asyncio.all_tasks() - before
        assert str(path) in watcher.get_name()
        await asyncio.sleep(0.05)
        assert set(threading.enumerate()) > threads
        await router.aclose()
        assert watcher.done()
        assert not router.status().watching
    assert set(threading.enumerate()) == threads


async def test_a_router_that_does_not_watch_starts_nothing(path: Path) -> None:
    """Neither task nor thread, before somebody reloads it."""
    threads, tasks = set(threading.enumerate()), asyncio.all_tasks()
    async with reloading(path, text("eu")) as here:
        await here.chat()
        assert asyncio.all_tasks() == tasks
        assert set(threading.enumerate()) == threads
        assert not here.router.status().watching
