"""Money stays exact in an application that counts with few digits of its own."""

from __future__ import annotations

from decimal import Decimal, Inexact, localcontext
from pathlib import Path

import pytest

from hybridllm import Receipt, Router, receipt
from hybridllm._core.money.pico import pico_of, to_pico, usd_of
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time
from ledger.routers import POLICY, attempts, requests


def test_an_amount_keeps_all_its_digits() -> None:
    """Whatever `decimal.getcontext()` says."""
    usd = Decimal("1234.123456789012")
    with localcontext(prec=3):
        assert pico_of(usd) == 1_234_123_456_789_012
        assert usd_of(1_234_123_456_789_012) == usd
        assert to_pico(usd) == usd


@pytest.mark.parametrize("strict", [False, True], ids=["rounds", "raises"])
def test_a_request_is_answered_and_its_cost_is_exact(tmp_path: Path, *, strict: bool) -> None:
    """On the receipt and in the ledger; also where the application has rounding raise an error."""
    place = tmp_path / "ledger.db"
    wire = ScriptedWire(
        {"near.test": Reply.status(503), "far.test": Reply.chat("yes", usage=(123_457, 98_765))}
    )

    async def main() -> Receipt:
        with localcontext(prec=3) as own:
            own.traps[Inexact] = strict
            async with Router.from_text(
                POLICY, environ={}, wire=wire, clock=LoopClock(), ledger=place
            ) as router:
                messages = [{"role": "user", "content": "Is it?"}]
                return receipt(await router.chat.completions.create(messages=messages))

    told = run_in_virtual_time(main())
    exact = Decimal("0.320987")
    assert told.cost_usd == exact
    assert requests(place)[0].cost_pico == attempts(place)[-1].cost_pico == pico_of(exact)
