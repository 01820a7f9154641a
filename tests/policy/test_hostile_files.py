"""A hostile or sloppy file is told as such, at once and in little memory; one that only looks it loads.

`PYTHONPATH=tests python tests/policy/test_hostile_files.py` tells how much memory each of them takes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.snapshot import IDLE
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.problems import Problem
from hybridllm._core.request.facts import Facts
from hybridllm.errors import PolicyError
from policy.hostile_files import AN_API_KEY, ENVIRON, FILES, HOSTILE, HostileFile
from policy.policy_text import GOOD

CPU_S_MAX = 0.1
MEMORY_MAX = 50 * 2**20
RESET_PEAK = Path("/proc/self/clear_refs")
MESSAGE_LENGTH_MAX = 2_000
KEYS = (
    AN_API_KEY[8:20],
    AN_API_KEY[-10:],
    "0123456789ab",
)  # pieces of those that stand in the files
EACH = pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in FILES])


def loaded(data: bytes) -> tuple[Policy | None, tuple[Problem, ...]]:
    """Return the policy, or None, and what is said of it."""
    try:
        return load_policy_text(data, source="p.yaml", environ=ENVIRON)
    except PolicyError as error:
        return None, error.problems


def test_there_are_enough_of_them() -> None:
    """Each under a name of its own; the reload tests take theirs from here."""
    assert len({file.name for file in FILES}) == len(FILES)
    assert len(HOSTILE) >= 80


@EACH
def test_a_hostile_file_gives_one_list_of_errors_at_once(
    file: HostileFile, capsys: pytest.CaptureFixture[str]
) -> None:
    """In less than 100 ms of CPU. Nothing else is raised or printed; no message shows a key, or is a book."""
    loaded(GOOD.encode())  # what is made once per process is made
    policy, problems = None, ()
    spent_s = []
    while min(spent_s, default=CPU_S_MAX) >= CPU_S_MAX and len(spent_s) < 6:
        started_s = time.process_time()
        policy, problems = loaded(file.data)
        spent_s.append(time.process_time() - started_s)
    assert min(spent_s) < CPU_S_MAX  # whatever else the machine does
    told = "\n".join(map(str, problems))
    assert (policy is not None) is (file.says == ""), told
    assert file.says in told
    assert all(problem.warning for problem in problems) is (policy is not None)
    assert not any(piece in told for piece in KEYS), told
    assert max(map(len, map(str, problems)), default=0) < MESSAGE_LENGTH_MAX
    assert (
        len(problems) <= 202
    )  # a hundred errors, a hundred warnings, and that there are more of each
    assert all(problem.line >= 0 and problem.column >= 1 for problem in problems)
    assert capsys.readouterr() == ("", "")


def test_a_hostile_file_of_tests_refuses_the_policy() -> None:
    """Beside a good policy each of them is told, as in the policy itself; none is a file of tests."""
    for file in FILES:
        with pytest.raises(PolicyError) as caught:
            load_policy_text(GOOD, environ=ENVIRON, tests=file.data, tests_source="p.test.yaml")
        assert {problem.file for problem in caught.value.problems} == {"p.test.yaml"}
        assert not any(piece in str(caught.value) for piece in KEYS)


@pytest.mark.skipif(not RESET_PEAK.exists(), reason="only Linux tells the peak of a while")
def test_a_hostile_file_takes_little_memory() -> None:
    """Less than 50 MiB more than before, as the system sees it: the parsers' own memory is counted, too.

    In a process of its own, one file after the other; all of them together leave no more behind.
    """
    done = subprocess.run(
        [sys.executable, __file__],
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    grown = json.loads(done.stdout)
    assert len(grown["by_file"]) == len(FILES)
    assert max(grown["by_file"].values()) < MEMORY_MAX
    assert grown["in_all"] < MEMORY_MAX
    assert done.stderr == ""


def test_hostile_patterns_cost_a_decision_little() -> None:
    """As many patterns as a file may have, each as bad as it may be: compiled once, then matched."""
    (file,) = (file for file in FILES if file.name == "256-patterns")
    policy, _ = loaded(file.data)
    assert policy is not None
    tenants = [f"{number}{'a' * 100}{'abcdef' * 20}{'g' * 30}" for number in range(4)]
    spent_s = []
    for tenant in tenants:
        facts = Facts(tenant=tenant, residency="public", environment="production")
        started_s = time.process_time()
        decide(policy, facts, IDLE)
        spent_s.append(time.process_time() - started_s)
    assert spent_s[0] < 0.5  # once per process; most of it was spent when the policy was proved
    assert min(spent_s[1:]) < 0.02


def _tell_memory() -> None:
    loaded(GOOD.encode())
    first = _bytes("VmRSS")
    by_file = {}
    for file in FILES:
        before = _bytes("VmRSS")
        RESET_PEAK.write_text("5")
        loaded(file.data)
        by_file[file.name] = _bytes("VmHWM") - before
    sys.stdout.write(json.dumps({"by_file": by_file, "in_all": _bytes("VmRSS") - first}))


def _bytes(name: str) -> int:
    """Return what Linux says of this process: memory now (VmRSS), and at most since the reset (VmHWM)."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    _tell_memory()
