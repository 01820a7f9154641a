"""Processes that write one ledger are killed again and again, under load: no receipt that was seen is lost.

Two at a time, so that one takes over what another has left while it is at work itself. They get SIGKILL in
the middle of whatever they do; nothing is flushed, closed or said goodbye to.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from counted import PartOf
from hybridllm._core.money.pico import usd_of
from ledger.routers import attempts, requests, routing

APP = Path(__file__).with_name("killed_router.py")
KILLS = 100
SECONDS = (0.1, 0.8)


def killed(folder: Path, *, kills: int, draw: random.Random) -> None:
    """Have processes asking, two at a time, until so many were killed."""
    with subprocess.Popen(
        [sys.executable, str(APP), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as app:
        assert app.stdin is not None
        assert app.stdout is not None

        def told(word: str) -> int:
            assert app.stdin is not None
            assert app.stdout is not None
            app.stdin.write(f"{word}\n")
            app.stdin.flush()
            return int(app.stdout.readline())

        alive: list[int] = []
        left = kills
        while left or alive:
            while left and len(alive) < 2:
                alive.append(told("begin"))
                left -= 1
            sleep_s = draw.uniform(*SECONDS)
            time.sleep(sleep_s)
            os.kill(alive.pop(0), signal.SIGKILL)
            assert told("wait") == -signal.SIGKILL, (folder / "log").read_text(encoding="utf-8")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_no_receipt_that_was_seen_is_lost_and_none_is_there_twice(
    tmp_path: Path, part_of: PartOf
) -> None:
    """Of every request that ended, its row and those of all its attempts, at its cost.

    With `--full` a hundred kills, without eight.
    """
    killed(tmp_path, kills=part_of(KILLS, 0.08), draw=random.Random(6))
    place = tmp_path / "ledger.db"

    async def taken_over() -> None:
        async with routing(place):
            for _ in range(200):
                await asyncio.sleep(0.02)
                if len(list((tmp_path / "ledger.db.pending").glob("*.rows"))) <= 1:
                    break

    asyncio.run(taken_over())
    lines = (tmp_path / "seen").read_text(encoding="utf-8").splitlines()
    seen = {one.split()[0]: one.split()[1:] for one in lines if len(one.split()) == 3}
    rows, found = attempts(place), {row.request_id: row for row in requests(place)}
    tried = Counter(row.request_id for row in rows)
    assert len(seen) > 100
    assert set(seen) - set(found) == set(), "receipts were lost"
    wrong = [
        key
        for key, (cost, count) in seen.items()
        if usd_of(found[key].cost_pico or 0) != Decimal(cost) or tried[key] != int(count)
    ]
    assert wrong == []
    with closing(sqlite3.connect(place)) as connection:
        ids = "SELECT count(*), count(DISTINCT attempt_id) FROM hybridllm_attempts"
        assert len(set(connection.execute(ids).fetchone())) == 1
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    assert {row.outcome for row in rows} >= {"served", "failed", "unknown"}
    assert [row for row in rows if row.outcome == "intent"] == []
    unknown = [row for row in rows if row.outcome == "unknown"]
    assert all(row.usage_source == "estimated" and row.cost_pico for row in unknown)
    assert {row.output_tokens for row in unknown} == {50}
    assert all(row.request_id not in seen for row in unknown)
    print(
        f"{len(seen)} receipts seen, {len(found)} requests, {len(rows)} attempts, {len(unknown)} unknown"
    )
