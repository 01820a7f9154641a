"""A backend whose name cannot be resolved is a dead backend, and nobody else's problem.

The operating system's resolver is stood in for: it is the one thing that a loopback server cannot play.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from hybridllm import Router, receipt
from hybridllm.testing import SimulatedBackend
from lab.lateness import lateness
from runtime.world import KEY, MESSAGES, MODEL, many


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """`missing.test` does not exist, `hung.test` hangs until the event is set, all else is this machine."""
    released = threading.Event()

    def getaddrinfo(host: Any, port: Any, *_: Any, **__: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name == "missing.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if name == "hung.test":
            released.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(port)))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield released
    released.set()


def router(port: int, *hosts: str) -> Router:
    """A router over one server, known by several names."""
    backends = "\n".join(
        f"  b{number}: {{kind: api, base_url: 'http://{host}:{port}/v1', allow_plaintext: true}}"
        for number, host in enumerate(hosts)
    )
    places = ", ".join(f"b{number}: {MODEL}" for number in range(len(hosts)))
    order = ", ".join(f"b{number}" for number in range(len(hosts)))
    return Router.from_text(
        f"""
version: 1
backends:
{backends}
models: {{m: {{on: {{{places}}}}}}}
tasks: {{t: {{timeouts: {{connect: 300ms, attempt: 2s}}}}}}
routes: [{{name: all, use: [{{model: m, on: [{order}]}}]}}]
""",
        environ={"KEY": KEY},
    )


async def asked(router: Router) -> Any:
    return receipt(await router.chat.completions.create(messages=MESSAGES, task="t"))


async def test_a_name_that_does_not_exist_is_passed_over_at_once(resolver: threading.Event) -> None:
    """Within 50 ms, and nothing was sent that could be billed."""
    async with (
        SimulatedBackend(models=[MODEL]) as backend,
        router(backend.port, "missing.test", "fine.test") as here,
        lateness() as late,
    ):
        await asked(here)
        told = await asked(here)
        assert [a.error for a in told.attempts] == ["connect", None]
        assert told.attempts[0].duration_s < 0.05 + late.worst_s
        assert not told.attempts[0].maybe_billed


async def test_a_name_that_hangs_is_given_up_after_the_connect_limit(
    resolver: threading.Event,
) -> None:
    """The limit covers the lookup too; a few failures later the breaker is open."""
    async with (
        SimulatedBackend(models=[MODEL]) as backend,
        router(backend.port, "hung.test", "fine.test") as here,
        lateness() as late,
    ):
        told = await asked(here)
        failed, served = told.attempts
        assert (failed.error, served.error) == ("connect_timeout", None)
        assert 0.25 <= failed.duration_s <= 0.6 + late.worst_s
        resolver.set()


async def test_a_name_that_hangs_delays_nobody_else(resolver: threading.Event) -> None:
    """Lookups run in a few threads: twelve calls to the hung name do not take them all."""
    async with (
        SimulatedBackend(models=[MODEL]) as backend,
        router(backend.port, "hung.test") as hung,
        router(backend.port, "fine.test") as fine,
        asyncio.TaskGroup() as group,
    ):
        stuck = [group.create_task(many(1, 1, lambda _: asked(hung))) for _ in range(12)]
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        await asked(fine)
        assert asyncio.get_running_loop().time() - began < 0.2
        for task in stuck:
            task.cancel()
        resolver.set()
