"""`hybridllm ledger` and what is behind it: looking at a ledger, checking it, taking rows out of it."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hybridllm import InvalidRequest, LedgerUpkeep
from hybridllm._adapters.ledger.reader import ledger_url
from hybridllm._adapters.ledger.store import LedgerDatabase
from hybridllm._core.ledger.rows import AttemptRow, RequestRow
from hybridllm.cli.app import app_with
from hybridllm.testing import run_in_virtual_time
from ledger.routers import asked, attempts, requests, routing

DAY_US = 86_400 * 10**6


def filled(place: Path, *, days: int = 3) -> None:
    """A ledger of an attempt and a request each day."""

    async def main() -> None:
        async with routing(place) as router:
            await asked(router, tenant="acme")

    run_in_virtual_time(main())
    (attempt,), (request,) = attempts(place), requests(place)
    more: list[AttemptRow] = []
    also: list[RequestRow] = []
    for day in range(1, days):
        at_us, key = attempt.started_us + day * DAY_US, f"{day:032x}"
        more.append(attempt._replace(attempt_id=f"{key}-1", request_id=key, started_us=at_us))
        also.append(request._replace(request_id=key, started_us=at_us))
    database = LedgerDatabase(ledger_url(place))
    database.write(more, also)
    database.close()


def told(*words: str, code: int = 0) -> str:
    """What the command prints."""
    found = CliRunner().invoke(app_with(["ledger"]), ["ledger", *words])
    assert found.exit_code == code, found.output
    return found.output


def test_info_says_what_is_in_it(tmp_path: Path) -> None:
    """For people and for scripts."""
    place = tmp_path / "ledger.db"
    filled(place)
    found = json.loads(told("info", str(place), "--json"))
    assert (found["attempts"], found["requests"], found["unknown"], found["version"]) == (
        3,
        3,
        0,
        1,
    )
    assert found["first_at"].startswith("2026-01-01")
    assert "attempts    3" in told("info", str(place))
    assert "there is no ledger" in told("info", str(tmp_path / "none.db"), code=1)


def test_check_tells_of_a_damaged_file_and_a_damaged_journal(tmp_path: Path) -> None:
    """And ends with code 1."""
    place = tmp_path / "ledger.db"
    filled(place, days=400)
    assert "sound" in told("check", str(place))
    (tmp_path / "ledger.db.pending" / "x.damaged").write_text("?", encoding="utf-8")
    assert "lines that are damaged" in told("check", str(place), code=1)
    with place.open("r+b") as file:
        file.seek(4096 * 12)
        file.write(b"\xff" * 4096 * 20)
    found = json.loads(told("check", str(place), "--json", code=1))
    assert found["ok"] is False
    assert any("malformed" in line or "database:" in line for line in found["problems"])


def test_prune_removes_what_is_old_and_vacuum_gives_the_room_back(tmp_path: Path) -> None:
    """Days count back from the latest row."""
    place = tmp_path / "ledger.db"
    filled(place, days=3_000)
    assert json.loads(told("prune", str(place), "--days", "10", "--json"))["removed"] == 2 * 2_989
    assert len(attempts(place)) == len(requests(place)) == 11
    found = json.loads(told("vacuum", str(place), "--json"))
    assert found["size_bytes"] < found["size_bytes_before"] / 5
    assert len(attempts(place)) == 11
    told("prune", str(place), code=2)


@pytest.mark.parametrize("rows", ["attempts", "requests"])
def test_an_export_has_every_row_with_money_in_usd_and_times_in_utc(
    tmp_path: Path, rows: str
) -> None:
    """CSV and Parquet hold the same."""
    parquet = pytest.importorskip("pyarrow.parquet")
    place, text, columns = (tmp_path / name for name in ("ledger.db", "rows.csv", "rows.parquet"))
    filled(place)
    for file in (text, columns):
        told("export", str(place), "--to", str(file), "--rows", rows)
    with text.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    table = parquet.read_table(columns).to_pylist()
    assert len(lines) == len(table) == 3
    assert Decimal(lines[0]["cost_usd"]) == table[0]["cost_usd"] == Decimal("0.00002")
    assert datetime.fromisoformat(lines[0]["started_at"]) == table[0]["started_at"]
    assert table[0]["started_at"].astimezone(UTC).year == 2026
    assert lines[0]["tenant"] == table[0]["tenant"] == "acme"
    assert lines[0]["route"] == "all"
    assert {key for key, value in table[0].items() if value is None} == {
        key for key, value in lines[0].items() if value == ""
    }


def test_an_export_for_a_spreadsheet_holds_no_formulas(tmp_path: Path) -> None:
    """A tenant may be called anything; Parquet has it as it is."""
    parquet = pytest.importorskip("pyarrow.parquet")
    place = tmp_path / "ledger.db"
    filled(place)
    formula = "=cmd|' /C calc'!A0"
    with closing(sqlite3.connect(place)) as file, file:
        file.execute("UPDATE hybridllm_attempts SET tenant = ?, feature = ' @x'", [formula])
    told("export", str(place), "--to", str(tmp_path / "a.csv"))
    told("export", str(place), "--to", str(tmp_path / "a.parquet"))
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as text:
        line = next(csv.DictReader(text))
    assert (line["tenant"], line["feature"]) == (f"'{formula}", "' @x")
    assert parquet.read_table(tmp_path / "a.parquet").to_pylist()[0]["tenant"] == formula


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("cost_pico = 'abc'", "cost_pico"),
        ("cost_pico = 1.5", "cost_pico"),
        ("tenant = x'ff00'", "tenant"),
        ("started_us = 9223372036854775807, cost_pico = x'00'", "cost_pico"),
    ],
)
def test_check_tells_of_values_that_no_router_wrote(
    tmp_path: Path, change: str, field: str
) -> None:
    """SQLite takes anything in any column; what it is, is told by no command with a crash."""
    place = tmp_path / "ledger.db"
    filled(place)
    with closing(sqlite3.connect(place)) as file, file:
        file.execute(f"UPDATE hybridllm_attempts SET {change}")
    assert f"attempts: {field} of '" in told("check", str(place), code=1)
    told("info", str(place))
    exported = CliRunner().invoke(
        app_with(["ledger"]), ["ledger", "export", str(place), "--to", str(tmp_path / "a.csv")]
    )
    assert exported.exception is None or isinstance(exported.exception, SystemExit)
    if field == "cost_pico":
        assert "ledger check" in exported.output
        assert not list(tmp_path.glob("a.csv*"))


def test_an_export_takes_the_last_days_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    """It leaves no file where it did not come to its end."""
    place = tmp_path / "ledger.db"
    filled(place)
    found = told("export", str(place), "--to", str(tmp_path / "x.csv"), "--days", "1", "--json")
    assert json.loads(found)["rows"] == 2
    told("export", str(place), "--to", str(tmp_path / "x.xlsx"), code=2)
    told("export", str(place), "--to", str(tmp_path / "none" / "x.csv"), code=2)
    with pytest.raises(InvalidRequest, match="attempts or requests"):
        LedgerUpkeep(place).export(tmp_path / "y.csv", rows="prompts")  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.iterdir()} >= {"ledger.db", "x.csv"}
    assert not (tmp_path / "y.csv").exists()


def test_an_older_ledger_is_brought_to_this_version(tmp_path: Path) -> None:
    """Its rows stay; what they never said is unknown."""
    place = tmp_path / "ledger.db"
    filled(place, days=2)
    with closing(sqlite3.connect(place)) as connection:
        connection.execute("DROP TABLE hybridllm_ledger")
        connection.execute("DROP INDEX hybridllm_requests_by_time")
        for table, column in (("attempts", "provider_cost_pico"), ("requests", "agreed")):
            connection.execute(f"ALTER TABLE hybridllm_{table} DROP COLUMN {column}")
        connection.commit()

    async def main() -> None:
        async with routing(place) as router:
            await asked(router)
            status = router.status().ledger
            assert status is not None
            assert status.error is None

    run_in_virtual_time(main())
    assert len(requests(place)) == len(attempts(place)) == 3
    assert LedgerUpkeep(place).info().version == 1
    with closing(sqlite3.connect(place)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "hybridllm_requests_by_time" in names


def test_rows_older_than_the_retention_go_by_themselves(tmp_path: Path) -> None:
    """A router removes them a few at a time, once a day."""
    place = tmp_path / "ledger.db"
    filled(place, days=2)
    with closing(sqlite3.connect(place)) as connection:
        for table in ("attempts", "requests"):
            connection.execute(
                f"UPDATE hybridllm_{table} SET started_us = started_us - {500 * DAY_US}"
            )
        connection.commit()

    async def main() -> None:
        from asyncio import sleep

        async with routing(place) as router:
            await asked(router)
            for _ in range(300):
                await sleep(0.01)
                if len(requests(place)) == 1:
                    break

    import asyncio

    asyncio.run(main())
    assert len(requests(place)) == len(attempts(place)) == 1
