"""A router's status on a unix socket: who may read it gets one document, and cannot hold the router up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybridllm import InvalidRequest, Router
from hybridllm._adapters import status_socket
from hybridllm._adapters.status_socket import StatusSocket, status_folder
from hybridllm.testing import Reply, ScriptedWire, no_leaks
from runtime.world import MESSAGES, environ, policy
from status_folder import document, read, short_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def router(folder: Path, *replies: Reply) -> Router:
    wire = ScriptedWire({"us.test": list(replies) or Reply.chat("yes")})
    return Router.from_text(policy("us"), environ=environ("us"), wire=wire, status_dir=folder)


async def ask(asked: Router) -> None:
    await asked.chat.completions.create(messages=MESSAGES, task="t")


async def listening(folder: Path) -> Path:
    """The socket of a router that has just begun; its task needs a turn of the loop."""
    await asyncio.sleep(0)
    (path,) = folder.glob("hybridllm-*.sock")
    return path


async def test_an_open_router_tells_which_process_it_is_and_how_it_is(folder: Path) -> None:
    """The document is that of `status()`, and ends with the connection."""
    async with no_leaks(), router(folder) as here:
        told = await document(folder)
        assert told["pid"] == os.getpid()
        assert told["argv0"] == sys.argv[0]
        assert told["started_at"].endswith("+00:00")
        assert {name: told[name] for name in ("policy", "version", "candidates")} == {
            name: here.status().to_dict()[name] for name in ("policy", "version", "candidates")
        }


async def test_only_its_user_may_open_it_and_nothing_is_left_of_it(folder: Path) -> None:
    """Mode 0600 from the first moment on."""
    async with router(folder):
        path = await listening(folder)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [each.name for each in folder.iterdir()] == [f"hybridllm-{os.getpid()}-0.sock"]
    assert list(folder.iterdir()) == []


async def test_without_async_with_it_is_there_from_the_first_request_on(folder: Path) -> None:
    """And until the router is closed."""
    here = router(folder)
    assert list(folder.iterdir()) == []
    await ask(here)
    assert (await document(folder))["candidates"][0]["attempts"] == 1
    await here.aclose()


async def test_it_answers_while_the_router_drains(folder: Path) -> None:
    """Who looks how a router ends can still ask."""
    async with asyncio.TaskGroup() as group:
        here = router(folder, Reply.chat("late").after(0.3))
        group.create_task(ask(here))
        await asyncio.sleep(0.05)
        closing = group.create_task(here.aclose(drain_s=5))
        await asyncio.sleep(0.05)
        assert (await document(folder))["in_flight"] == {"us": 1}
        await closing


async def test_two_routers_of_one_process_have_a_socket_each(folder: Path) -> None:
    """Closing one takes only its own away."""
    async with router(folder):
        async with router(folder):
            await listening_all(folder, 2)
        assert len(list(folder.iterdir())) == 1
        assert await document(folder)


async def listening_all(folder: Path, count: int) -> None:
    await asyncio.sleep(0)
    assert len(list(folder.iterdir())) == count


async def test_a_socket_that_a_dead_process_left_is_taken_away_by_the_next(folder: Path) -> None:
    """Also one with this very name: in containers every process has the same id."""
    for name in (f"hybridllm-{os.getpid()}-0.sock", "hybridllm-1-0.sock"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(folder / name))
    async with router(folder):
        assert (await document(folder))["pid"] == os.getpid()


async def test_who_does_not_read_is_cut_off_and_holds_nobody_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document is larger than what a kernel keeps for a slow reader; others are answered meanwhile."""
    monkeypatch.setattr(status_socket, "ANSWER_S", 1.5)
    big = {"text": "x" * (8 << 20)}
    async with no_leaks():
        served = StatusSocket(folder, lambda: big)
        served.open()
        path = await listening(folder)
        slow = socket.socket(socket.AF_UNIX)
        slow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(slow, str(path))
        assert len(await read(path)) > 8 << 20
        async with asyncio.timeout(10):
            while served._readers:
                await asyncio.sleep(0.05)
        slow.close()
        await served.close()


async def test_more_readers_than_it_bears_are_turned_away(folder: Path) -> None:
    """They get nothing; those before them are not disturbed, and go when the router does."""
    served = StatusSocket(folder, lambda: {"text": "x" * (8 << 20)})
    served.open()
    path = await listening(folder)
    loop, crowd = asyncio.get_running_loop(), []
    for _ in range(status_socket.CONNECTIONS_MAX):
        one = socket.socket(socket.AF_UNIX)
        one.setblocking(False)
        await loop.sock_connect(one, str(path))
        crowd.append(one)
    async with asyncio.timeout(10):
        while len(served._readers) < status_socket.CONNECTIONS_MAX:
            await asyncio.sleep(0.01)
    told = b""
    with contextlib.suppress(ConnectionError):
        told = await read(path)
    assert told == b""
    await served.close()
    for one in crowd:
        one.close()


async def test_a_status_that_cannot_be_told_harms_nobody(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug, told in the log by its class only."""

    def broken() -> dict[str, Any]:
        raise ValueError("sk-canary")

    served = StatusSocket(folder, broken)
    served.open()
    assert await read(await listening(folder)) == b""
    await served.close()
    assert "the status cannot be told: ValueError" in caplog.text
    assert "canary" not in caplog.text


async def test_it_is_made_anew_at_most_ten_times_a_second(folder: Path) -> None:
    """Somebody who asks in a loop does not slow requests down."""
    made = []
    served = StatusSocket(folder, lambda: made.append(1) or {})
    served.open()
    path = await listening(folder)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for _ in range(30):
        assert await read(path)
    assert len(made) <= 2 + (loop.time() - began_s) / status_socket.FRESH_S
    await served.close()


async def test_a_folder_that_goes_is_a_warning_and_requests_go_on(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A status is no reason to refuse anybody."""
    gone = folder / "gone"
    gone.mkdir()
    here = router(gone)
    gone.rmdir()
    await ask(here)
    await here.aclose()
    assert "no status socket" in caplog.text


def test_a_router_that_goes_on_in_another_loop_takes_its_socket_along(folder: Path) -> None:
    """A loop that is closed takes it away, the next request in another one brings it back."""
    here = router(folder)

    async def once() -> None:
        await ask(here)
        assert (await document(folder))["candidates"][0]["attempts"] >= 1

    asyncio.run(once())
    assert list(folder.iterdir()) == []
    here._wire.any_loop = True  # type: ignore[union-attr]  # a script does not mind
    asyncio.run(once())


def test_a_router_closed_from_another_thread_leaves_no_socket(folder: Path) -> None:
    """The loop that serves is another one than the one that closes."""
    here, begun = router(folder), threading.Event()

    async def serve() -> None:
        await ask(here)
        begun.set()
        async with asyncio.timeout(10):
            while list(folder.iterdir()):
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert begun.wait(10)
    asyncio.run(here.aclose())
    thread.join(10)
    assert list(folder.iterdir()) == []


WRONG: list[Any] = [
    pytest.param(lambda folder: folder / "none", "No such file or directory", id="missing"),
    pytest.param(lambda folder: Path(__file__), "not a folder", id="a-file"),
    pytest.param(lambda folder: _made(folder / "open", 0o777), "chmod o-w", id="open-to-all"),
    pytest.param(lambda folder: _made(folder / ("x" * 90), 0o700), "take a shorter", id="long"),
]


def _made(folder: Path, mode: int) -> Path:
    folder.mkdir()
    folder.chmod(mode)
    return folder


@pytest.mark.parametrize(("make", "words"), WRONG)
def test_a_folder_that_will_not_do_is_refused_as_the_router_is_made(
    folder: Path, make: Callable[[Path], Path], words: str
) -> None:
    """With the folder, what is wrong, and what to do."""
    path = make(folder)
    with pytest.raises(InvalidRequest, match="status_dir: ") as refused:
        router(path)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)
    if path.parent == folder and path.exists():
        path.rmdir()


def test_a_sticky_folder_will_do(folder: Path) -> None:
    """As `/tmp` is."""
    folder.chmod(0o1777)
    assert status_folder(folder) == folder
