"""The rows of the fault catalogue about a backend's name: N7 and N8.

Real sockets; the name server is one of ours, so that nothing leaves this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm._runtime.ports import Wire
from lab.lateness import lateness
from lab.three import THREE, TIMEOUTS
from lab.traffic import Outcomes, calls, steady
from names import HANGS, NXDOMAIN, SERVFAIL, Answer, FakeNames
from runtime.world import world

BY_NAME = {
    "url_of": lambda backend: f"http://{backend.name}.test:{backend.port}/v1",
    "each": "allow_plaintext: true",
}


def named(answers: dict[str, Answer | list[Answer]]) -> Callable[[], Wire]:
    """A wire that asks a name server: of the backends that are not given, each is on this machine."""
    known: dict[str, Any] = {f"{name}.test": ("127.0.0.1",) for name in THREE}
    names = FakeNames(known | answers)
    return lambda: AiohttpWire(look_up=names.look_up)


@pytest.mark.parametrize("error", [NXDOMAIN, SERVFAIL], ids=["nxdomain", "servfail"])
async def test_n7_a_name_that_leads_nowhere_costs_no_time(error: Exception) -> None:
    """Another backend has answered within 50 ms; nothing was sent, nothing can be charged."""
    options: Any = {"ordered": True, "timeouts": TIMEOUTS, "repeats": 0} | BY_NAME
    make_wire = named({"eu-1.test": error})
    async with world(*THREE, make_wire=make_wire, **options) as here:
        await here.chat(deadline_s=10.0)
        async with lateness() as late:
            told = await calls(3, here.chat)
    assert told.success == 1.0
    for each in told.all:
        first = each.receipt.attempts[0]
        assert (first.backend, first.error, first.maybe_billed) == ("eu-1", "connect", False)
        assert each.receipt.cost_complete
    assert told.lost_s() < 0.050 + late.worst_s


async def test_n8_a_name_that_hangs_slows_down_nobody_else() -> None:
    """Those who were sent elsewhere take as long as without it, within 20 %, while it hangs for others."""

    async def traffic(make_wire: Callable[[], Wire]) -> Outcomes:
        options: Any = {
            "ordered": False,
            "timeouts": "total: 9s, connect: 1s, attempt: 2s",
            "backends": {"latency_s": 0.1},  # so that 20 % are more than a busy machine's own noise
        }
        async with world(*THREE, make_wire=make_wire, **options | BY_NAME) as here:
            return await steady(40, 1.0, here.chat)

    async with lateness() as late:
        well = await traffic(named({}))
        hung = await traffic(named({"eu-1.test": HANGS}))
    assert well.success == hung.success == 1.0
    assert set(hung.errors_of("eu-1")) == {"connect_timeout"}
    others = [each for each in hung.all if not each.tried("eu-1")]
    assert len(others) >= 10
    assert hung.took_s(0.99, of=others) <= 1.2 * well.took_s(0.99) + late.worst_s
