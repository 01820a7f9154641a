"""Policy files that change under a router, and a source of policies that a test holds in its hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hybridllm import Policy, Router
from hybridllm._core.policy.problems import Problem
from hybridllm._runtime.source import Glimpse, Taken
from hybridllm.errors import PolicyError
from hybridllm.testing import FaultTransport, LoopClock, Reply, ScriptedWire, no_leaks
from runtime.world import KEY, Script

GOOD = Reply.chat("fine")


def text(*names: str, route: str = "all", model: str = "m", **fields: Any) -> str:
    """A policy: one route to one model, on each backend named, in their order.

    Args:
        names: Of the backends; each is at `https://NAME.test`, or where `urls` says.
        route: Its name.
        model: Its name; the backends know it as `wire-MODEL`, or as `wire` says.
        fields: `urls` and `keys` by backend, `wire`, `retries`, `more`.
    """
    urls = {name: f"https://{name}.test/v1" for name in names} | fields.get("urls", {})
    keys = dict.fromkeys(names, "KEY") | fields.get("keys", {})
    backends = "".join(
        f"  {name}: {{kind: api, base_url: '{urls[name]}', api_key_env: {keys[name]}, region: eu}}\n"
        for name in names
    )
    wire = fields.get("wire", f"wire-{model}")
    served = ", ".join(f"{name}: {wire}" for name in names)
    return f"""\
version: 1
retries: {fields.get("retries", "{same_backend_max: 0, attempts_max: 6}")}
backends:
{backends}models:
  {model}: {{price: {{input_per_1m: 1, output_per_1m: 2}}, on: {{{served}}}}}
{fields.get("more", "")}
routes:
  - {{name: {route}, use: [{{model: {model}, on: [{", ".join(names)}]}}]}}
"""


def put(path: Path, content: str | bytes) -> None:
    """Replace a file as a whole, as a careful writer does."""
    data = content if isinstance(content, bytes) else content.encode()
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(data)
    beside.replace(path)


@asynccontextmanager
async def reloading(
    path: Path,
    content: str,
    replies: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[Script]:
    """A router of a file over scripted backends, in the loop's time; at the end nothing is left.

    Args:
        path: Of the file.
        content: What is in it at first.
        replies: Per backend; without a word, each answers.
        environ: Variables. Default: `KEY`.
        options: Of `Router.from_file`.
    """
    put(path, content)
    names = ("eu", "us", "asia", "old", "new")
    replies = dict.fromkeys(names, GOOD) | dict(replies or {})
    wire = ScriptedWire({f"{name}.test": reply for name, reply in replies.items()})
    faults = FaultTransport(wire)
    options = {"clock": LoopClock(), "wire": faults} | options
    async with (
        no_leaks(),
        Router.from_file(path, environ=environ or {"KEY": KEY}, **options) as router,
    ):
        here = Script(router, wire, faults)
        yield here
        assert here.idle, f"{wire.active} exchanges open"


class HeldSource:
    """A `PolicySource` without a disk: each `take` pops what a test put there, or goes on as before.

    Attributes:
        taken: How often it was read.
        now: What reading it gives; a function is called, in the reloader's thread.
        at: What it looks like from outside.
    """

    file = "held.yaml"

    def __init__(self, now: Any) -> None:
        self.now = now
        self.at: Any = (0,)
        self.taken = 0

    def look(self) -> tuple[int, ...] | None:
        if isinstance(self.at, Exception):
            raise self.at
        return self.at

    def take(self, seen: Glimpse | None) -> Taken | Glimpse:
        self.taken += 1
        found = self.now(seen) if isinstance(self.now, Callable) else self.now
        if isinstance(found, Exception):
            raise found
        return found

    def content(self, name: str, policy: Policy | None = None) -> Taken:
        """A content; without a policy, a wrong one."""
        if policy is not None:
            return Taken(name, self.at, policy)
        problem = Problem(self.file, 1, 1, "", f"wrong content {name}")
        return Taken(name, self.at, error=PolicyError(self.file, (problem,)))


class Heard:
    """A `ReloadListener` that remembers."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def reloaded(self, outcome: str, policy: str) -> None:
        self.outcomes.append(outcome)


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)
