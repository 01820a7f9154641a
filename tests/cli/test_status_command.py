"""`hybridllm status`: what running processes say, as tables and as JSON; what it says where nobody is."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from cli.conftest import run_in_terminal
from status_folder import short_folder, teller

ROW = {
    "backend": "global-us",
    "model": "qwen3-8b",
    "breaker": "closed",
    "gate": None,
    "reason": "",
    "attempts": 10,
    "failures": 1,
    "first_token_ms_p50": 120.4,
    "first_token_ms_p95": 1310.2,
    "answer_ms_p50": None,
    "answer_ms_p95": None,
}
OPEN = {"breaker": "open", "reason": "open, last 503; probe in 4.2 s", "attempts": 0}
HALF = {"breaker": "half_open", "reason": "a probe is under way, 1 of 2 probes good"}
GATE = {"gate": "credential", "reason": "credential gate after 401, 53 s left"}
TOLD: dict[str, Any] = {
    "pid": 4711,
    "argv0": "/usr/bin/gunicorn",
    "started_at": "2026-11-28T14:02:11+00:00",
    "policy": "team",
    "version": "sha256:0123456789ab",
    "file": "policies/team.yaml",
    "reloads": 3,
    "failed": 1,
    "last_error": "team.yaml:3:1: 'rotes' is no key\nand more",
    "panic": ["qwen3-8b"],
    "retry_budget_left": 87.6,
    "candidates": [
        ROW,
        ROW | {"backend": "global-eu"} | OPEN,
        ROW | {"backend": "own"} | HALF,
        ROW | {"backend": "vllm-fra", "model": "qwen3-embedding-0.6b"} | GATE,
    ],
    "backends": [
        {"backend": "global-us", "in_flight": 3, "limit": None, "waiting": 0},
        {"backend": "vllm-fra", "in_flight": 4, "limit": 4, "waiting": 2},
    ],
}


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def as_bytes(**changed: Any) -> bytes:
    return json.dumps(TOLD | changed).encode()


def test_every_process_is_told_with_its_candidates_and_backends(
    folder: Path, hybridllm: Callable[..., Result]
) -> None:
    """A gate goes before the breaker; figures stand in milliseconds."""
    with teller(folder, as_bytes()), teller(folder, as_bytes(pid=12, policy="a"), number=1):
        done = hybridllm("status", folder)
    assert done.exit_code == 0
    lines = [re.sub(r" {2,}", "  ", line.strip()) for line in done.stdout.splitlines()]
    assert lines[0].startswith("a  sha256:0123456789ab")
    assert "pid 4711  gunicorn  since 2026-11-28 14:02:11 UTC" in lines
    assert "retry budget: 88 attempts left  reloads: 3, 1 failed" in lines
    assert "the last reload failed: team.yaml:3:1: 'rotes' is no key" in lines
    assert "PANIC: everybody is refused for qwen3-8b" in lines
    assert "global-us/qwen3-8b  closed  1/10  120/1310  -" in lines
    assert "global-eu/qwen3-8b  open  -  120/1310  -  open, last 503; probe in 4.2 s" in lines
    assert "own/qwen3-8b  half-open  1/10  120/1310  -  " + HALF["reason"] in lines
    gated = "vllm-fra/qwen3-embedding-0.6b  credential gate  1/10  120/1310  -  "
    assert gated + GATE["reason"] in lines
    assert "vllm-fra  4  4  2  -  -" in lines


def test_what_is_known_of_a_backends_load_is_told(
    folder: Path, hybridllm: Callable[..., Result]
) -> None:
    """What is not known is left out; nothing is said of backends that nobody looks at."""
    load = {"running": 12.0, "queued": 3.0, "kv_used": 0.5, "wait_s": 1.24, "cache_hit_rate": None}
    pace = {"tokens_per_s": 640.2, "saturated": "about 3 waiting in its queue", "stale": False}
    silent = {"backend": "b", "in_flight": 0, "limit": None, "waiting": 0, "saturated": "it sleeps"}
    own = {"backend": "own", "in_flight": 4, "limit": None, "waiting": 0} | load | pace
    with teller(
        folder, as_bytes(backends=[own, silent, {**silent, "backend": "c", "saturated": ""}])
    ):
        done = hybridllm("status", folder)
    lines = [line for line in done.stdout.splitlines() if line.startswith("load of ")]
    assert lines == [
        "load of own: 12 running, 3 queued, 50 % of the KV cache, 1.2 s to wait, 640 tokens/s; saturated: "
        "about 3 waiting in its queue",
        "load of b: unknown; saturated: it sleeps",
    ]


def test_what_share_of_prompts_was_cached_is_shown_where_somebody_tells(
    folder: Path, hybridllm: Callable[..., Result]
) -> None:
    """A column more; who does not tell has a dash, and so has a process of an older version."""
    first, *others = TOLD["candidates"]
    rows = [
        first | {"cached_share": 0.784},
        *(one | {"cached_share": None} for one in others[:1]),
        *others[1:],
    ]
    with teller(folder, as_bytes(candidates=rows)):
        done = hybridllm("status", folder)
    lines = [re.sub(r" {2,}", "  ", line.strip()) for line in done.stdout.splitlines()]
    assert "global-us/qwen3-8b  closed  1/10  120/1310  -  78%" in lines
    assert "global-eu/qwen3-8b  open  -  120/1310  -  -  open, last 503; probe in 4.2 s" in lines


@pytest.mark.parametrize("columns", [80, 100])
def test_in_a_terminal_it_is_coloured_and_fits(folder: Path, columns: int) -> None:
    """Red is open, yellow half-open, green closed."""
    with teller(folder, as_bytes()):
        code, told = run_in_terminal("status", folder, columns=columns)
    assert code == 0, told
    for colour, word in (("1;31", "open"), ("33", "half-open"), ("32", "closed"), ("35", "cred")):
        assert re.search(rf"\x1b\[{colour}m{word}", told), word
    lines = [re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", line) for line in told.splitlines()]
    assert max(len(line.rstrip()) for line in lines) <= columns


def test_json_has_all_that_was_told(folder: Path, hybridllm: Callable[..., Result]) -> None:
    """One object, also what this version does not show."""
    with teller(folder, as_bytes(more={"x": 1})):
        done = hybridllm("status", folder, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        "ok": True,
        "processes": [TOLD | {"more": {"x": 1}}],
        "silent": [],
    }


def test_where_nobody_is_it_says_how_somebody_would_be(
    folder: Path, hybridllm: Callable[..., Result]
) -> None:
    """And takes away what a killed process left."""
    left = folder / "hybridllm-1-0.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    done = hybridllm("status", folder)
    assert done.exit_code == 1
    assert f"no process tells its status in {folder}" in done.stderr
    assert "status_dir=" in done.stderr
    assert not left.exists()
    done = hybridllm("status", folder, "--json")
    assert (done.exit_code, json.loads(done.stdout)["processes"]) == (1, [])


def test_a_folder_that_is_not_there_is_wrong_usage(
    folder: Path, hybridllm: Callable[..., Result]
) -> None:
    """As is drawing JSON again and again."""
    assert hybridllm("status", folder / "none").exit_code == 2
    assert hybridllm("status", folder, "--watch", "--json").exit_code == 2


@pytest.mark.parametrize(
    ("told", "words"),
    [
        pytest.param(b"", "told nothing", id="nothing"),
        pytest.param(b"{", "tells no status", id="half"),
        pytest.param(b"[" * 100_000, "tells no status", id="deep"),
        pytest.param(b"[]", "this version understands", id="list"),
        pytest.param(b'{"pid": 1}', "this version understands", id="other-version"),
        pytest.param(as_bytes(candidates=[{}]), "this version understands", id="other-rows"),
    ],
)
def test_who_tells_something_else_is_named(
    folder: Path, hybridllm: Callable[..., Result], told: bytes, words: str
) -> None:
    """It hides nobody who tells a status."""
    with teller(folder, told, number=1):
        done = hybridllm("status", folder)
        assert done.exit_code == 1
        assert "hybridllm-4711-1.sock" in done.stdout
        assert words in done.stdout
        with teller(folder, as_bytes()):
            done = hybridllm("status", folder)
            assert done.exit_code == 0
            assert words in done.stdout


def test_a_process_that_does_not_answer_is_said_to_be_stuck(
    folder: Path, hybridllm: Callable[..., Result]
) -> None:
    """Its event loop is blocked, most likely: worth knowing at night."""
    with teller(folder, None):
        done = hybridllm("status", folder)
    assert done.exit_code == 1
    assert "no answer within 2 s: its event loop is blocked" in done.stdout


def test_what_would_steer_the_terminal_is_taken_out(
    folder: Path, hybridllm: Callable[..., Result]
) -> None:
    """A socket may be anybody's."""
    with teller(folder, as_bytes(policy="a\x1b]0;owned\x07b", argv0="\x1b[2J")):
        done = hybridllm("status", folder)
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout
    assert "a?]0;owned?b" in done.stdout


def test_watching_draws_until_ctrl_c(folder: Path) -> None:
    """It ends with 130, and says so."""
    command = [
        sys.executable,
        "-m",
        "hybridllm",
        "status",
        str(folder),
        "--watch",
        "--every",
        "0.2",
    ]
    with (
        teller(folder, as_bytes()),
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as shown,
    ):
        assert shown.stdout is not None
        for line in shown.stdout:
            if "global-eu/qwen3-8b" in line:
                break
        os.kill(shown.pid, signal.SIGINT)
        _, told = shown.communicate(timeout=30)
    assert shown.returncode == 130
    assert "interrupted" in told
    assert "Traceback" not in told


def test_the_demo_can_be_asked(folder: Path, hybridllm: Callable[..., Result]) -> None:
    """With --status-dir, by anybody in a second terminal."""
    command = [sys.executable, "-m", "hybridllm", "demo", "--plain", "--seconds", "60"]
    with subprocess.Popen(
        [*command, "--status-dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if re.match(r" *[1-9]\d*\.\d s ", line):  # it is past its first request
                break
        done = hybridllm("status", folder)
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=30)
    assert done.exit_code == 0
    assert f"pid {demo.pid}  python -m hybridllm" in done.stdout
    assert "vllm-fra/qwen3-32b" in done.stdout


@pytest.mark.parametrize(
    ("owner", "asker", "shown"),
    [
        pytest.param(1000, 1000, True, id="ones-own"),
        pytest.param(0, 1000, True, id="of-root"),
        pytest.param(1001, 1000, False, id="of-somebody-else"),
        pytest.param(1001, 0, True, id="asked-by-root"),
    ],
)
def test_only_what_ones_own_processes_tell_is_shown(owner: int, asker: int, shown: bool) -> None:
    """In a folder that all may write to, anybody could put a socket with an invented status."""
    from hybridllm.cli.status.ask import trusted

    assert trusted(owner, asker) is shown
