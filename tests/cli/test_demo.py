"""`hybridllm demo`, its first act: from the first line to the last, with real servers and a real outage."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from typer.testing import Result

from cli.conftest import run_in_terminal
from hybridllm.cli.demo.outage.traffic import traffic
from hybridllm.cli.quantiles import quantile

SHORT = ("--act", "1", "--requests", "60", "--seconds", "1.5")


def test_a_region_dies_and_every_allowed_request_has_its_answer(
    hybridllm: Callable[..., Result],
) -> None:
    """The numbers fit together, and nothing unexpected happened."""
    done = hybridllm("demo", *SHORT, "--json")

    assert (done.exit_code, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    endings = told["endings"]
    assert (told["ok"], told["simulated"], told["requests"]) == (True, True, 60)
    assert sum(endings.values()) == 60
    assert endings["unexpected"] == 0
    assert endings["denied"] >= 1
    assert told["phases"]["outage"]["answered"] > 0
    assert told["backends"]["global-us"]["failed"] > 0
    assert told["failovers"] > 0
    assert set(told["tenants"]) == {"acme", "globex", "initech"}
    assert told["explained"]["candidates"][0]["candidate"] == "vllm-fra/qwen3-32b"


def test_without_a_terminal_there_are_plain_lines_and_a_summary(
    hybridllm: Callable[..., Result],
) -> None:
    """No control characters; it says that the backends are simulated."""
    done = hybridllm("demo", *SHORT)

    assert done.exit_code == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "SIMULATED" in done.stdout
    for words in ("region down", "failovers to another backend", "residency tag 'ue'", "acme"):
        assert words in done.stdout
    assert "vllm-fra/qwen3-32b" in done.stdout


@pytest.mark.parametrize("columns", [80, 130])
def test_in_a_terminal_the_picture_is_drawn_over_itself(columns: int) -> None:
    """In a narrow one it has fewer columns; no line of it is longer than the terminal."""
    code, told = run_in_terminal("demo", *SHORT, columns=columns)

    assert code == 0, told
    up_one_line = "\x1b[1A"
    assert told.count(up_one_line) > 40
    assert "DOWN" in told
    assert ("1st token" in told) is (columns == 130)
    lines = re.split(r"[\r\n]|\x1b\[\d[AK]", told.partition("One failover")[0])
    assert max(len(re.sub(r"\x1b\[[\d;?]*[a-z]", "", line)) for line in lines) <= columns


def test_ctrl_c_stops_it_with_130() -> None:
    """What is under way ends; nothing is left behind, and no traceback is shown."""
    command = [sys.executable, "-m", "hybridllm", "demo", "--plain", "--seconds", "60"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "all up" in line:
                break
        started = time.perf_counter()
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=20)

    assert process.returncode == 130
    assert errors.split() == ["interrupted"]
    assert "Stopped by SIGINT" in said  # and the summary, as after SIGTERM
    assert time.perf_counter() - started < 10


def test_the_same_seed_asks_the_same() -> None:
    """In the order of time; another seed asks something else."""
    asks = traffic(requests=200, seconds=5, seed=3)

    assert asks == traffic(requests=200, seconds=5, seed=3)
    assert asks != traffic(requests=200, seconds=5, seed=4)
    assert [ask.at_s for ask in asks] == sorted(ask.at_s for ask in asks)
    assert asks[0].at_s >= 0
    assert asks[-1].at_s <= 5
    assert {ask.residency for ask in asks} == {None, "eu", "phi", "ue"}


@pytest.mark.parametrize("requests", [1, 10, 30])
def test_a_misspelt_tag_is_always_among_the_traffic(requests: int) -> None:
    """However short the demo is, it shows a denial."""
    assert any(ask.denied for ask in traffic(requests=requests, seconds=1, seed=1))


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([1.0], 0.99, 1.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([float(n) for n in range(100)], 0.99, 98.0),
    ],
)
def test_a_quantile_is_one_of_the_values(values, share, expected) -> None:
    """Of none, there is none."""
    assert quantile(values, share) == expected
