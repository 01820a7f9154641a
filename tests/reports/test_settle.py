"""Own machines' costs in the rows of those who used them: a month's rows sum to its bill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import create_engine, delete, insert, update
from sqlalchemy.pool import NullPool

import hybridllm
from hybridllm import LedgerReader, Router
from hybridllm._adapters.ledger.fixed_days import declare
from hybridllm._adapters.ledger.tables import ATTEMPTS
from reports.months import attempt, machine, month, us, written

CENT = Decimal("0.01")
OWN = {"backend": "vllm-fra", "model": "qwen3-32b", "cost_pico": 0}
POLICY = """
version: 1
backends:
  vllm-fra:
    kind: vllm
    base_url: https://own.test/v1
    operator: self
    price: free
    capacity: {usd_per_month: 1500, hidden_usd_per_month: 300, tokens_per_second: 600}
models: {qwen3-32b: {on: {vllm-fra: qwen3-32b}}}
routes: [{name: default, use: [qwen3-32b]}]
"""


def after(first: str, days: int) -> datetime:
    return datetime.fromisoformat(first).replace(tzinfo=UTC) + timedelta(days=days, hours=1)


def own(number: int, at_us: int, tokens: int | None):
    return attempt(
        f"{number:032x}", **OWN, started_us=at_us, input_tokens=tokens, output_tokens=tokens and 0
    )


@pytest.mark.parametrize(
    ("first", "days"),
    [("2026-02-01", 28), ("2028-02-01", 29), ("2026-11-01", 30), ("2026-12-01", 31)],
)
def test_a_months_rows_and_idle_days_sum_to_the_bill(tmp_path: Path, first: str, days: int) -> None:
    """To the last digit, whatever the bill: 1,499.99 does not divide by any of these."""
    chance = Random(days)
    rows = [
        own(n, us(first) + chance.randrange(days) * 86_400_000_000 + n, chance.randrange(5_000))
        for n in range(60)  # some days nobody asks
    ]
    path = written(tmp_path / "l.db", [], [machine(first, "1499.99")])
    _add(path, rows)
    settled = hybridllm.settle(path, now=after(first, days))
    assert len(settled) == days
    in_rows = sum(row.fixed_pico or 0 for row in LedgerReader(path).attempts())
    idle = sum(one.idle_pico or 0 for one in settled)
    assert idle > 0
    assert in_rows + idle == 1_799_990_000_000_000
    report = hybridllm.costs(path, by=["tenant"], since=first[:7], now=after(first, days))
    assert report.total.spent_usd == Decimal("1799.99")
    assert report.rounded_usd()[-1].quantize(CENT) == Decimal("1799.99")
    assert [row.key for row in report.rows if row.idle] == [(None,)]


def test_a_days_bill_is_shared_by_tokens(tmp_path: Path) -> None:
    """A failed attempt used the machine too; one without known tokens has no share."""
    rows = [
        own(1, us("2026-11-02", 1), 300),
        own(2, us("2026-11-02", 23.9), 100),
        own(3, us("2026-11-02"), None),
    ]
    path = written(tmp_path / "l.db", [], [machine("2026-11-02")])
    _add(path, [rows[0]._replace(outcome="failed"), *rows[1:]])
    hybridllm.settle(path, now=after("2026-11-02", 1))
    found = {row.request_id[-1]: row.fixed_pico for row in LedgerReader(path).attempts()}
    assert found == {"1": 45 * 10**12, "2": 15 * 10**12, "3": 0}


def test_settling_again_changes_nothing(tmp_path: Path) -> None:
    """However often."""
    path = written(tmp_path / "l.db", month(80), [machine("2026-11-01")])
    now = after("2026-11-01", 30)
    assert len(hybridllm.settle(path, now=now)) == 30
    before = list(LedgerReader(path).attempts())
    assert hybridllm.settle(path, now=now) == ()
    assert list(LedgerReader(path).attempts()) == before


def test_what_comes_late_gets_its_share(tmp_path: Path) -> None:
    """The day is shared anew, and still sums to its bill."""
    path = written(tmp_path / "l.db", [], [machine("2026-11-02")])
    _add(path, [own(1, us("2026-11-02", 1), 300)])
    now = after("2026-11-02", 1)
    hybridllm.settle(path, now=now)
    _add(path, [own(2, us("2026-11-02", 2), 300)])
    assert [one.day for one in hybridllm.settle(path, now=now)] == ["2026-11-02"]
    assert [row.fixed_pico for row in LedgerReader(path).attempts()] == [30 * 10**12] * 2


def test_what_a_retention_took_is_not_shared_anew(tmp_path: Path) -> None:
    """What is left keeps its shares."""
    path = written(tmp_path / "l.db", [], [machine("2026-11-02")])
    _add(path, [own(n, us("2026-11-02", n), 300) for n in (1, 2)])
    now = after("2026-11-02", 1)
    hybridllm.settle(path, now=now)
    with create_engine(f"sqlite:///{path}", poolclass=NullPool).begin() as connection:
        connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.started_us == us("2026-11-02", 1)))
    assert hybridllm.settle(path, now=now) == ()
    assert [row.fixed_pico for row in LedgerReader(path).attempts()] == [30 * 10**12]


def test_a_day_costs_what_was_in_force_on_it(tmp_path: Path) -> None:
    """A machine that doubles in the middle of a month costs each day what it cost then."""
    said = [
        machine("2026-11-01", "2700"),
        machine("2026-11-16", "5700"),
        machine("2026-11-21", "0", hidden_usd_per_month="0"),
    ]
    path = written(tmp_path / "l.db", [], said)
    settled = hybridllm.settle(path, now=after("2026-11-01", 30))
    bills = {one.day[-2:]: one.bill_pico for one in settled}
    assert bills == {f"{n:02d}": (100 if n < 16 else 200) * 10**12 for n in range(1, 21)}
    # A settled day stays as it was said, whatever is said later.
    declare(create_engine(f"sqlite:///{path}", poolclass=NullPool), [machine("2026-11-03", "9")])
    assert hybridllm.settle(path, now=after("2026-11-01", 30)) == ()


def test_the_running_day_is_provisional(tmp_path: Path) -> None:
    """As much of its bill as has passed of it, shared by the tokens so far; nothing is written."""
    path = written(tmp_path / "l.db", [], [machine("2026-11-02")])
    rows = [own(1, us("2026-11-03", 1), 300), own(2, us("2026-11-03", 2), 100)]
    _add(path, [rows[0]._replace(tenant="acme"), rows[1]])
    now = datetime(2026, 11, 3, 12, tzinfo=UTC)
    report = hybridllm.costs(path, by=["tenant"], since="2026-11", now=now)
    found = {(row.key[0], row.idle): row.spent_usd for row in report.rows}
    assert found == {
        ("acme", False): Decimal("22.5"),
        (None, False): Decimal("7.5"),
        (None, True): Decimal(60),  # the day before, which nobody used
    }
    assert report.provisional_days == ("2026-11-02", "2026-11-03")
    assert report.machines[0].provisional
    assert report.machines[0].tokens_possible == 600 * 86_400 * 3 // 2
    assert all(row.fixed_pico is None for row in LedgerReader(path).attempts())


def test_a_provisional_report_is_what_settling_makes_of_it(tmp_path: Path) -> None:
    """Group by group, but for single 10^-12 USD that rounding moves."""
    path = written(tmp_path / "l.db", month(150), [machine("2026-11-01")])
    now = after("2026-11-01", 30)
    ask = {"by": ["tenant", "day"], "since": "2026-11", "now": now}
    before = hybridllm.costs(path, **ask)
    hybridllm.settle(path, now=now)
    settled = hybridllm.costs(path, **ask)
    assert before.total.spent_pico == settled.total.spent_pico
    was = {(row.key, row.idle): row.spent_pico for row in before.rows}
    for row in settled.rows:
        assert abs(row.spent_pico - was[row.key, row.idle]) <= row.attempts + 1


def test_a_policy_says_what_a_ledger_does_not(tmp_path: Path) -> None:
    """From the ledger's first day on; it is written when that is asked for."""
    path = written(tmp_path / "l.db", [])
    _add(path, [own(1, us("2026-11-29", 5), 10)])
    policy = Router.from_text(POLICY, name="prod").policy
    now = after("2026-11-29", 2)
    assert hybridllm.costs(path, now=now).machines == ()
    assert hybridllm.costs(path, since="2026-11", policy=policy, now=now).total.spent_usd == 120
    settled = hybridllm.settle(path, policy=policy, now=now)
    assert [(one.day, one.policy) for one in settled] == [
        ("2026-11-29", "prod"),
        ("2026-11-30", "prod"),
    ]
    assert hybridllm.costs(path, since="2026-11", now=now).total.spent_usd == 120


def test_a_settlement_that_breaks_leaves_no_half_of_a_day(tmp_path: Path) -> None:
    """One transaction a day: a row that refuses its share takes the others' back."""
    path = written(tmp_path / "l.db", [], [machine("2026-11-02")])
    _add(path, [own(n, us("2026-11-02", n), 300) for n in (1, 2)])
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "create trigger no before update on hybridllm_attempts when old.attempt_id like '%2-1' "
            "begin select raise(abort, 'the disk is full'); end"
        )
    with pytest.raises(hybridllm.LedgerError, match="the disk is full"):
        hybridllm.settle(path, now=after("2026-11-02", 1))
    assert [row.fixed_pico for row in LedgerReader(path).attempts()] == [None, None]


def test_shares_that_were_lost_are_written_again(tmp_path: Path) -> None:
    """Whoever wrote a row anew, the day's sum says so."""
    path = written(tmp_path / "l.db", [], [machine("2026-11-02")])
    _add(path, [own(n, us("2026-11-02", n), 300) for n in (1, 2)])
    now = after("2026-11-02", 1)
    hybridllm.settle(path, now=now)
    with create_engine(f"sqlite:///{path}", poolclass=NullPool).begin() as connection:
        connection.execute(
            update(ATTEMPTS)
            .where(ATTEMPTS.c.started_us == us("2026-11-02", 1))
            .values(fixed_pico=None)
        )
    assert len(hybridllm.settle(path, now=now)) == 1
    assert [row.fixed_pico for row in LedgerReader(path).attempts()] == [30 * 10**12] * 2


def _add(path: Path, rows) -> None:
    with create_engine(f"sqlite:///{path}", poolclass=NullPool).begin() as connection:
        connection.execute(insert(ATTEMPTS), [row._asdict() for row in rows])
