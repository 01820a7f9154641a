"""The life of a process, under the servers that run applications: rows C8 and C9 of the fault catalogue.

C8 in event loops, threads and forks by hand: `runtime/test_event_loops.py`, `runtime/test_fork.py`. C9 in the
command line: `cli/test_demo_signals.py`.
"""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from hybridllm.testing import SimulatedBackend
from runtime.outside import backend_outside

TESTS = Path(__file__).parents[1]
TOKENS = "one two three four five six seven eight nine ten"
GUNICORN = (
    "gunicorn",
    *("--preload", "--pythonpath", str(TESTS)),
    *("--log-level", "warning", "--graceful-timeout", "20"),
)
STARTS_WITHIN_S = 120  # on a machine with much else to do


class OverPath(http.client.HTTPConnection):
    """HTTP over a socket in the file system: nobody else can have taken it."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self._path))


def got(path: Path) -> str:
    """The body of one answer."""
    connection = OverPath(path)
    try:
        connection.request("GET", "/", headers={"connection": "close"})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@contextmanager
def served(path: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a server for the length of the block, once it takes requests."""
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            give_up_at_s = time.perf_counter() + STARTS_WITHIN_S
            while not path.exists():
                assert process.poll() is None, process.communicate()
                assert time.perf_counter() < give_up_at_s
                time.sleep(0.02)
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def stopped(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for its end; return its exit code and what it complained of."""
    _, errors = process.communicate(timeout=30)
    return process.returncode, errors


@pytest.fixture
def backend() -> Iterator[SimulatedBackend]:
    with backend_outside(answer=TOKENS, tokens_per_s=10.0) as backend:
        yield backend


def test_c8_workers_of_a_prefork_server_each_have_their_own(
    backend: SimulatedBackend, tmp_path: Path
) -> None:
    """`gunicorn --preload`: the router was made, and used, in the parent. Every request is answered."""
    backend.tokens_per_s = None
    path = tmp_path / "socket"
    bind = ("-b", f"unix:{path}", "-w", "2", f"faults.served_apps:wsgi({backend.base_url!r})")
    with served(path, *GUNICORN, *bind) as process:
        told: list[list[str]] = []
        with ThreadPoolExecutor(4) as clients:
            while (
                len({pid for pid, *_ in told}) < 2 and len(told) < 400
            ):  # as the kernel shares them out
                told += [body.split(" ", 1) for body in clients.map(got, [path] * 20)]
        process.send_signal(signal.SIGTERM)
        assert stopped(process) == (0, "")
    assert {said for _, said in told} == {TOKENS}
    assert len({pid for pid, _ in told} - {str(process.pid)}) == 2
    assert len(backend.requests) == len(told) + 1


def test_c9_sigterm_lets_a_stream_under_way_come_to_its_end(
    backend: SimulatedBackend, tmp_path: Path
) -> None:
    """An ASGI worker: it takes nothing new, its stream is whole, and the server ends with 0."""
    path = tmp_path / "socket"
    bind = (
        "-k",
        "asgi",
        "-b",
        f"unix:{path}",
        "-w",
        "1",
        f"faults.served_apps:asgi({backend.base_url!r})",
    )
    backend.tokens_per_s, slowly = None, backend.tokens_per_s  # what the parent asks first
    with served(path, *GUNICORN, *bind) as process, ThreadPoolExecutor(1) as client:
        backend.tokens_per_s = slowly
        streaming = client.submit(got, path)
        give_up_at_s = time.perf_counter() + 30
        while len(backend.requests) < 2:
            assert time.perf_counter() < give_up_at_s
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert streaming.result(30) == TOKENS
        assert stopped(process) == (0, "")
