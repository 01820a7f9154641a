"""Routers that write a ledger, over scripted backends; and what stands in it afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hybridllm import Ledger, LedgerReader, Receipt, Router, receipt
from hybridllm._core.ledger.rows import AttemptRow, RequestRow
from hybridllm.testing import LoopClock, Reply, ScriptedWire, no_leaks

POLICY = """
version: 1
environment: production
attribution: {keys: [team, customer]}
backends:
  near: {kind: api, base_url: "https://near.test/v1", region: eu}
  far: {kind: api, base_url: "https://far.test/v1", region: us}
models:
  m:
    price: {input_per_1m: 1, output_per_1m: 2}
    on: {near: m-near, far: m-far}
residency: {eu: {regions: [eu]}}
routes: [{name: all, use: [{model: m, on: [near, far]}]}]
"""
GOOD = Reply.chat("yes", usage=(10, 5))


@asynccontextmanager
async def routing(
    ledger: Ledger | str | Path | None, policy: str = POLICY, **scripts: Any
) -> AsyncIterator[Router]:
    """A router over scripted backends, and nothing left of it."""
    wire = ScriptedWire({"near.test": GOOD, "far.test": GOOD} | scripts)
    async with (
        no_leaks(),
        Router.from_text(policy, environ={}, wire=wire, clock=LoopClock(), ledger=ledger) as router,
    ):
        yield router


async def asked(router: Router, **params: Any) -> Receipt:
    """The receipt of an answer."""
    answer = await router.chat.completions.create(
        messages=[{"role": "user", "content": "Is it?"}], **params
    )
    return receipt(answer)


def attempts(place: str | Path) -> list[AttemptRow]:
    """Every attempt of a ledger."""
    return list(LedgerReader(place).attempts())


def requests(place: str | Path) -> list[RequestRow]:
    """Every request of a ledger."""
    return list(LedgerReader(place).requests())
