"""Several routers, threads and processes with one ledger: each writes its own rows, and nobody another's."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path
from zlib import crc32

import pytest

from hybridllm import Ledger, Router
from hybridllm._adapters.ledger.journal import JournalFolder
from hybridllm._core.ledger.lines import HEADER, attempt_line, read_lines, request_line
from hybridllm.testing import ScriptedWire
from ledger.routers import GOOD, POLICY, asked, attempts, requests, routing

FORK = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


async def test_two_routers_write_one_file(tmp_path: Path) -> None:
    """They wait for each other, in their threads."""
    place = tmp_path / "ledger.db"
    async with routing(place) as one, routing(place) as other:
        for _ in range(50):
            await asked(one)
            await asked(other)
    assert len(requests(place)) == len(attempts(place)) == 100
    assert list((tmp_path / "ledger.db.pending").iterdir()) == []


@FORK
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_of_a_fork_writes_its_own_rows_and_none_of_its_parents(tmp_path: Path) -> None:
    """Whether the parent still has rows that wait, or not."""
    place = tmp_path / "ledger.db"
    wire = ScriptedWire({"near.test": GOOD})
    router = Router.from_text(POLICY, environ={}, wire=wire, ledger=Ledger(place))

    async def ask(count: int, *, end: bool) -> None:
        for _ in range(count):
            await asked(router, tenant=str(os.getpid()))
        if end:
            await router.aclose()

    asyncio.run(ask(5, end=False))
    child = os.fork()
    if not child:
        try:
            asyncio.run(ask(3, end=True))
        finally:
            os._exit(0)
    asyncio.run(ask(4, end=True))
    os.waitpid(child, 0)
    found = [row.tenant for row in requests(place)]
    assert (found.count(str(os.getpid())), found.count(str(child))) == (9, 3)
    assert len(attempts(place)) == 12
    assert list((tmp_path / "ledger.db.pending").iterdir()) == []


def test_a_router_that_is_dropped_leaves_no_thread(tmp_path: Path) -> None:
    """Its rows are written all the same."""
    place = tmp_path / "ledger.db"

    async def main() -> None:
        router = Router.from_text(
            POLICY, environ={}, wire=ScriptedWire({"near.test": GOOD}), ledger=place
        )
        await asked(router)

    asyncio.run(main())
    import gc

    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "hybridllm-ledger":
            thread.join(10)
            assert not thread.is_alive()
    assert len(requests(place)) == 1


async def test_a_line_that_was_cut_off_or_changed_is_seen(tmp_path: Path) -> None:
    """The rows before it are good; so are those after one that was changed."""
    place = tmp_path / "ledger.db"
    async with routing(place) as router:
        await asked(router)
    (attempt,), (request,) = attempts(place), requests(place)
    good = [attempt_line(attempt), request_line(request)]
    assert read_lines([line[:-1] for line in good]).rows == [attempt, request]
    changed = good[0].replace(b"served", b"failed")
    found = read_lines([changed[:-1], b"", good[1][:-1]])
    assert (found.rows, found.damaged) == ([request], 2)
    for cut in (1, 10, len(good[1]) - 1):
        (tmp_path / "j").mkdir(exist_ok=True)
        (tmp_path / "j" / f"{cut}.rows").write_bytes(HEADER + good[0] + good[1][:cut] + bytes(500))
    for segment in JournalFolder(tmp_path / "j").orphans():
        lines = segment.read()
        assert (lines.rows, lines.torn, lines.damaged) == ([attempt], True, 0)
        segment.close()


async def test_a_line_of_somebody_elses_making_stops_nothing(tmp_path: Path) -> None:
    """Its checksum is right and its values are not: it is set aside, all others are taken over."""
    place = tmp_path / "ledger.db"
    async with routing(place) as router:
        await asked(router)
    (attempt,), (request,) = attempts(place), requests(place)
    place.unlink()
    folder = tmp_path / "ledger.db.pending"
    hostile: list[object] = [
        attempt._replace(started_us=None),  # type: ignore[arg-type]  # as are the next ones
        attempt._replace(tenant=["a"]),  # type: ignore[arg-type]
        attempt._replace(cost_pico=1.5),  # type: ignore[arg-type]
        attempt._replace(cost_pico=True),
        {"a": 1},
        7,
    ]
    lines = [_line(json.dumps(one).encode()) for one in hostile]
    lines.append(_line(b"[" * 100_000))
    lines.append(attempt_line(attempt._replace(attempt_id="x-1", cost_pico=10**40)))
    (folder / "odd.rows").write_bytes(
        HEADER + b"".join(lines) + attempt_line(attempt) + request_line(request)
    )
    async with routing(Ledger(place, unavailable="deny")) as router:
        told = await asked(router)
        state = router.status().ledger
        assert state is not None
        assert (state.error, state.lost) == (None, 0)
    found = {row.attempt_id: row.cost_pico for row in attempts(place)}
    assert found == {
        attempt.attempt_id: attempt.cost_pico,
        "x-1": 2**63 - 1,
        f"{told.request_id}-1": attempt.cost_pico,
    }
    assert [one.name for one in folder.iterdir()] == ["odd.damaged"]


def _line(text: bytes) -> bytes:
    return b"a %08x %b\n" % (crc32(text), text)


def test_a_segment_takes_more_than_it_has_room_for(tmp_path: Path) -> None:
    """Behind what is mapped, by a system call: late is better than lost. What another owns is left alone."""
    folder = JournalFolder(tmp_path)
    segment = folder.opened()
    line = b"a 00000000 " + b"x" * 65_000 + b"\n"
    for _ in range(40):
        segment.append(line)
    assert segment.read().damaged == 40  # all are there; none is a row
    assert segment.fullness > 1
    assert list(folder.orphans()) == []
    segment.drop()
    assert list(tmp_path.iterdir()) == []
