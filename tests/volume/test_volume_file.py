"""The SQLite file: what is written adds up, whoever writes; the test's own store does what it does."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hybridllm._adapters.volume_store import VolumeFile
from hybridllm._core.volume.days import DAYS_KEPT, Amounts
from hybridllm._core.volume.stored import Stored, StoredState, Wanted
from hybridllm._runtime.volume_book import VolumeStore, VolumeStoreError
from volume.counted import TODAY, DictStore

ALL = Wanted(whole=frozenset({"all"}), digests=frozenset({"d"}))
ONE = Amounts(1, 20, 3, 10, 20, 5_000_000)
Make = Callable[[], VolumeStore]


@pytest.fixture(params=["sqlite", "dict"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Opens the same file each time."""
    store = DictStore()
    path = tmp_path / "volumes.db"
    return (lambda: VolumeFile(path)) if request.param == "sqlite" else (lambda: store)


def days(*totals: tuple[str, int, Amounts]) -> Stored:
    return Stored({(scope, TODAY + day): amounts for scope, day, amounts in totals})


def test_totals_add_up_over_openings_and_states_are_replaced(make: Make) -> None:
    """What one process writes, the next one finds."""
    assert make().read(ALL) == Stored()
    at = datetime(2026, 1, 1, 12, 30, 0, 250_000, tzinfo=UTC)
    make().exchange(
        Stored({("all", TODAY): ONE}, {("d", "acme"): StoredState(holds=True, since=at)}), ALL
    )
    later = StoredState(holds=False, since=at + timedelta(days=1))
    found = make().exchange(Stored({("all", TODAY): ONE}, {("d", "acme"): later}), ALL)
    assert found == Stored({("all", TODAY): ONE.plus(ONE)}, {("d", "acme"): later})
    assert make().read(ALL) == found


def test_only_what_is_wanted_is_read(make: Make) -> None:
    """Whole scopes, latest days, and of a kind those names that were counted last."""
    names = [(f"tenant:{name}", day, ONE) for day, name in enumerate(("a", "b", "o'c %_", "d"))]
    make().exchange(
        days(
            ("all", 0, ONE), ("model:m", 0, ONE), ("model:m", 3, ONE), ("tenants", 9, ONE), *names
        ),
        Wanted(),
    )
    wanted = Wanted(
        whole=frozenset({"all"}),
        kinds=("tenant",),
        names_max=2,
        latest=frozenset({"model:m"}),
        from_day=TODAY + 1,
    )
    assert set(make().read(wanted).days) == {
        ("all", TODAY),
        ("model:m", TODAY + 3),
        ("tenant:o'c %_", TODAY + 2),
        ("tenant:d", TODAY + 3),
    }


def test_a_thousand_names_are_read_at_once(make: Make) -> None:
    """More than SQLite takes in one statement."""
    scopes = [f"tenant:{number}" for number in range(1_200)]
    found = make().exchange(
        days(*((scope, 0, ONE) for scope in scopes)), Wanted(whole=frozenset(scopes))
    )
    assert len(found.days) == 1_200


def test_the_file_is_its_owners_and_can_be_read_by_people(tmp_path: Path) -> None:
    """Tenants are named in it."""
    path = tmp_path / "volumes.db"
    VolumeFile(path).exchange(days(("tenant:acme", 0, ONE)), Wanted())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT * FROM hybridllm_volume_days").fetchall()
    connection.close()
    assert rows == [("tenant:acme", "2026-01-01", *ONE)]


def test_days_go_when_there_are_too_many_and_not_for_their_age(
    tmp_path: Path,
) -> None:
    """A clock that is a century ahead takes one day's place."""
    store = VolumeFile(tmp_path / "volumes.db")
    old = days(*(("all", day, ONE) for day in range(DAYS_KEPT)))
    store.exchange(old, ALL)
    store.exchange(days(("all", 40_000, ONE)), ALL)
    found = store.exchange(days(("all", DAYS_KEPT, ONE)), ALL)
    assert len(found.days) in {DAYS_KEPT, DAYS_KEPT + 1}
    assert ("all", TODAY + DAYS_KEPT) in found.days
    assert ("all", TODAY + 40_000) in found.days


def test_sums_beyond_64_bits_do_not_stop_the_file(tmp_path: Path) -> None:
    """Nine million dollars a day is somebody's lie, or somebody's day."""
    store = VolumeFile(tmp_path / "volumes.db")
    dear = Amounts(pico_usd=2**70)
    store.exchange(days(("all", 0, dear)), ALL)
    found = store.exchange(days(("all", 0, dear)), ALL)
    assert found.days["all", TODAY].pico_usd >= 2**63


def test_two_processes_add_to_the_same_day(tmp_path: Path) -> None:
    """Each waits for the other."""
    path = tmp_path / "volumes.db"
    VolumeFile(path).exchange(days(("all", 0, ONE)), Wanted())

    def add() -> None:
        store = VolumeFile(path)
        for _ in range(5):
            store.exchange(days(("all", 0, ONE)), Wanted())

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert VolumeFile(path).read(ALL).days["all", TODAY].requests == 11


def broken(path: Path) -> None:
    path.write_bytes(b"this is no database, but a text that is long enough to be looked at" * 40)


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE hybridllm_volume_days (scope TEXT, day TEXT)")
    connection.close()


def senseless(path: Path) -> None:
    VolumeFile(path).exchange(days(("all", 0, ONE)), Wanted())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE hybridllm_volume_days SET day = 'Monday'")
    connection.close()


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (broken, "file is not a database"),
        (foreign, "no such column"),
        (senseless, "it holds what hybridllm has not written"),
        (Path.mkdir, "unable to open database file"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_words(
    harm: Callable[[Path], None], why: str, tmp_path: Path
) -> None:
    """And left as it is."""
    path = tmp_path / "volumes.db"
    harm(path)
    with pytest.raises(VolumeStoreError, match=why):
        VolumeFile(path).read(ALL)


def test_a_locked_file_fails_and_works_again(tmp_path: Path) -> None:
    """Nothing of it is written meanwhile."""
    path = tmp_path / "volumes.db"
    store = VolumeFile(path, busy_s=0.01)
    store.exchange(days(("all", 0, ONE)), Wanted())
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(VolumeStoreError, match="database is locked"):
        store.exchange(days(("all", 0, ONE)), ALL)
    other.rollback()
    other.close()
    assert store.exchange(Stored(), ALL).days["all", TODAY] == ONE


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_that_may_not_be_written_can_be_read(tmp_path: Path) -> None:
    """The history is of use all the same."""
    path = tmp_path / "volumes.db"
    VolumeFile(path).exchange(days(("all", 0, ONE)), Wanted())
    path.chmod(0o400)
    assert VolumeFile(path).read(ALL).days["all", TODAY] == ONE
    with pytest.raises(VolumeStoreError, match="readonly"):
        VolumeFile(path).exchange(days(("all", 0, ONE)), ALL)
