"""Routers in one process share nothing: neither what they know, nor what they hold, nor who is under way."""

from __future__ import annotations

import ast
import asyncio
import pkgutil
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

import pytest

import hybridllm
from architecture import Module, modules
from hybridllm import Router, RouterClosed
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time
from runtime.outside import asked, backend_outside, router_to
from runtime.world import KEY, MESSAGES, policy

GOOD = Reply.chat("fine")
MORE = """
residency:
  secret: {regions: [eu], taint: 1h}
"""


def two_routers(**replies: Any) -> tuple[Any, Any, ScriptedWire]:
    """Over the same backends, by the same policy, through one wire."""
    wire = ScriptedWire({f"{name}.test": reply for name, reply in replies.items()})
    text = policy(*replies, ordered=False, more=MORE, repeats=0)
    text = text.replace("use: [m]", "use: [m], order_by: latency")
    one, other = (
        Router.from_text(text, environ={"KEY": KEY}, wire=wire, clock=LoopClock()) for _ in range(2)
    )
    return one, other, wire


def known(router: Any, **hints: Any) -> dict[str, Any]:
    """Everything that a router tells of its state."""
    told = router.explain(messages=MESSAGES, **hints)
    return {
        "refused": dict(told.refusals),
        "latency": dict(router._engine.fleet.latencies.snapshot()),
        "in_flight": dict(router.status().in_flight),
        "candidates": sorted(told.candidates),
        "taints": told.plan.facts.taints,
    }


def test_what_one_router_learns_the_other_does_not_know() -> None:
    """An open breaker, a cool-off, latencies, what a session carried, requests under way."""

    async def main() -> None:
        one, other, wire = two_routers(
            eu=Reply.status(503), us=Reply.status(429, retry_after=60), asia=GOOD.after(0.2)
        )
        await asked(other)
        fresh = known(other, session="s")
        wire.requests.clear()
        for _ in range(8):
            await asked(one)
        with pytest.raises(hybridllm.HybridLLMError):
            await asked(one, session="s", residency="secret")
        under_way = asyncio.get_running_loop().create_task(asked(one))
        await asyncio.sleep(0.1)
        learnt = known(one, session="s")
        assert learnt["refused"]
        assert learnt["latency"]
        assert learnt["in_flight"] == {"eu": 0, "us": 0, "asia": 1}
        assert known(other, session="s") == fresh
        assert len(known(other, session="s")["candidates"]) == 3
        assert len(learnt["candidates"]) == 1  # the session is kept from two of them
        await under_way
        await one.aclose()
        await other.aclose()

    run_in_virtual_time(main)


def test_closing_one_router_leaves_the_other_at_work() -> None:
    """Each has connections of its own."""
    with backend_outside(latency_s=0.1) as backend:

        async def main() -> None:
            one, other = router_to(backend), router_to(backend)
            await asked(one)
            await asked(other)
            assert backend.connections_opened == 2
            under_way = asyncio.get_running_loop().create_task(asked(other))
            await asyncio.sleep(0.02)
            await one.aclose(drain_s=0)
            with pytest.raises(RouterClosed):
                await asked(one)
            assert await under_way
            assert await asked(other)
            assert backend.connections_opened == 2
            await other.aclose()

        asyncio.run(main())


# --- the package itself

MUTABLE = (
    list, dict, set, bytearray, deque, defaultdict, OrderedDict, Counter,
    WeakSet, WeakKeyDictionary, WeakValueDictionary,
)  # fmt: skip
CHANGES = frozenset(
    {
        "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem",
        "popleft", "remove", "reverse", "setdefault", "sort", "update",
    }
)  # fmt: skip
# What is changed while the program runs although every router sees it, and why that is no sharing.
ALLOWED = {
    "_adapters/openai_errors.py:_BOTH": "classes made of two classes: the same ones for everybody",
    "_adapters/otel_books.py:_BOOKS": "sums of a meter provider, which is the application's for all",
    "_runtime/ledger/keeper.py:_keepers": "whom a fork is told to; weak",
    "_runtime/ledger/keeper.py:_forsaken": "another process's files, kept so that nothing closes them",
}


def names_at_module_level(module: Module) -> set[str]:
    """What a module binds itself, outside its functions and classes."""
    bound: set[str] = set()
    for node in module.nodes[0].body:  # type: ignore[attr-defined]  # the whole tree
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        bound |= {target.id for target in targets if isinstance(target, ast.Name)}
    return bound


def changed_in_functions(module: Module) -> Iterator[str]:
    """Module-level names that some function changes: rebinds, stores into, calls a changing method of."""
    ours = names_at_module_level(module)
    for node in module.nodes:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        local = {
            inner.id
            for inner in ast.walk(node)
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
        }
        for inner in ast.walk(node):
            if isinstance(inner, ast.Global):
                yield from inner.names
                continue
            owner: ast.AST | None = None
            if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
                owner = inner.func.value if inner.func.attr in CHANGES else None
            elif isinstance(inner, ast.Subscript | ast.Attribute):
                owner = None if isinstance(inner.ctx, ast.Load) else inner.value
            if isinstance(owner, ast.Name) and owner.id in ours - local:
                yield owner.id


def test_no_function_of_the_package_changes_what_belongs_to_a_module() -> None:
    """What a function stores there, every router of the process would see."""
    found = {
        f"{module.path}:{name}" for module in modules() for name in changed_in_functions(module)
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "text",
    [
        "SEEN = {}\ndef f(x):\n    SEEN[x] = 1",
        "SEEN = []\ndef f(x):\n    SEEN.append(x)",
        "SEEN: set[int] = set()\nasync def f(x):\n    SEEN.add(x)",
        "COUNT = 0\ndef f():\n    global COUNT\n    COUNT += 1",
        "STATE = object()\ndef f():\n    STATE.x = 1",
    ],
)
def test_a_planted_change_is_found(text: str, tmp_path: Path) -> None:
    """However it is written."""
    (tmp_path / "a.py").write_text(text)
    (module,) = modules(tmp_path)
    assert len(set(changed_in_functions(module))) == 1


def containers() -> dict[str, Any]:
    """Every container that can be changed and is bound in a module or a class of the package."""
    found: dict[str, Any] = {}
    for info in pkgutil.walk_packages(hybridllm.__path__, "hybridllm."):
        if info.name.endswith("__main__"):
            continue
        module = import_module(info.name)
        places = [(info.name, vars(module))]
        places += [
            (f"{info.name}.{name}", vars(value))
            for name, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == info.name
        ]
        for place, names in places:
            for name, value in list(names.items()):
                if isinstance(value, MUTABLE) and not name.startswith("__"):
                    found[f"{place}.{name}"] = value
    return found


def test_no_container_of_a_module_is_changed_by_requests() -> None:
    """Looked at before and after traffic of every kind: calls, streams, failures, closings."""
    before = {name: repr(value) for name, value in containers().items() if ".cli." not in name}
    assert len(before) > 20

    async def main() -> None:
        one, other, wire = two_routers(
            eu=[Reply.status(503), GOOD], us=Reply.chat_stream(["a", "b"]), asia=Reply.status(429)
        )
        for router in (one, other):
            for _ in range(5):
                try:
                    stream = await router.chat.completions.create(
                        messages=MESSAGES, stream=True, session="s", tenant="t"
                    )
                    await anext(stream)
                    await stream.close()
                except hybridllm.RequestFailed:
                    pass
            with pytest.raises(hybridllm.InvalidRequest):
                await router.chat.completions.create(nonsense=1)
            router.explain(messages=MESSAGES)
            await router.aclose()
        assert wire.requests

    run_in_virtual_time(main)
    after = {name: repr(value) for name, value in containers().items() if name in before}
    assert {name for name in before if after[name] != before[name]} <= {
        f"hybridllm.{name.replace('/', '.').replace('.py:', '.')}" for name in ALLOWED
    }
