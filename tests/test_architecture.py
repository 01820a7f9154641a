"""The layers, their direction, and the doors to other people's code: an AST walk over the package.

Every rule is tried on a tree with a planted violation too: a rule that sees nothing would be worse than
none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from architecture import (
    LAYERS,
    PACKAGE,
    RULES,
    Rule,
    candidate_sets,
    environment_readers,
    imports,
    impurities,
    long_files,
    long_functions,
    modules,
    relative_imports,
    upward_imports,
    wrong_doors,
)


@pytest.fixture(scope="module", autouse=True)
def _trees_are_let_go() -> Iterator[None]:
    """A million nodes: the garbage collector would go through them for every test that comes after."""
    yield
    modules.cache_clear()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_its_rules(rule: Rule) -> None:
    """An arrow points at what may be imported; nothing is too long to be read."""
    assert rule(modules()) == []


def test_every_module_belongs_to_a_layer() -> None:
    """A new folder is a decision: it is named here, with what it may import."""
    assert {module.layer for module in modules()} <= LAYERS.keys()
    assert len(modules()) > 80  # the walk sees the package at all


def test_errors_import_nothing_at_run_time() -> None:
    """They stand below everything; the names they take from above are for type checkers."""
    files = [each for each in modules() if each.layer == "errors"]
    assert len(files) == 4
    ours = [f for file in files for f in imports(file) if f.name.startswith(PACKAGE)]
    above = [f.name for f in ours if not f.name.startswith(f"{PACKAGE}.errors")]
    assert above == [f.name for f in ours if f.for_types_only]


def test_the_tests_themselves_are_not_too_long() -> None:
    """They are read as often as the code."""
    root = Path(__file__).parents[1]
    for folder in ("tests", "examples", "benchmarks", "docs"):
        there = modules(root / folder)
        assert there
        assert long_functions(there) == []
        assert long_files(there) == []


LONG = "def f():\n" + "    pass\n" * 70
PLANTED = [
    pytest.param(upward_imports, "_core/a.py", "from hybridllm._runtime.x import y", id="upward"),
    pytest.param(upward_imports, "_core/a.py", "import hybridllm._adapters.x", id="upward-plain"),
    pytest.param(
        upward_imports,
        "_runtime/a.py",
        "def f():\n    from hybridllm._adapters import x",
        id="upward-inside-a-function",
    ),
    pytest.param(upward_imports, "_runtime/a.py", "from hybridllm import Router", id="the-public"),
    pytest.param(upward_imports, "_core/a.py", "from hybridllm import _compose", id="as-a-name"),
    pytest.param(upward_imports, "_adapters/a.py", "import hybridllm.testing", id="testing"),
    pytest.param(upward_imports, "testing/a.py", "from hybridllm._compose import x", id="compose"),
    pytest.param(upward_imports, "cli/a.py", "from hybridllm._core.secret import S", id="cli"),
    pytest.param(
        upward_imports,
        "_core/a.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from hybridllm._runtime import x",
        id="upward-for-types",
    ),
    pytest.param(wrong_doors, "_core/a.py", "import yaml", id="yaml"),
    pytest.param(wrong_doors, "_runtime/a.py", "from openai.types import Model", id="openai"),
    pytest.param(wrong_doors, "_runtime/run.py", "import tenacity", id="tenacity"),
    pytest.param(wrong_doors, "_adapters/a.py", "import requests", id="an-unknown-library"),
    pytest.param(
        wrong_doors,
        "_runtime/a.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import aiohttp",
        id="for-types",
    ),
    pytest.param(wrong_doors, "_core/a.py", "def f():\n    import aiohttp", id="lazily"),
    pytest.param(environment_readers, "_core/a.py", "import os\nk = os.environ['K']", id="environ"),
    pytest.param(environment_readers, "cli/a.py", "import os\nk = os.getenv('K')", id="getenv"),
    pytest.param(impurities, "_core/a.py", "async def f(): pass", id="async"),
    pytest.param(impurities, "_core/a.py", "import asyncio", id="asyncio"),
    pytest.param(impurities, "_core/a.py", "from time import monotonic", id="clock"),
    pytest.param(impurities, "_core/a.py", "from random import random", id="chance"),
    pytest.param(impurities, "_core/a.py", "import logging", id="logs"),
    pytest.param(impurities, "_core/a.py", "x = open('f')", id="files"),
    pytest.param(
        impurities, "_core/a.py", "from datetime import datetime\nx = datetime.now()", id="today"
    ),
    pytest.param(candidate_sets, "_runtime/judge.py", "k = Kept(c, False, '')", id="kept"),
    pytest.param(
        candidate_sets, "_runtime/shadow.py", "k = plan.Kept(c, False, '')", id="by-module"
    ),
    pytest.param(candidate_sets, "_compose/a.py", "c = Candidate(b, m, 'w')", id="candidate"),
    pytest.param(
        candidate_sets, "_core/decide/order.py", "from a.b import Kept as Friend", id="renamed"
    ),
    pytest.param(
        candidate_sets, "_runtime/cache.py", "async def f(s):\n    await s.wire.send(r)", id="send"
    ),
    pytest.param(candidate_sets, "_runtime/a.py", "t = self._targets.of(backend)", id="target"),
    pytest.param(relative_imports, "_core/a.py", "from . import b", id="dot"),
    pytest.param(relative_imports, "_core/a.py", "from ..errors import E", id="dots"),
    pytest.param(long_files, "_core/a.py", "x = 1\n" * 400, id="long-file"),
    pytest.param(long_functions, "_core/a.py", LONG, id="long-function"),
    pytest.param(
        long_functions,
        "_core/a.py",
        "class A:\n" + LONG.replace("\n", "\n    ").replace("def", "    async def", 1),
        id="long-method",
    ),
]


@pytest.mark.parametrize(("rule", "path", "text"), PLANTED)
def test_a_planted_violation_is_caught(rule: Rule, path: str, text: str, tmp_path: Path) -> None:
    """By the rule that is meant for it, at its place, and it alone is told."""
    for harmless in ("_core/fine.py", "_runtime/fine.py"):
        (tmp_path / harmless).parent.mkdir(exist_ok=True)
        (tmp_path / harmless).write_text("import json\nfrom hybridllm.errors import PolicyError\n")
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(text)
    (told,) = rule(modules(tmp_path))
    assert told.startswith(path)


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        pytest.param(long_files, "_core/a.py", "x = 1\n" * 399, id="just-under-400-lines"),
        pytest.param(long_functions, "_core/a.py", LONG[:-9], id="just-70-lines"),
        pytest.param(wrong_doors, "_runtime/retry.py", "import tenacity", id="the-door-itself"),
        pytest.param(wrong_doors, "cli/demo/a.py", "import rich.table", id="a-folder-as-a-door"),
        pytest.param(
            wrong_doors,
            "_compose/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import openai",
            id="for-types-where-allowed",
        ),
        pytest.param(upward_imports, "cli/a.py", "from hybridllm import Router", id="as-a-user"),
        pytest.param(
            upward_imports, "_runtime/a.py", "from hybridllm import _core", id="downward-as-a-name"
        ),
    ],
)
def test_what_is_allowed_is_not_told(rule: Rule, path: str, text: str, tmp_path: Path) -> None:
    """Just below each limit, and just inside each door."""
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert rule(modules(tmp_path)) == []
