"""A simulated backend that nobody gets round to use."""

from __future__ import annotations

import asyncio

import pytest

from hybridllm.testing import SimulatedBackend


@pytest.mark.parametrize("turns", range(5))
async def test_a_backend_may_be_closed_before_it_has_started(turns: int) -> None:
    """Whatever the event loop had time for in between; the port can be had again afterwards."""
    async with SimulatedBackend() as backend:
        port = backend.port
        for _ in range(turns):
            await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
