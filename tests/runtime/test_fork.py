"""A router in a process that forks: the child has everything anew, the parent does not notice.

All scenes are played by one script (`forked.py`) in a process of its own: this one has threads, and those
are not for forking. Its standard error must be empty: warnings of unclosed sockets are on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime.outside import backend_outside
from runtime.reloading import put, text

SCRIPT = Path(__file__).parent / "forked.py"
WARNINGS = ("-W", "error::ResourceWarning", "-W", "error::RuntimeWarning")
TOKENS = "one two three four five"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each scene came to."""
    path = tmp_path_factory.mktemp("forked") / "team.yaml"
    put(path, text("eu"))
    with backend_outside(answer=TOKENS, tokens_per_s=50.0) as backend:
        done = subprocess.run(
            [sys.executable, *WARNINGS, SCRIPT, backend.base_url, path],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_c8_a_router_that_was_used_before_the_fork_works_in_every_child(scenes: Any) -> None:
    """A module's global, warmed up in the parent; and it works on in the parent."""
    played = scenes["used_before"]
    assert played["children"] == [{"said": TOKENS, "exit": 0}] * 2
    assert played["parent"] == TOKENS


def test_c8_a_fork_amid_requests_leaves_them_to_the_parent(scenes: Any) -> None:
    """The child counts none of them as its own; its garbage and its `aclose` close nothing of theirs."""
    played = scenes["in_a_running_loop"]
    child = played["child"]
    assert (child["exit"], child["said"]) == (0, TOKENS)
    assert child["in_flight"] == [1, 0]
    assert child["status"] == {"eu": 0}
    assert child["after"].startswith("RouterClosed")
    assert played["stream"] == TOKENS
    assert played["parent"] == TOKENS


def test_a_stream_of_the_parent_is_told_apart_in_the_child(scenes: Any) -> None:
    """Two readers of one socket would each get half of it."""
    child = scenes["in_a_running_loop"]["child"]
    assert "belongs to another event loop" in child["read"]
    assert "belongs to another event loop" in child["closed"]


def test_a_child_that_ends_like_any_program_closes_nothing_of_the_parents(scenes: Any) -> None:
    """Its destructors run while the parent's loop is open, as in a worker of gunicorn."""
    played = scenes["open_loop"]
    assert played["child"] == {"said": TOKENS, "exit": 0}
    assert played["stream"] == TOKENS
    assert played["parent"] == TOKENS


@pytest.mark.parametrize("scene", ["only_closed", "only_dropped"])
def test_a_child_that_only_closes_or_drops_a_router_does_no_harm(scenes: Any, scene: str) -> None:
    """No shutdown of shared sockets, and none of them taken off the parent's list."""
    played = scenes[scene]
    assert played["child"]["exit"] == 0
    assert played["stream"] == TOKENS
    assert played["parent"] == TOKENS


def test_a_watched_file_is_watched_in_the_child_by_a_thread_of_its_own(scenes: Any) -> None:
    """From its first use on; threads are not copied, and waiting for one would be for ever."""
    played = scenes["watched"]
    child = played["child"]
    assert child["exit"] == 0
    assert (child["before"], child["watching"]) == (False, True)
    assert "hybridllm-policy" in child["threads"]
    assert played["watching"]


def test_children_draw_chances_of_their_own(scenes: Any) -> None:
    """Copies of one generator would wait and retry in step."""
    drawn = scenes["chances"]["drawn"]
    assert len(set(drawn)) == len(drawn)


def test_c8_a_pool_of_multiprocessing_workers_uses_a_global_router(scenes: Any) -> None:
    """With the start method `fork`; each call runs its own loop."""
    assert scenes["pool"]["said"] == [TOKENS] * 4


def test_c8_a_wire_that_was_handed_in_is_refused_in_the_child(scenes: Any) -> None:
    """Nobody but its maker can make another; the parent goes on with it."""
    played = scenes["handed_in"]
    assert played["child"]["said"].startswith("RouterClosed")
    assert "hand a new one to a new router" in played["child"]["said"]
    assert played["parent"] == TOKENS
