"""Whether the tests of the core would notice a mistake: each mutant of a file is run against them.

    python tests/mutation/run.py            # all files
    python tests/mutation/run.py breaker    # some

A mutant that no test fails for has survived. It is in a process of its own, forked from one that has
loaded pytest and everything else, with a time limit: a mutant that never ends counts as noticed.
"""

from __future__ import annotations

import ast
import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import hypothesis.stateful  # noqa: F401 - loaded once, before the forks; so the next
import pytest  # noqa: F401

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]

from equivalent import EQUIVALENT  # noqa: E402 - a script: its folder is put first
from mutants import Mutant, mutants  # noqa: E402
from plain import run_file  # noqa: E402

PACKAGE = "hybridllm._core.resilience"
KILLED_MIN = 0.85
LIMIT_S = 30.0
TESTS = {
    "breaker": ["test_breaker.py", "test_breaker_probes.py", "test_breaker_rows.py"],
    "budget": ["test_budget.py"],
    "throttle": ["test_throttle.py"],
    "window": ["test_window.py"],
    "limit": ["test_limit.py"],
    "pace": ["test_pace.py"],
    "classify": ["test_classify.py", "test_classify_billed.py", "test_classify_captures.py"],
    "retry_after": ["test_retry_after.py", "test_classify.py"],
}
_LEFT_OUT = ("at_volume", "next_to_nothing")  # long, and about other things


@dataclass
class Score:
    """How a file did."""

    name: str
    killed: int
    survived: list[Mutant]

    @property
    def total(self) -> int:
        return self.killed + len(self.survived)

    @property
    def share(self) -> float:
        return self.killed / self.total if self.total else 1.0


def scored(name: str) -> Score:
    """Run every mutant of a file."""
    module = importlib.import_module(f"{PACKAGE}.{name}")
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    tests = [str(ROOT / "tests" / "core" / test) for test in TESTS[name]]
    if not _passes(module, ast.parse(source), tests):
        raise SystemExit(f"the tests of {name} fail without any mutant")
    score = Score(name, 0, [])
    for mutant in mutants(source):
        if _passes(module, mutant.tree, tests):
            score.survived.append(mutant)
        else:
            score.killed += 1
    return score


def _passes(module: ModuleType, tree: ast.Module, tests: Sequence[str]) -> bool:
    """Whether all tests pass with this source in the module's place; in a fork, within a time limit."""
    child = os.fork()
    if child == 0:
        os._exit(_verdict(module, tree, tests))
    ends_at_s = time.perf_counter() + LIMIT_S
    while time.perf_counter() < ends_at_s:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _verdict(module: ModuleType, tree: ast.Module, tests: Sequence[str]) -> int:
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    try:
        name, where = module.__name__, str(module.__file__)
        # Whoever has imported from the module before holds the old objects: the tests must not have.
        for other in [one for one in sys.modules if one.startswith("hybridllm")]:
            del sys.modules[other]
        _Loader.use(name, where, tree)
        for number, test in enumerate(tests):
            run_file(test, f"mutated_{number}", left_out=_LEFT_OUT)
    except BaseException:  # noqa: BLE001 - a mutant may do anything; whatever it is, it was noticed
        return 1
    return 0


class _Loader:
    """Imports the mutant wherever the module is asked for."""

    def __init__(self, name: str, where: str, tree: ast.Module) -> None:
        self._name, self._where, self._tree = name, where, tree

    @classmethod
    def use(cls, name: str, where: str, tree: ast.Module) -> None:
        sys.meta_path.insert(0, cls(name, where, tree))

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name != self._name:
            return None
        return importlib.util.spec_from_loader(name, self, origin=self._where)

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._tree, self._where, "exec"), module.__dict__)


def main(names: Sequence[str]) -> int:
    """Print a line per file, and each survivor; return 1 if a file is under the bar."""
    below = False
    for name in names or TESTS:
        score = scored(name)
        print(
            f"{name:12} {score.killed:4} of {score.total:4} killed  {score.share:7.1%}", flush=True
        )
        below = below or score.share < KILLED_MIN
        for mutant in score.survived:
            why = EQUIVALENT.get((name, mutant.line, mutant.what), "")
            print(f"    survived: {name}.py:{mutant.line}: {mutant.what}  {why}", flush=True)
    return int(below)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
