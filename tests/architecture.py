"""The rules of the package: layers, doors to other people's code, who may make a set of candidates.

Each is a function from the parsed source to the list of what breaks it; `test_architecture.py` applies
them to the package, and to trees with a planted violation.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = "hybridllm"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE
LINES_MAX = 400  # "under 400"
FUNCTION_LINES_MAX = 70

# What each layer may import of us. `public` is `hybridllm` itself; who uses it does so as anybody would.
LAYERS = {
    "errors": {
        "errors",
        "_core",
    },  # the latter for type checkers only: see `test_errors_import_nothing_at_run_time`
    "_core": {"_core", "errors"},
    "_runtime": {"_runtime", "_core", "errors", "_version"},
    "_adapters": {"_adapters", "_runtime", "_core", "errors", "_version"},
    "_compose": {"_compose", "_adapters", "_runtime", "_core", "errors"},
    "public": {"_compose", "_adapters", "_runtime", "_core", "errors", "_version"},
    "testing": {"testing", "_runtime", "_core", "errors"},
    "economics": {"_compose", "_adapters", "_core", "errors"},
    "cli": {"cli", "testing", "economics", "public", "errors", "_version"},
    "__main__": {"cli", "public"},
    "_version": set(),
}

# Each outside library, and the modules that may import it. A folder stands for all that is in it.
DOORS = {
    "aiohttp": {"_adapters/aiohttp_wire.py", "_adapters/aiohttp_names.py"},
    "cachetools": {"_runtime/cool_offs.py", "_runtime/kept_answers.py"},
    "genai_prices": {"_adapters/genai_catalogue.py"},
    "httpx": {"_adapters/httpx_wire.py"},
    # openai's errors hold an httpx2 request and response: there is no other way to make one.
    "httpx2": {"_adapters/httpx_wire.py", "_adapters/openai_errors.py"},
    "jsonschema": {"_adapters/json_schemas.py"},
    "matplotlib": {"cli/break_even/plots.py", "cli/chaos/plots.py", "cli/costs/plots.py"},
    "openai": {
        "_adapters/openai_errors.py",
        "_adapters/openai_parse.py",
        "_adapters/openai_types.py",
        "_compose/params.py",  # read by type checkers only
    },
    "opentelemetry": {
        "_adapters/otel.py",
        "_adapters/otel_books.py",
        "_adapters/otel_metrics.py",
        "_adapters/otel_requests.py",
    },
    "pydantic": {
        "_core/economics/schema.py",
        "_core/simulate/schema.py",
        "_core/policy",
        "_adapters/openai_parse.py",
        "_adapters/openai_types.py",
    },
    # A ledger's row is said in JSON on every request: in a quarter of the time that `json` takes.
    "pydantic_core": {"_core/policy", "_core/ledger/lines.py", "_adapters/openai_types.py"},
    "referencing": {"_adapters/json_schemas.py"},
    "pyarrow": {"_adapters/ledger/export.py"},
    "rich": {"cli"},
    "sqlalchemy": {"_adapters/volume_store.py", "_adapters/ledger"},
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


_ASKERS = {"_runtime/health.py", "_runtime/load_watch.py", "_runtime/wake.py"}

# Who may make what decides where a request goes. Everything else is handed one, or goes without: a side
# channel (a judge, a shadow copy, a cache) that put its own candidates together could leave the set.
MAKERS = {
    "Candidate": {"_core/policy/compile.py"},
    "Kept": {"_core/decide/eligible.py"},
    "Group": {"_core/decide/eligible.py"},
    "Eligible": {"_core/decide/eligible.py"},
    "Plan": {"_core/decide/decide.py"},
    "Denied": {"_core/decide/decide.py"},
    "Target": {"_runtime/target.py"},
    # health.py and load_watch.py ask for pages, wake.py sends a probe of its own making: planned for no
    # request, so nobody's data is in them.
    "WireRequest": {"_runtime/exchange.py", *_ASKERS},
}
# Methods that bring a request nearer to a backend, and who may call them; pages and probes carry none.
CALLERS = {
    ("targets", "of"): {"_runtime/attempt.py", "_runtime/health.py", "_runtime/wake.py"},
    ("wire", "send"): {"_runtime/exchange.py", *_ASKERS},
}


def candidate_sets(modules: list[Module]) -> list[str]:
    """Whoever makes a set of candidates, or sends to one, but for the one place that may."""
    wrong = []
    for module in modules:
        if module.layer in ("cli", "testing"):
            continue  # they can reach none of these names
        for node in module.nodes:
            if isinstance(node, ast.ImportFrom):
                wrong += [
                    f"{module.path}:{node.lineno} calls {alias.name} {alias.asname}"
                    for alias in node.names
                    if alias.asname is not None and alias.name in MAKERS
                ]
            if not isinstance(node, ast.Call):
                continue
            func = node.func
            if isinstance(func, ast.Name):
                allowed = MAKERS.get(func.id)
            elif isinstance(func, ast.Attribute):
                allowed = MAKERS.get(func.attr)
                owner = func.value.attr if isinstance(func.value, ast.Attribute) else ""
                owner = func.value.id if isinstance(func.value, ast.Name) else owner
                allowed = allowed or CALLERS.get((owner.lstrip("_"), func.attr))
            else:
                continue
            if allowed is not None and module.path not in allowed:
                wrong.append(f"{module.path}:{node.lineno} calls {ast.unparse(func)}")
    return wrong


Rule = Callable[[list[Module]], list[str]]
RULES: list[Rule] = [
    upward_imports,
    wrong_doors,
    environment_readers,
    impurities,
    relative_imports,
    long_files,
    long_functions,
    candidate_sets,
]
