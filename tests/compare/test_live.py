"""The table of shadow traffic, from the rows of a ledger."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

from compare.models import POLICY, answer
from hybridllm import LedgerReader, Router, shadow_report
from hybridllm._core.compare.live import shadow_summaries
from hybridllm._core.ledger.rows import RequestRow
from hybridllm._core.money.pico import PICO
from hybridllm.testing import ScriptedWire


def row(request_id: str, **given: Any) -> RequestRow:
    """A request that was answered by the dear model; what is not given is not there."""
    blank = dict.fromkeys(RequestRow._fields)
    whole: dict[str, Any] = blank | {
        "request_id": request_id, "started_us": 1, "policy": "p", "policy_version": "v",
        "environment": "", "route": "default", "operation": "chat", "stream": 0,
        "input_tokens_estimate": 10, "input_tokens_total": 10, "answers": 1, "candidates": "us/big",
        "attempts": 1, "outcome": "ok", "served_backend": "us", "served_model": "big",
        "duration_us": 200_000, "cost_pico": PICO, "wasted_pico": 0, "cost_complete": 1,
    }  # fmt: skip
    return RequestRow(**(whole | given))


def copy(request_id: str, of: str, **given: Any) -> RequestRow:
    own = {
        "shadow_of": of,
        "model_pinned": "small",
        "served_model": "small",
        "cost_pico": PICO // 10,
    }
    return row(request_id, **(own | {"duration_us": 50_000, "agreed": 1} | given))


def test_copies_are_held_against_their_originals() -> None:
    """By route and both models; cost and latency of both sides."""
    rows = [row("a"), row("b"), row("c"), copy("a2", "a"), copy("b2", "b", agreed=0)]
    (found,) = shadow_summaries(rows)
    assert (found.route, found.model, found.shadow_model) == ("default", "big", "small")
    assert (found.copies, found.answered, found.compared, found.agreement) == (2, 2, 2, 0.5)
    assert (found.cost_usd, found.shadow_cost_usd) == (Decimal(2), Decimal("0.2"))
    assert (found.p50_s, found.shadow_p50_s) == (0.2, 0.05)
    assert found.agreement_low is not None
    assert found.agreement_low < 0.5


def test_a_copy_that_failed_is_counted_and_not_compared() -> None:
    """What is not known of it is None."""
    failed = copy("a2", "a", outcome="error", agreed=None, cost_pico=None)
    (found,) = shadow_summaries([row("a"), failed])
    assert (found.copies, found.answered, found.agreement) == (1, 0, None)
    assert (found.shadow_cost_usd, found.shadow_p50_s) == (None, None)


def test_a_copy_without_its_original_is_passed_over() -> None:
    """It began before the time that is looked at."""
    assert shadow_summaries([copy("x2", "x")]) == []


def test_the_table_comes_from_what_a_router_wrote(tmp_path: Path) -> None:
    """Original and copy are two requests of the ledger; the copy's attempts are marked."""
    path = tmp_path / "ledger.db"
    text = POLICY.replace(
        "use: [big]", "use: [big]\n    shadow: {model: small, share: 1, max_usd_per_day: 1}"
    )
    wire = ScriptedWire({"us.test": answer, "own.test": answer})

    async def main() -> None:
        async with Router.from_text(text, wire=wire, ledger=path) as router:
            for words in ("easy", "a hard one", "easy"):
                await router.chat.completions.create(
                    messages=[{"role": "user", "content": words}], max_tokens=20
                )
                await asyncio.sleep(0.3)

    asyncio.run(main())
    (found,) = shadow_report(path, since="1d")
    assert (found.copies, found.answered, found.agreement) == (3, 3, 2 / 3)
    assert (found.cost_usd, found.shadow_cost_usd) == (Decimal("0.0009"), Decimal("0.00009"))
    rows = list(LedgerReader(path).attempts())
    assert sorted((row.model, row.shadow) for row in rows) == [("big", 0)] * 3 + [("small", 1)] * 3
