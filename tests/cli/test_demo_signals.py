"""`hybridllm demo` and signals: asked once it ends in good order, asked twice at once. Row C9.

Ctrl-C is in `test_demo.py`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

LONG = ("--seconds", "60", "--requests", "1200")
STOPPABLE = """
import asyncio, sys
from hybridllm.cli.signals import run_until_stopped

async def main(stop):
    print("ready", flush=True)
    await stop.asked.wait()
    print("asked", flush=True)
    try:
        await asyncio.sleep(60)
    finally:
        print("cleaned up", flush=True)

from typer.main import get_command
import typer
app = typer.Typer()
app.command()(lambda: run_until_stopped(main))
app()
"""


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program for the length of the block at most."""
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def demo(*options: str) -> Iterator[subprocess.Popen[str]]:
    """Run it, and go on once its traffic has begun."""
    with started("-m", "hybridllm", "demo", *LONG, *options) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "all up" in line and " 0 of " not in line:
                break
        yield process


def listens(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal; Linux tells."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit code, and what it still said."""
    said, errors = process.communicate(timeout=60)
    return process.returncode, said, errors


def test_c9_sigterm_drains_prints_the_summary_and_ends_with_0() -> None:
    """Nothing is unexpected about it, and no traceback is shown."""
    with demo("--plain") as process:
        process.send_signal(signal.SIGTERM)
        code, said, errors = ended(process)
    assert (code, errors) == (0, "")
    assert "Stopped by SIGTERM after" in said
    assert "100 % answered" in said
    assert "did not end in time" not in said
    assert "One decision" in said


def test_c9_what_does_not_end_in_time_is_broken_off() -> None:
    """Without any time to drain, too: each request has an end, and the demo its summary."""
    with demo("--drain", "0", "--plain") as process:
        process.send_signal(signal.SIGTERM)
        code, said, errors = ended(process)
    assert (code, errors) == (0, "")
    assert "Stopped by SIGTERM" in said
    assert "unexpected" not in said


@pytest.mark.parametrize(
    ("first", "second", "code", "told"),
    [
        (signal.SIGTERM, signal.SIGTERM, 143, "terminated"),
        (signal.SIGINT, signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, signal.SIGINT, 130, "interrupted"),
    ],
)
def test_a_second_signal_ends_a_command_at_once(
    first: signal.Signals, second: signal.Signals, code: int, told: str
) -> None:
    """No traceback; whoever waits has waited enough. What has to be put away is put away."""
    with started("-c", STOPPABLE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(first)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(second)
        assert ended(process) == (code, "cleaned up\n", f"{told}\n")


def test_a_demo_that_is_stopped_before_it_began_tells_so_in_json() -> None:
    """With the requests that there were: none, or a few."""
    with started("-m", "hybridllm", "demo", *LONG, "--json") as process:
        give_up_at_s = time.perf_counter() + 60
        while not listens(process, signal.SIGTERM):
            assert time.perf_counter() < give_up_at_s
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        code, said, errors = ended(process)
    assert (code, errors) == (0, "")
    told: dict[str, Any] = json.loads(said)
    assert (told["ok"], told["stopped"]) == (True, "SIGTERM")
    assert told["requests"] < 600
    assert told["endings"]["unexpected"] == 0
