"""Volumes of real routers: requests are sent, days pass, the file is SQLite, processes end."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from hybridllm import Plan, Router, receipt
from hybridllm.testing import LoopClock, Reply, ScriptedWire, no_leaks, run_in_virtual_time
from volume.counted import text

DAY_S = 86_400.0
SUSTAINED = "volume: {tokens_per_day: {gte: 500M}, sustained: 3d}"
MUCH = Reply.chat("yes", usage=(400_000_000, 200_000_000))
LITTLE = Reply.chat("yes", usage=(1_000, 100))
KILLED = Path(__file__).with_name("killed_counter.py")


@asynccontextmanager
async def routing(
    rules: str, path: Path | None, *, reply: Reply = MUCH
) -> AsyncIterator[tuple[Router, ScriptedWire]]:
    """A router over scripted backends, and nothing left of it."""
    wire = ScriptedWire({"api.test": reply, "own.test": reply})
    async with (
        no_leaks(),
        Router.from_text(
            rules, environ={}, wire=wire, clock=LoopClock(), volume_file=path
        ) as router,
    ):
        yield router, wire


async def asked(router: Router, **params: Any) -> str:
    """The backend that answered."""
    answer = await router.chat.completions.create(
        messages=[{"role": "user", "content": "Is it?"}], **params
    )
    return receipt(answer).attempts[-1].backend


def counted(path: Path) -> list[tuple[int, int]]:
    """Requests and prompt tokens of each day in a file."""
    connection = sqlite3.connect(path)
    with closing(connection):
        return connection.execute(
            "SELECT requests, tokens_in FROM hybridllm_volume_days WHERE scope = 'all' ORDER BY day"
        ).fetchall()


def explained(router: Router, **params: Any) -> str:
    """The backend that would be asked first."""
    plan = router.explain(**params).plan
    assert isinstance(plan, Plan)
    return plan.kept[0].candidate.backend.name


def test_sustained_volume_switches_after_days_and_restarts(tmp_path: Path) -> None:
    """Three days of it, with a restart on each; `explain` says what a call does; then it stays."""

    async def main() -> None:
        path, served = tmp_path / "volumes.db", []
        for day in range(5):
            async with routing(text(SUSTAINED), path) as (router, _):
                first = explained(router)  # before anything was sent
                served.append(await asked(router))
                assert first == served[-1] == explained(router)
                if day == 1:
                    (row,) = router.status().volumes
                    assert (row.days, row.days_needed, row.holds) == (1, 3, False)
                await asyncio.sleep(DAY_S)
        assert served == ["api"] * 3 + ["own"] * 2

    run_in_virtual_time(main)


def test_without_a_file_everything_is_forgotten_with_the_router(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One warning says so."""

    async def main() -> None:
        async with routing(text(SUSTAINED), None) as (router, _):
            served = []
            for _ in range(5):
                served.append(await asked(router))
                await asyncio.sleep(DAY_S)
            assert served == ["api"] * 3 + ["own"] * 2
        async with routing(text(SUSTAINED), None) as (router, _):
            assert await asked(router) == "api"

    run_in_virtual_time(main)
    warned = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert len(warned) == 2  # one router, one warning
    assert "volume_file" in warned[0]


def test_a_status_tells_what_each_condition_looks_at() -> None:
    """To people and machines."""
    rules = text(
        "volume: {requests_per_minute: {gte: 3}}",
        "volume: {usd_per_day: {gte: 0.5}, of: tenant}",
        "break_even: above",
        capacity="price: free, capacity: {usd_per_month: 1500}",
    )

    async def main() -> None:
        async with routing(rules, None, reply=LITTLE) as (router, _):
            for _ in range(2):
                await asked(router, tenant="acme")
            await asyncio.sleep(2)
            told = json.loads(json.dumps(router.status().to_dict()))["volumes"]
            assert [row["now"] for row in told] == [2.0, None, None]
            assert told[0] | {"condition": "", "share": 0} == {
                "condition": "",
                "whose": "",
                "holds": False,
                "since": None,
                "now": 2.0,
                "enter": 3.0,
                "exit": 2.7,
                "days": None,
                "days_needed": None,
                "share": 0,
                "text": "",
            }
            await asked(router)
            await asyncio.sleep(2)
            await asked(router)
            row = router.status().volumes[0]
            assert row.holds
            assert row.since is not None
            assert (
                "volume requests_per_minute gte 3: HOLDS since 2026-01-01T00:00:04+00:00; 4; "
                "begins at 3, ends at 2.70" in str(router.status()).splitlines()
            )

    run_in_virtual_time(main)


def test_before_anything_is_counted_a_status_tells_the_conditions() -> None:
    """No event loop is needed."""
    router = Router.from_text(text("volume: {usd_per_day: {lt: 5}}"), environ={})
    (row,) = router.status().volumes
    assert (row.condition, row.now, row.enter, row.exit) == (
        "volume usd_per_day lt 5",
        None,
        5.0,
        5.5,
    )


def test_attempts_that_failed_and_streams_count_when_they_end(tmp_path: Path) -> None:
    """What a backend did not report is estimated; a request is one, however many it took."""
    path = tmp_path / "volumes.db"

    async def main() -> None:
        async with routing(text(SUSTAINED), path, reply=LITTLE) as (router, wire):
            wire.script("api.test", [Reply.status(503), Reply.chat_stream(["a", "b"])])
            assert await asked(router) == "own"
            stream = await router.chat.completions.create(
                messages=[{"role": "user", "content": "Is it?"}], stream=True
            )
            async for _ in stream:
                pass
            wire.script("api.test", Reply.hang())
            task = asyncio.get_running_loop().create_task(asked(router))
            await asyncio.sleep(1)
            task.cancel()

    run_in_virtual_time(main)
    ((requests, tokens_in),) = counted(path)
    assert requests == 3
    assert tokens_in > 1_000


def test_an_overflow_leaves_a_backend_whose_budget_of_the_day_is_used_up() -> None:
    """And comes back on the next day, UTC."""
    more = ", overflow: {from: api, to: [own], when: {budget: {usd: 0.9, per: day}}}"
    dear = Reply.chat("yes", usage=(100_000, 150_000))  # 0.40 USD

    async def main() -> None:
        async with routing(text(more=more), None, reply=dear) as (router, _):
            served = []
            for _ in range(5):
                served.append(await asked(router))
                await asyncio.sleep(2)
            assert served == ["api"] * 3 + ["own"] * 2
            await asyncio.sleep(DAY_S)
            assert await asked(router) == "api"

    run_in_virtual_time(main)


def test_a_router_goes_on_counting_in_the_next_event_loop(tmp_path: Path) -> None:
    """The loop that ends writes what came, though nobody has closed the router."""
    path = tmp_path / "volumes.db"
    wire = ScriptedWire({"api.test": LITTLE, "own.test": LITTLE})
    router = Router.from_text(
        text(SUSTAINED), environ={}, wire=wire, clock=LoopClock(), volume_file=path
    )

    async def once() -> None:
        await asked(router)

    for count in (1, 2):
        run_in_virtual_time(once)
        assert counted(path) == [(count, count * 1_000)]
    run_in_virtual_time(router.aclose)


async def test_a_router_in_another_threads_loop_is_closed_there(tmp_path: Path) -> None:
    """What it has counted is in the file when `aclose` returns, wherever that was called; twice, too."""
    path = tmp_path / "volumes.db"
    wire = ScriptedWire({"api.test": LITTLE, "own.test": LITTLE})
    router = Router.from_text(text(SUSTAINED), environ={}, wire=wire, volume_file=path)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        there = asyncio.run_coroutine_threadsafe(asked(router), loop)
        assert await asyncio.wrap_future(there) == "api"
        async with asyncio.TaskGroup() as group:
            group.create_task(router.aclose())
            group.create_task(router.aclose())
        assert counted(path) == [(1, 1_000)]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_killed_process_loses_at_most_what_came_since_the_last_writing(tmp_path: Path) -> None:
    """And its file is whole: the next one counts on."""
    path = tmp_path / "volumes.db"

    async def main() -> None:
        async with routing(
            text(SUSTAINED), path, reply=Reply.chat("yes", usage=(1_000, 0))
        ) as here:
            await asked(here[0])

    done = subprocess.run(
        [sys.executable, KILLED, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert counted(path) == [(5, 5_000)]
    run_in_virtual_time(main)
    assert counted(path) == [(6, 6_000)]


def test_a_broken_file_stops_no_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Volumes are counted in memory, and the file is left as it is."""
    path = tmp_path / "volumes.db"
    path.write_bytes(b"this is somebody's letter" * 400)

    async def main() -> None:
        async with routing(text("volume: {requests_per_hour: {gte: 2}}"), path) as (router, _):
            served = []
            for _ in range(4):
                served.append(await asked(router))
                await asyncio.sleep(2)
            assert served == ["api"] * 2 + ["own"] * 2

    run_in_virtual_time(main)
    assert "cannot be used: file is not a database" in caplog.text
    assert "the latest counts are lost" in caplog.text
    assert path.read_bytes().startswith(b"this is somebody's letter")
    assert list(tmp_path.iterdir()) == [path]


def test_a_policy_without_such_conditions_starts_neither_task_nor_thread() -> None:
    """Nothing is counted, and SQLAlchemy is not loaded."""

    async def main() -> None:
        async with routing(text(), None) as (router, _):
            await asked(router)
            names = [task.get_name() for task in asyncio.all_tasks()]
            assert "hybridllm-volumes" not in names

    run_in_virtual_time(main)


def test_a_reload_that_brings_a_condition_begins_to_count(tmp_path: Path) -> None:
    """In the router that is there."""
    file = tmp_path / "team.yaml"
    file.write_text(text())

    async def main() -> None:
        wire = ScriptedWire({"api.test": LITTLE, "own.test": LITTLE})
        async with (
            no_leaks(),
            Router.from_file(file, environ={}, wire=wire, clock=LoopClock()) as router,
        ):
            assert await asked(router) == "api"
            file.write_text(text("volume: {requests_per_hour: {gte: 2}}"))
            assert await router.reload()
            served = []
            for _ in range(4):
                served.append(await asked(router))
                await asyncio.sleep(2)
            assert served == ["api"] * 2 + ["own"] * 2

    run_in_virtual_time(main)
