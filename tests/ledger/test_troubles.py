"""A ledger that cannot be written: nothing is silent, nothing is lost, and nothing is overwritten.

Real files, real locks, a real disk that is full; where requests wait for the thread, real time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hybridllm import Ledger, LedgerError, LedgerReader, Router, RouterClosed
from hybridllm._adapters.ledger.tables import META
from ledger.routers import asked, attempts, requests, routing

SECONDS_MAX = 15.0


async def until(router: Router, *, written: int) -> None:
    """Wait until so many rows are in the database."""
    async with asyncio.timeout(SECONDS_MAX):
        while (status := router.status().ledger) is None or status.written < written:
            await asyncio.sleep(0.02)


async def until_told(router: Router) -> str:
    """Wait until the router tells that its ledger cannot be written, and return why."""
    async with asyncio.timeout(SECONDS_MAX):
        while (status := router.status().ledger) is None or status.error is None:
            await asyncio.sleep(0.02)
    return status.error


@contextmanager
def held(place: Path) -> Iterator[None]:
    """Another connection holds the lock that writers need."""
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def test_a_lock_that_is_held_for_long_delays_rows_and_no_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests go on; it is told once, in the log and by the status; then all rows are there."""
    caplog.set_level(logging.INFO, "hybridllm")
    place = tmp_path / "ledger.db"
    async with routing(place) as router:
        await asked(router)
        await until(router, written=2)
        with held(place):
            begun_s = asyncio.get_running_loop().time()
            for _ in range(20):
                await asked(router)
            assert asyncio.get_running_loop().time() - begun_s < 1.0
            assert "locked" in await until_told(router)
            status = router.status().ledger
            assert status is not None
            assert status.waiting >= 40
            assert "CANNOT BE WRITTEN: database is locked" in str(status)
        await until(router, written=42)
        status = router.status().ledger
        assert status is not None
        assert (status.error, status.lost, status.errors > 0) == (None, 0, True)
    assert len(requests(place)) == 21
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1
    assert any("can be written again" in record.getMessage() for record in caplog.records)


async def test_what_a_router_could_not_write_the_next_one_takes_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so at its end, and leaves its rows in the journal."""
    place = tmp_path / "ledger.db"
    async with routing(place) as router:
        await asked(router)
        await until(router, written=2)
        with held(place):
            for _ in range(5):
                await asked(router)
            await router.aclose()
    assert "rows wait in its journal" in caplog.text
    assert len(requests(place)) == 1
    async with routing(place) as router:
        await until(router, written=10)
    assert len(requests(place)) == len(attempts(place)) == 6
    assert list((tmp_path / "ledger.db.pending").iterdir()) == []


@pytest.mark.parametrize("unavailable", ["allow", "deny"])
@pytest.mark.parametrize("harm", ["text", "cut"])
async def test_a_damaged_file_is_left_as_it_is(
    tmp_path: Path, harm: str, unavailable: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests go on, and their rows wait for a file that can be written; the error says what to do."""
    place = tmp_path / "ledger.db"
    async with routing(place) as router:
        for _ in range(50):
            await asked(router)
    whole = place.read_bytes()
    place.write_bytes(b"this is no database " * 400 if harm == "text" else whole[: len(whole) // 3])
    damaged = place.read_bytes()
    async with routing(Ledger(place, unavailable=unavailable)) as router:
        await asked(router)
        why = await until_told(router)
        await asked(router)  # the journal takes it, so nothing is denied
    assert place.read_bytes() == damaged
    assert "hybridllm ledger check" in why
    assert "move it away" in caplog.text
    place.write_bytes(whole)
    async with routing(place) as router:
        await until(router, written=4)
    assert len(requests(place)) == 52


async def test_a_ledger_of_a_later_version_is_not_touched(tmp_path: Path) -> None:
    """An older hybridllm would write what the later one does not expect."""
    place = tmp_path / "ledger.db"
    async with routing(place) as router:
        await asked(router)
    with closing(sqlite3.connect(place)) as connection:
        connection.execute(f"UPDATE {META.name} SET value = '99'")
        connection.commit()
    async with routing(place) as router:
        assert "version 99" in await until_told(router)
        await asked(router)
    assert len(requests(place)) == 1


async def test_requests_are_denied_where_neither_database_nor_journal_can_be_written(
    tmp_path: Path,
) -> None:
    """And sent, with a count of what is lost, where that is wanted."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    nowhere, folder = tmp_path / "missing" / "ledger.db", tmp_path / "file" / "journal"
    async with routing(Ledger(nowhere, unavailable="deny", journal_dir=folder)) as router:
        with pytest.raises(LedgerError, match="nothing was sent"):
            await asked(router)
    async with routing(Ledger(nowhere, journal_dir=folder)) as router:
        await asked(router)
        status = router.status().ledger
        assert status is not None
        assert status.error is not None
        assert status.journal_error is not None
        assert status.waiting >= 2


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """A disk of so many KiB; or a folder in which no file may grow beyond that, where none can be mounted."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(folder)],
        capture_output=True,
        check=False,
    )
    if made.returncode == 0:
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kib * 1024, hard))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_stops_no_request_and_loses_no_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows wait in memory; when there is room again they are all there."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, 4_000) as disk:
        place, ballast = disk / "ledger.db", disk / "ballast"
        async with routing(place) as router:
            await asked(router)
            await until(router, written=2)
            size = 64 * 1024
            with ballast.open("wb") as file:  # until nothing more fits
                try:
                    while file.write(bytes(size)):
                        file.flush()
                except OSError:
                    pass
            for _ in range(300):
                await asked(router)
            assert await until_told(router)
            ballast.unlink()
            await until(router, written=602)
            status = router.status().ledger
            assert status is not None
            assert (status.lost, status.error) == (0, None)
        assert len(requests(place)) == len(attempts(place)) == 301
    assert "cannot be written" in caplog.text


async def test_a_read_only_file_is_told(tmp_path: Path) -> None:
    """As root a file that is read-only by its mode is not, so the disk is."""
    folder = tmp_path / "disk"
    folder.mkdir()
    place = folder / "ledger.db"
    async with routing(place) as router:
        await asked(router)
    if os.geteuid():
        place.chmod(0o400)
    elif subprocess.run(["mount", "--bind", folder, folder], check=False).returncode:
        pytest.skip("NO READ-ONLY FILE: this is root, and nothing can be mounted")
    try:
        if not os.geteuid():
            subprocess.run(["mount", "-o", "remount,ro,bind", folder, folder], check=True)
        async with routing(Ledger(place, journal_dir=tmp_path / "journal")) as router:
            assert await until_told(router)
            await asked(router)
    finally:
        if not os.geteuid():
            subprocess.run(["umount", "-l", folder], check=True)
        place.chmod(0o600)
    async with routing(Ledger(place, journal_dir=tmp_path / "journal")) as router:
        await until(router, written=2)
    assert len(requests(place)) == 2


async def test_a_place_that_is_none_is_refused_when_the_router_is_made(tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(LedgerError, match="SQLite or in PostgreSQL"):
        async with routing("mysql://user@host/name"):
            pass
    with pytest.raises(LedgerError, match="there is no ledger"):
        LedgerReader(tmp_path / "none.db")


async def test_a_router_that_was_closed_writes_nothing_more(tmp_path: Path) -> None:
    """Its thread has ended."""
    place = tmp_path / "ledger.db"
    async with routing(place) as router:
        await asked(router)
        await router.aclose()
        with pytest.raises(RouterClosed):
            await asked(router)
    assert not [one for one in threading.enumerate() if one.name.startswith("hybridllm-ledger")]
    assert len(requests(place)) == 1
