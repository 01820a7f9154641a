"""Processes that have one file have one budget, whoever is first, and whoever is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from budgets.sharing import shared, two_usd
from hybridllm import BudgetExceeded, LedgerError, receipt
from hybridllm._adapters.ledger.budget_store import BudgetFile
from hybridllm._core.budget.admit import Balance
from hybridllm.testing import Reply

TESTS = Path(__file__).parents[1]
COST = 2_000_020_000_000  # of one call, in 10^-12 USD
RESERVED = 2_000_010_000_000


def spender(file: Path, calls: int, seconds: float = 0.0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "budgets.spender", str(file), str(calls), str(seconds)],
        cwd=TESTS,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},  # noqa: TID251 - of what is started
        stdout=subprocess.PIPE,
        text=True,
    )


def balance(file: Path) -> Balance:
    """Of the one account that there is."""
    (found,) = BudgetFile(file).look(0).balances.values()
    return found


def test_two_processes_on_one_file_admit_two_requests_of_2_usd_in_all(tmp_path: Path) -> None:
    """25 at once in each, of a budget of 5."""
    file = tmp_path / "ledger.db"
    processes = [spender(file, 25) for _ in range(2)]
    told = [process.communicate(timeout=60)[0].split() for process in processes]
    assert sum(int(words[-1]) for words in told) == 2
    assert balance(file) == Balance(spent=2 * COST)


def test_what_a_killed_process_had_reserved_counts_as_spent(tmp_path: Path) -> None:
    """It may be billed, and nobody will say how much: so it counts in full, once its lease is over."""
    file = tmp_path / "ledger.db"
    process = spender(file, 1, 60.0)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    assert balance(file) == Balance(reserved=RESERVED)
    time.sleep(0.3)
    store = BudgetFile(file, lease_s=0.2)
    store.carry_out([])
    store.close()
    assert balance(file) == Balance(spent=RESERVED)


def test_what_was_spent_is_there_when_a_router_starts_again(tmp_path: Path) -> None:
    """Two today; the next run of the same day has 1 USD left."""
    file = tmp_path / "ledger.db"

    async def run(expected: Decimal) -> None:
        async with shared(file) as router:
            await two_usd(router) if expected else await asyncio.sleep(0)
            known = list(router._budgets().known().values())
            assert sum(one.spent + one.reserved for one in known) > 0

    async def main() -> None:
        await run(Decimal(2))
        await run(Decimal(2))
        async with shared(file) as router:
            assert list(router._budgets().known().values()) == [Balance(2 * COST)]
            with pytest.raises(BudgetExceeded) as caught:
                await two_usd(router)
            assert caught.value.spent_usd == Decimal("4.00004")

    asyncio.run(main())


def test_a_process_taken_for_dead_that_was_not_pays_what_it_cost_and_no_more(
    tmp_path: Path,
) -> None:
    """A loop that was stuck for longer than the lease: what counted as spent is put right in the end."""
    file = tmp_path / "ledger.db"

    async def main() -> None:
        answer = Reply.chat("yes", usage=(20, 10))
        async with shared(file, takes_s=0.5, answer=answer) as router:
            asking = asyncio.ensure_future(two_usd(router))
            while not router._budgets().known():
                await asyncio.sleep(0.01)
            other = BudgetFile(file, lease_s=0.0)
            await asyncio.to_thread(other.carry_out, [])
            other.close()
            assert balance(file) == Balance(spent=RESERVED)
            cost = receipt(await asking).cost_usd
            assert cost == Decimal("0.00004")
        assert balance(file) == Balance(spent=40_000_000)

    asyncio.run(main())


def test_where_the_file_cannot_be_looked_at_nothing_is_sent(tmp_path: Path) -> None:
    """A budget that nobody knows has no room; what is under way is settled once the file is back."""
    file = tmp_path / "ledger.db"
    file.write_bytes(b"no database, however long it is looked at " * 100)

    async def main() -> None:
        async with shared(file) as router:
            with pytest.raises(LedgerError, match="file is not a database"):
                await two_usd(router)
            file.unlink()
            await two_usd(router)
        assert balance(file) == Balance(spent=COST)

    asyncio.run(main())


def test_a_caller_who_leaves_while_the_file_is_asked_holds_nothing(tmp_path: Path) -> None:
    """Wherever the cancellation finds it: before, in or after the transaction."""
    file = tmp_path / "ledger.db"

    async def main() -> None:
        async with shared(file, takes_s=0.05) as router:
            for wait_s in (None, 0.0, 0.001, 0.002, 0.004, 0.01, 0.03):
                asking = asyncio.ensure_future(two_usd(router))
                if wait_s is not None:
                    await asyncio.sleep(wait_s)
                asking.cancel()
                await asyncio.wait([asking])
        found = BudgetFile(file).look(0).balances.values()
        assert sum(one.reserved for one in found) == 0

    asyncio.run(main())


def test_a_locked_file_is_waited_for_off_the_loop(tmp_path: Path) -> None:
    """The event loop goes on while another program holds the file."""
    file = tmp_path / "ledger.db"

    async def main() -> None:
        async with shared(file) as router:
            await two_usd(router)
            lock = sqlite3.connect(file, isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            asking = asyncio.ensure_future(two_usd(router))
            ticks = 0
            while ticks < 20:
                await asyncio.sleep(0.01)
                ticks += 1
            assert not asking.done()
            lock.execute("ROLLBACK")
            lock.close()
            await asking

    asyncio.run(main())
