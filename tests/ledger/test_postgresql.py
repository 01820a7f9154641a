"""The same ledger in PostgreSQL: a real server, on loopback."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybridllm import Ledger, LedgerReader, LedgerUpkeep
from hybridllm._adapters.ledger.reader import ledger_url
from hybridllm._adapters.ledger.store import LedgerDatabase
from hybridllm._core.ledger.rows import INTENT, UNKNOWN
from hybridllm.testing import Reply
from ledger.postgres import binaries, server
from ledger.routers import asked, attempts, requests, routing


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of an empty database."""
    pytest.importorskip("psycopg")
    programs = binaries()
    if programs is None:
        pytest.skip("NO POSTGRESQL SERVER: initdb is not installed (apt-get install postgresql)")
    with server(programs) as found:
        yield found


@pytest.fixture
def place(url: str) -> str:
    """An empty ledger."""
    database = LedgerDatabase(ledger_url(url))
    database.open()
    database.prune(2**62, 1_000_000)
    database.close()
    return url


async def test_rows_are_the_same_as_in_sqlite(place: str, tmp_path: Path) -> None:
    """Of an attempt that failed and one that served; a tenant may be whatever a caller says."""
    scripts = {"near.test": Reply.status(400), "far.test": Reply.chat("yes", usage=(10, 5))}
    found = []
    for one in (place, str(tmp_path / "ledger.db")):
        async with routing(Ledger(one, journal_dir=tmp_path / "journal"), **scripts) as router:
            for tenant in ("acme", "o'c %s ? :x", "nul\0", "half \ud800"):
                with pytest.raises(Exception, match="400"):
                    await asked(router, tenant=tenant)
        found.append(
            [[re.sub("^[0-9a-f]{32}", "", str(value)) for value in row] for row in attempts(one)]
        )
        assert len(requests(one)) == 4
    changing = ("started_us", "duration_us")
    names = attempts(place)[0]._fields
    for left, right in zip(*found, strict=True):
        pairs = zip(names, left, right, strict=True)
        assert [name for name, a, b in pairs if a != b and name not in changing] == []


async def test_an_end_replaces_an_intent_and_nothing_replaces_an_end(
    place: str, tmp_path: Path
) -> None:
    """Whatever the order, and however often."""
    async with routing(Ledger(place, journal_dir=tmp_path / "journal")) as router:
        await asked(router)
    (ended,), (request,) = attempts(place), requests(place)
    database = LedgerDatabase(ledger_url(place))
    for outcome in (INTENT, UNKNOWN, "failed"):
        database.write(
            [ended._replace(outcome=outcome, cost_pico=7)], [request._replace(cost_pico=7)]
        )
    assert (attempts(place), requests(place)) == ([ended], [request])
    late = ended._replace(attempt_id="b-1")
    for outcome, then in (
        (INTENT, INTENT),
        (UNKNOWN, UNKNOWN),
        (INTENT, UNKNOWN),
        ("served", "served"),
    ):
        database.write([late._replace(outcome=outcome)], [])
        assert {row.attempt_id: row.outcome for row in attempts(place)}["b-1"] == then
    database.close()


async def test_a_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Rows wait in the journal; whoever comes when it is there writes them."""
    programs = binaries()
    if programs is None:
        pytest.skip("NO POSTGRESQL SERVER: initdb is not installed (apt-get install postgresql)")
    nobody = "postgresql+psycopg://ledger@127.0.0.1:1/postgres"
    folder = tmp_path / "journal"
    async with routing(Ledger(nobody, journal_dir=folder)) as router:
        await asked(router)
        async with asyncio.timeout(10):
            while (status := router.status().ledger) is None or status.error is None:
                await asyncio.sleep(0.02)
    with server(programs) as place:
        async with routing(Ledger(place, journal_dir=folder)) as router:
            async with asyncio.timeout(10):
                while (status := router.status().ledger) is None or status.written < 2:
                    await asyncio.sleep(0.02)
        assert len(attempts(place)) == len(requests(place)) == 1


def test_upkeep_works_there_too(place: str, tmp_path: Path) -> None:
    """Info, check, vacuum, export."""
    asyncio.run(_one(place, tmp_path))
    upkeep = LedgerUpkeep(place)
    assert upkeep.info().attempts == 1
    assert upkeep.check() == []
    upkeep.vacuum()
    assert upkeep.export(tmp_path / "rows.csv") == 1
    assert "***" not in LedgerReader(place).name


async def _one(place: str, tmp_path: Path) -> None:
    async with routing(Ledger(place, journal_dir=tmp_path / "journal")) as router:
        await asked(router)
