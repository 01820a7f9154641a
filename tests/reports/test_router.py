"""A router tells its ledger what its machines cost, and settles each day when the next one comes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import sleep

import hybridllm
from hybridllm import LedgerReader, Router
from hybridllm._adapters.ledger.fixed_days import fixed_days
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time

POLICY = """
version: 1
backends:
  own:
    kind: vllm
    base_url: https://own.test/v1
    operator: self
    price: free
    capacity: {usd_per_month: 1500, hidden_usd_per_month: 300, tokens_per_second: 600}
models: {qwen3-32b: {on: {own: qwen3-32b}}}
routes: [{name: default, use: [qwen3-32b]}]
"""
ASKED = {"messages": [{"role": "user", "content": "Hi"}]}


async def asks(path: Path, text: str, *, at: datetime, hours: int, every: int = 1) -> None:
    """A request every so many hours, over some hours."""
    wire = ScriptedWire({"own.test": Reply.chat("Hi", usage=(500, 100))})
    clock = LoopClock(utc=at)
    async with Router.from_text(text, wire=wire, clock=clock, ledger=path) as router:
        for n in range(0, hours, every):
            await router.chat.completions.create(**ASKED, tenant="acme" if n % 2 else "globex")
            await asyncio.sleep(every * 3_600)


def said(path: Path):
    with LedgerReader(path).connected() as connection:
        return fixed_days(connection)


def test_a_simulated_months_rows_sum_to_the_bill_to_the_cent(tmp_path: Path) -> None:
    """Receipts, rows and the report; the month is settled while it goes on, its last day at its end."""
    path = tmp_path / "ledger.db"
    began = datetime(2026, 2, 1, 0, 1, tzinfo=UTC)
    run_in_virtual_time(lambda: asks(path, POLICY, at=began, hours=28 * 24, every=5))

    assert len([one for one in said(path) if one.settled_us is not None]) >= 27
    now = datetime(2026, 3, 1, 1, tzinfo=UTC)
    hybridllm.settle(path, now=now)
    rows = list(LedgerReader(path).attempts())
    assert sum(row.fixed_pico or 0 for row in rows) == 1_800 * 10**12
    report = hybridllm.costs(path, by=["tenant"], since="2026-02", now=now)
    assert report.total.spent_usd == Decimal(1800)
    assert report.provisional_days == ()


def test_a_machine_that_leaves_the_policy_costs_nothing_from_then_on(tmp_path: Path) -> None:
    """The policy of the same name that said what it costs says no more of it."""
    path = tmp_path / "ledger.db"
    day = datetime(2026, 2, 1, 12, tzinfo=UTC)
    run_in_virtual_time(lambda: asks(path, POLICY, at=day, hours=1))
    bare = "\n".join(line for line in POLICY.splitlines() if "capacity" not in line)
    run_in_virtual_time(lambda: asks(path, bare, at=day.replace(day=4), hours=1))
    settled = hybridllm.settle(path, now=day.replace(day=9))
    assert {one.day for one in [*settled, *said(path)] if one.bill_pico} == {
        "2026-02-01",
        "2026-02-02",
        "2026-02-03",
    }


def test_a_policy_without_machines_leaves_no_word(tmp_path: Path) -> None:
    """And pays for no look at the ledger."""
    path = tmp_path / "ledger.db"
    bare = "\n".join(line for line in POLICY.splitlines() if "capacity" not in line)
    run_in_virtual_time(lambda: asks(path, bare, at=datetime(2026, 2, 1, 12, tzinfo=UTC), hours=1))
    assert said(path) == []


def test_a_reload_changes_what_the_day_costs(tmp_path: Path) -> None:
    """The last word on a day holds."""
    path, file = tmp_path / "ledger.db", tmp_path / "policy.yaml"
    file.write_text(POLICY)

    async def main() -> None:
        wire = ScriptedWire({"own.test": Reply.chat("Hi", usage=(500, 100))})
        async with Router.from_file(file, wire=wire, ledger=path) as router:
            await router.chat.completions.create(**ASKED)
            await told(path, "1500")
            file.write_text(POLICY.replace("1500", "2700"))
            await router.reload()
            await router.chat.completions.create(**ASKED)

    asyncio.run(main())
    assert [one.usd_per_month for one in said(path)] == ["2700"]


async def told(path: Path, usd: str) -> None:
    """Wait until the ledger's thread has said so."""
    for _ in range(500):
        if [one.usd_per_month for one in said(path)] == [usd]:
            return
        await asyncio.to_thread(sleep, 0.02)
    raise AssertionError("the ledger was told nothing in ten seconds")
