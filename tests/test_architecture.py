"""The layers, their direction, and the doors to other people's code: an AST walk over the package.

Every rule is a function from the source to the list of what breaks it, so that each is tried on a tree
with a planted violation too: a rule that sees nothing would be worse than none.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "hybridllm"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE
LINES_MAX = 400  # "under 400"
FUNCTION_LINES_MAX = 70

# What each layer may import of us. `public` is `hybridllm` itself; who uses it does so as anybody would.
LAYERS = {
    "errors": {"_core"},  # for type checkers only: see `test_errors_import_nothing_at_run_time`
    "_core": {"_core", "errors"},
    "_runtime": {"_runtime", "_core", "errors", "_version"},
    "_adapters": {"_adapters", "_runtime", "_core", "errors", "_version"},
    "_compose": {"_compose", "_adapters", "_runtime", "_core", "errors"},
    "public": {"_compose", "_adapters", "_runtime", "_core", "errors", "_version"},
    "testing": {"testing", "_runtime", "_core", "errors"},
    "cli": {"cli", "testing", "public", "errors", "_version"},
    "__main__": {"cli", "public"},
    "_version": set(),
}

# Each outside library, and the modules that may import it. A folder stands for all that is in it.
DOORS = {
    "aiohttp": {"_adapters/aiohttp_wire.py"},
    "cachetools": {"_runtime/cool_offs.py"},
    "httpx": {"_adapters/httpx_wire.py"},
    # openai's errors hold an httpx2 request and response: there is no other way to make one.
    "httpx2": {"_adapters/httpx_wire.py", "_adapters/openai_errors.py"},
    "openai": {
        "_adapters/openai_errors.py",
        "_adapters/openai_parse.py",
        "_adapters/openai_types.py",
        "_compose/params.py",  # read by type checkers only
    },
    "opentelemetry": {"_adapters/otel.py"},
    "pydantic": {"_core/policy", "_adapters/openai_parse.py", "_adapters/openai_types.py"},
    "pydantic_core": {"_core/policy", "_adapters/openai_types.py"},
    "rich": {"cli"},
    "tenacity": {"_runtime/retry.py"},
    "typer": {"cli", "__main__.py"},
    "yaml": {"_adapters/yaml_document.py"},
}
# Names that only type checkers follow may come from anywhere these layers say.
TYPES_FROM = {"_adapters": {"aiohttp"}, "_compose": {"openai", "opentelemetry"}}

# The core is told the time, given its chance, and touches nothing.
IMPURE = {
    "asyncio", "concurrent", "http", "logging", "multiprocessing", "os", "random", "secrets", "select",
    "selectors", "socket", "ssl", "subprocess", "threading", "time", "urllib.request",
}  # fmt: skip
IMPURE_CALLS = {"open", "input", "print", "datetime.now", "datetime.utcnow", "date.today"}


@dataclass(frozen=True)
class Module:
    """One file of the package, read and parsed."""

    path: str  # from the package, `_core/secret.py`
    text: str
    nodes: tuple[ast.AST, ...]  # of the whole tree

    @property
    def layer(self) -> str:
        first = self.path.split("/")[0].removesuffix(".py")
        return "public" if first == "__init__" else first


@dataclass(frozen=True)
class Import:
    """One imported module: `hybridllm._core.secret`, `yaml`."""

    name: str
    line: int
    for_types_only: bool


@cache
def modules(root: Path = SOURCE) -> list[Module]:
    """Every module under the package's root."""
    found = []
    for file in sorted(root.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        path = file.relative_to(root).as_posix()
        found.append(Module(path, text, tuple(ast.walk(ast.parse(text)))))
    return found


def imports(module: Module) -> Iterator[Import]:
    """Every module it imports, at its top or inside a function."""
    guarded = {
        id(inner)
        for node in module.nodes
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in module.nodes:
        types = id(node) in guarded
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, types)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            name = node.module or ""
            if name == PACKAGE or name.startswith("hybridllm.cli"):
                # `from hybridllm import _core` names a module as much as `hybridllm._core` does
                for alias in node.names:
                    inside = f"{name}.{alias.name}"
                    yield Import(inside if is_layer(inside) else name, node.lineno, types)
            else:
                yield Import(name, node.lineno, types)


def is_layer(name: str) -> bool:
    return name.split(".")[1] in LAYERS


def layer_of(name: str) -> str:
    """The layer of an imported module of ours."""
    return name.split(".")[1] if name.count(".") else "public"


def upward_imports(modules: list[Module]) -> list[str]:
    """Imports against the direction of the layers."""
    return [
        f"{module.path}:{found.line} imports {found.name}"
        for module in modules
        for found in imports(module)
        if found.name.split(".")[0] == PACKAGE
        and layer_of(found.name) not in LAYERS.get(module.layer, set())
    ]


def wrong_doors(modules: list[Module]) -> list[str]:
    """Imports of an outside library by a module that is not its door; and unknown libraries."""
    wrong = []
    for module in modules:
        for found in imports(module):
            library = found.name.split(".")[0]
            if library in sys.stdlib_module_names or library == PACKAGE:
                continue
            if found.for_types_only and library in TYPES_FROM.get(module.layer, set()):
                continue
            if not any(
                module.path == door or module.path.startswith(f"{door}/")
                for door in DOORS.get(library, set())
            ):
                wrong.append(f"{module.path}:{found.line} imports {found.name}")
    return wrong


def environment_readers(modules: list[Module]) -> list[str]:
    """Whoever reads the process's environment, but for its door."""
    names = {"environ", "environb", "getenv", "putenv", "unsetenv"}
    return [
        f"{module.path}:{node.lineno} reads the environment"
        for module in modules
        if module.path != "_adapters/environment.py"
        for node in module.nodes
        if isinstance(node, ast.Attribute)
        and node.attr in names
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]


def impurities(modules: list[Module]) -> list[str]:
    """What the core may not have: tasks, clocks, chance, files, logs."""
    return [
        f"{module.path}:{node.lineno} {what}"
        for module in modules
        if module.layer in ("_core", "errors")
        for node in module.nodes
        if (what := impurity(node)) is not None
    ]


def impurity(node: ast.AST) -> str | None:
    if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
        return "is async"
    if isinstance(node, ast.Import) and any(forbidden(alias.name) for alias in node.names):
        return "imports what does something"
    if isinstance(node, ast.ImportFrom) and forbidden(node.module or ""):
        return "imports what does something"
    if isinstance(node, ast.Call) and ast.unparse(node.func) in IMPURE_CALLS:
        return f"calls {ast.unparse(node.func)}"
    return None


def forbidden(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in IMPURE)


def relative_imports(modules: list[Module]) -> list[str]:
    """Imports that start with a dot."""
    return [
        f"{module.path}:{node.lineno} imports relatively"
        for module in modules
        for node in module.nodes
        if isinstance(node, ast.ImportFrom) and node.level
    ]


def long_files(modules: list[Module]) -> list[str]:
    """Files of `LINES_MAX` lines and more."""
    return [
        f"{module.path} has {count} lines"
        for module in modules
        if (count := len(module.text.splitlines())) >= LINES_MAX
    ]


def long_functions(modules: list[Module]) -> list[str]:
    """Functions of more than `FUNCTION_LINES_MAX` lines, from `def` to their last."""
    return [
        f"{module.path}:{node.lineno} {node.name} has {count} lines"
        for module in modules
        for node in module.nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (count := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


Rule = Callable[[list[Module]], list[str]]
RULES: list[Rule] = [
    upward_imports,
    wrong_doors,
    environment_readers,
    impurities,
    relative_imports,
    long_files,
    long_functions,
]


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
    (module,) = [each for each in modules() if each.path == "errors.py"]
    ours = [found for found in imports(module) if found.name.startswith(PACKAGE)]
    assert [found.name for found in ours if not found.for_types_only] == []


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
