"""`hybridllm top`: rates from two looks, what a terminal of any width shows, and documents of strangers."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import Result

from cli.conftest import run_in_terminal
from hybridllm.cli.status.ask import Found
from hybridllm.cli.top.looks import Looks
from hybridllm.cli.top.screen import picture
from status_folder import short_folder, teller

NOON = datetime(2026, 11, 28, 14, 2, 11, tzinfo=UTC)
CANDIDATE = {
    "backend": "global-eu",
    "model": "qwen3-32b",
    "breaker": "closed",
    "gate": None,
    "reason": "",
    "attempts": 1,
    "failures": 0,
    "prompt_tokens": 900,
    "cached_share": 0.41,
}
BACKEND = {"backend": "global-eu", "in_flight": 3, "limit": None, "waiting": 0}
MACHINE = {"backend": "vllm-fra", "in_flight": 8, "limit": 8, "waiting": 2}
OVERFLOW = {"route": "default", "sources": ["vllm-fra"], "to": ["global-eu"], "spells": 1}
VOLUME = {
    "condition": "tokens_per_day >= 500M",
    "whose": "",
    "holds": False,
    "since": None,
    "now": 310e6,
    "enter": 500e6,
    "exit": 450e6,
    "days": 12,
    "days_needed": 90,
    "share": 0.13,
    "text": "",
}


def told(look: int, **changed: Any) -> dict[str, Any]:
    """What a process tells at the looks 0, 1, 2: a request of 1,000 tokens a look on the API, two at home."""
    return {
        "pid": 4711,
        "argv0": "/srv/worker.py",
        "started_at": "2026-11-28T10:02:11+00:00",
        "policy": "team",
        "version": "sha256:0123456789ab",
        "reloads": 0,
        "failed": 0,
        "panic": [],
        "retry_budget_left": 10,
        "requests": 3 * look,
        "candidates": [CANDIDATE, CANDIDATE | {"backend": "vllm-fra"}],
        "backends": [
            MACHINE
            | {"attempts": 2 * look, "tokens_in": 1_800 * look, "tokens_out": 200 * look}
            | {"cost_usd": "0", "cost_unknown": 0, "machines_usd_per_hour": 2.0534},
            BACKEND
            | {"attempts": look, "tokens_in": 900 * look, "tokens_out": 100 * look}
            | {"cost_usd": f"{look * 0.0001:.4f}", "cost_unknown": 0},
        ],
        "overflows": [OVERFLOW | {"on": False, "why": "", "left": look, "stayed": 2 * look}],
        "volumes": [VOLUME],
    } | changed


def seen(*documents: dict[str, Any], every_s: float = 1.0) -> Looks:
    """Looks at one process, one after the other."""
    looks = Looks()
    for number, document in enumerate(documents):
        found = Found(processes=[document], sockets=["hybridllm-4711-0.sock"])
        now_utc = NOON + timedelta(seconds=number * every_s)
        looks.add(found, now_s=number * every_s, now_utc=now_utc)
    return looks


def drawn(looks: Looks, *, width: int = 200) -> list[str]:
    """The lines of a picture, their columns two spaces apart."""
    out = Console(width=width, markup=False, highlight=False, emoji=False)
    with out.capture() as captured:
        out.print(picture(looks, [], "/run/x", now_utc=NOON, width=width))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= width
    return [re.sub(r" {2,}", "  ", line.strip()) for line in lines]


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def test_rates_are_the_difference_of_two_looks() -> None:
    """Requests, tokens, shares and money: over the seconds between them."""
    (process,) = seen(told(0), told(2), every_s=2.0).processes
    rates = process.rates.to_dict()
    assert (rates["requests_per_s"], rates["tokens_per_s"]) == (3.0, 3_000.0)
    assert rates["backends"]["global-eu"] == {
        "attempts_per_s": 1.0,
        "share": pytest.approx(1 / 3),
        "tokens_per_s": 1_000.0,
        "usd_per_hour": "0.36",
        "usd_incomplete": False,
    }
    assert rates["leaving"] == {"default": pytest.approx(1 / 3)}


def test_a_rate_looks_back_five_seconds_at_most() -> None:
    """So that figures neither jump with each answer nor tell of what is long over."""
    busy = [told(look) for look in range(10)]
    quiet = [told(9)] * 7
    (process,) = seen(*busy).processes
    assert process.rates.seconds == pytest.approx(5.0)
    (process,) = seen(*busy, *quiet).processes
    assert process.rates.requests_per_s == 0.0
    assert process.rates.leaving == {"default": None}


def test_counters_that_began_anew_make_no_rate() -> None:
    """A policy that dropped a backend and has it again counts from nothing: nobody earns by that."""
    (process,) = seen(told(9), told(2)).processes
    assert process.rates.requests_per_s is None
    assert process.rates.tokens_per_s is None
    assert process.rates.usd_per_hour is None
    assert "- tokens/s" in " ".join(drawn(seen(told(9), told(2))))


def test_another_process_in_the_same_place_is_another_one() -> None:
    """The same name of a socket, another start: its first look makes no rates."""
    (process,) = seen(told(5), told(6, started_at="2026-11-28T14:02:00+00:00")).processes
    assert process.rates.seconds is None


def test_a_picture_tells_head_backends_overflow_and_volumes() -> None:
    """All of it at 200 columns."""
    lines = drawn(seen(told(0), told(1)))
    assert lines[0] == "team  sha256:0123456789ab  pid 4711  worker.py  up 4 h 0 min"
    assert lines[1].startswith("3.0 requests/s  3,000 tokens/s  $0.360/hour  and $2.05/hour for")
    machine = next(line for line in lines if line.startswith("vllm-fra"))
    assert machine.startswith("vllm-fra  up  8/8 full  2  2,000  2.0  ████████····  67 %  41 %")
    assert machine.endswith("$0  $2.05")
    assert "global-eu  up  3  0  1,000  1.0  ████········  33 %  41 %  $0.360  -" in lines
    assert "default  off  vllm-fra -> global-eu  ███·····  33 %  1 of 3  1" in lines
    assert "tokens_per_day >= 500M  no  █·······  13 %  12 of 90  310M  500M / 450M" in lines


@pytest.mark.parametrize(
    ("candidate", "backend", "state"),
    [
        pytest.param({}, {}, "up", id="up"),
        pytest.param({}, {"awake_in_s": 12.3}, "waking 12 s", id="waking"),
        pytest.param({"breaker": "open"}, {}, "open 1/2", id="one-model"),
        pytest.param({"breaker": "half_open"}, {}, "half-open", id="half-open"),
        pytest.param({"gate": "rate"}, {}, "rate gate 1/2", id="gate"),
    ],
)
def test_the_state_of_a_backend_is_a_word(
    candidate: dict[str, Any], backend: dict[str, Any], state: str
) -> None:
    """The worst that is known; colours only say it once more."""
    two = [CANDIDATE | candidate, CANDIDATE | {"model": "other"}]
    document = told(1, candidates=two, backends=[BACKEND | backend])
    assert any(line.startswith(f"global-eu  {state}  3") for line in drawn(seen(document)))


def test_narrow_terminals_lose_the_least_important_columns() -> None:
    """At 80 columns: state, load, share and money; at 40 there is still a name and a state."""
    document = told(1, volumes=[VOLUME | {"condition": "tokens_per_day >= 500M " * 9}])
    lines = drawn(seen(told(0), document), width=80)
    (titles,) = [line for line in lines if line.startswith("backend")]
    assert all(title in titles for title in ("state", "share now", "$/hour", "tokens/s"))
    assert not any("$ machines" in line for line in lines)
    (narrow,) = [line for line in drawn(seen(document), width=40) if line.startswith("vllm-fra")]
    assert narrow.startswith("vllm-fra  up")


def test_what_changes_between_two_looks_is_told_with_its_time() -> None:
    """The latest first: a spell of overflow, a crossing, a backend that is woken, a breaker."""
    on = OVERFLOW | {"on": True, "why": "vllm-fra is saturated (9 waiting)", "on_for_s": 0.4}
    after = told(
        1,
        overflows=[on | {"left": 1, "stayed": 0}],
        volumes=[VOLUME | {"holds": True, "text": "more than the machines"}],
        candidates=[CANDIDATE | {"breaker": "open"}],
        backends=[BACKEND | {"awake_in_s": 15.0}],
    )
    looks = seen(told(0), after, told(2))
    (process,) = looks.processes
    assert [event.words for event in process.events] == [
        "route default overflows: vllm-fra is saturated (9 waiting)",
        "tokens_per_day >= 500M holds now: more than the machines",
        "backend global-eu is woken; expected in 15 s",
        "breaker of global-eu/qwen3-32b: closed -> open",
        "route default is back: nobody leaves any more",
        "tokens_per_day >= 500M holds no longer",
        "backend global-eu is awake",
        "breaker of global-eu/qwen3-32b: open -> closed",
    ]
    assert "14:02:13  backend global-eu is awake" in drawn(looks)


def test_older_documents_have_dashes() -> None:
    """What a version before this one told is enough: no overflow, no volume, no counter."""
    old = {name: told(1)[name] for name in ("pid", "argv0", "started_at", "policy", "version")}
    bare = {name: CANDIDATE[name] for name in ("backend", "model", "breaker", "gate", "reason")}
    old |= {"panic": [], "candidates": [bare], "backends": [BACKEND]}
    lines = drawn(seen(old, old))
    assert "- tokens/s  -/hour" in lines
    assert "global-eu  up  3  0" in lines


@pytest.mark.parametrize("odd", ["x" * 5_000, 10**400, [[]], {"a": 1}, True, None, -1, "1e999999"])
def test_whatever_a_stranger_tells_is_drawn(odd: Any) -> None:
    """Any value in any place: a dash, never an error; never wider than the terminal."""
    rows, keys = ("candidates", "backends", "overflows", "volumes"), {"backend", "model", "route"}
    for wrong in (
        keys,
        {name for kind in rows for row in told(1)[kind] for name in row}.difference(keys),
    ):
        document = told(1)
        for kind in rows:
            document[kind] = [
                row | {name: odd for name in row if name in wrong} for row in document[kind]
            ]
        drawn(seen(told(0), document, told(2)), width=100)
    drawn(seen(told(0), dict.fromkeys(told(1), odd), told(2)), width=100)


def test_once_looks_twice_and_prints_one_picture(
    folder: Path, hybridllm: Callable[..., Result]
) -> None:
    """For pipes; and JSON for scripts: what was told, with its rates."""
    count = itertools.count()
    with teller(folder, lambda: json.dumps(told(next(count))).encode()):
        done = hybridllm("top", folder, "--once", "--every", "0.2")
        assert (done.exit_code, done.stdout.count("pid 4711")) == (0, 1)
        assert "requests/s" in done.stdout
        assert "\x1b" not in done.stdout
        done = hybridllm("top", folder, "--json", "--every", "0.2")
    document = json.loads(done.stdout)
    (process,) = document["processes"]
    assert (document["ok"], process["policy"], document["silent"]) == (True, "team", [])
    assert 0 < process["rates"]["requests_per_s"] <= 15
    assert process["events"] == []


def test_where_nobody_is_it_ends_with_1(folder: Path, hybridllm: Callable[..., Result]) -> None:
    """And says how somebody would be there. A folder that is not there is wrong usage."""
    done = hybridllm("top", folder, "--once")
    assert done.exit_code == 1
    assert "no process tells its status" in done.stderr
    assert hybridllm("top", folder / "none").exit_code == 2


def test_what_would_steer_the_terminal_is_taken_out(folder: Path) -> None:
    """In a terminal, with colours, at 80 columns."""
    document = told(1, policy="a\x1b]0;owned\x07b")
    with teller(folder, json.dumps(document).encode()):
        code, shown = run_in_terminal("top", folder, "--once", "--every", "0.2", columns=80)
    assert code == 0, shown
    assert "\x1b]0" not in shown
    assert "a?]0;owned?b" in shown
    assert re.search(r"\x1b\[32mup", shown)
    lines = [re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", line) for line in shown.splitlines()]
    assert max(len(line.rstrip()) for line in lines) <= 80


def test_it_draws_until_ctrl_c(folder: Path) -> None:
    """It ends with 130, and says so."""
    command = [sys.executable, "-m", "hybridllm", "top", str(folder), "--every", "0.2"]
    with (
        teller(folder, json.dumps(told(1)).encode()),
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as shown,
    ):
        assert shown.stdout is not None
        for line in shown.stdout:
            if "requests/s" in line:
                break
        os.kill(shown.pid, signal.SIGINT)
        _, errors = shown.communicate(timeout=30)
    assert (shown.returncode, errors.strip()) == (130, "interrupted")
