"""Cascades and caches under budgets: an escalation needs room, a kept answer needs none. In virtual time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cascade.worlds import BETTER, UNSURE, cascade, said
from hybridllm import BudgetExceeded, receipt
from hybridllm.testing import Reply, run_in_virtual_time

SHORT = {"max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def budgets(usd: str, scope: str = "all", more: str = "") -> dict[str, Any]:
    return {"top": f"budgets: [{{scope: {scope}, usd: {usd}, per: day}}]{more}"}


def test_an_escalation_needs_room_in_its_budgets() -> None:
    """Without it the caller gets the first answer, marked; what was spent is what both attempts cost."""

    async def main() -> None:
        replies = {"a": Reply.chat(UNSURE), "b": Reply.chat(BETTER)}
        async with cascade(policy=budgets("0.00025"), **replies) as here:
            first = await here.chat(**SHORT)
            assert said(first) == BETTER
            assert receipt(first).cost_usd == Decimal("0.00022")
            second = await here.chat(**SHORT)
            assert said(second) == UNSURE
            assert here.sent("b") == 1

    run_in_virtual_time(main)


def test_a_budget_of_the_better_backend_is_asked_at_its_own_place() -> None:
    """Who is asked second stands first in what is left of the plan, and its budget is its own."""

    async def main() -> None:
        policy = budgets("0.0005", "{backend: b}") | {"thens": "bd"}
        replies = {"a": Reply.chat(UNSURE), "b": Reply.chat(BETTER), "d": Reply.chat(BETTER)}
        async with cascade(policy=policy, **replies) as here:
            for _ in range(4):
                answer = await here.chat(**SHORT)
                assert said(answer) == BETTER
            assert (here.sent("b"), here.sent("d")) == (2, 2)

    run_in_virtual_time(main)


def test_a_kept_answer_needs_no_room() -> None:
    """It costs nothing; what has to be sent is refused all the same."""

    async def main() -> None:
        policy = budgets("0.0005") | {"route": "\n    cache: {when: always}"}
        async with cascade(policy=policy, a=Reply.chat("fine"), c=Reply.chat("fine")) as here:

            async def spend_all() -> None:
                for seed in range(100):
                    await here.chat(**SHORT, seed=seed)

            assert receipt(await here.chat(**SHORT)).cache is None
            with pytest.raises(BudgetExceeded):
                await spend_all()
            assert receipt(await here.chat(**SHORT)).cache == "hit"

    run_in_virtual_time(main)
