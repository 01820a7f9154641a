"""A budget is kept by reserving what requests may cost before they are sent, however many come at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import openai
import pytest

from hybridllm import BudgetExceeded, receipt
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import Script, many, policy, scripted

TWO_USD = 1_000_000
"""So many tokens of an answer cost 2 USD in the policy of `runtime.world`."""
ANSWER = Reply.chat("yes", usage=(20, 10)).after(1.0)


def of(budgets: str, *names: str, **options: Any) -> str:
    return policy(*(names or ("eu",)), more=f"budgets: [{budgets}]", **options)


async def outcomes(here: Script, calls: int, **params: Any) -> list[Any]:
    return await many(calls, calls, lambda _: here.chat(max_tokens=TWO_USD, **params))


def held(here: Script) -> int:
    """What is reserved, of all budgets together."""
    balances = here.router._budgets().known().values()
    return sum(balance.reserved for balance in balances)


def test_of_fifty_requests_of_2_usd_at_once_a_budget_of_5_admits_two() -> None:
    """What they may cost is reserved before anything is sent; what they cost is settled after."""

    async def main() -> None:
        async with scripted(of("{scope: all, usd: 5, per: day}"), eu=ANSWER) as here:
            found = await outcomes(here, 50)
            denied = [one for one in found if isinstance(one, BudgetExceeded)]
            assert (len(denied), here.sent("eu")) == (48, 2)
            error = denied[0]
            assert isinstance(error, openai.RateLimitError)
            assert (error.limit_usd, error.spent_usd) == (5, 0)
            assert error.reserved_usd == 2 * error.needed_usd == Decimal("4.00002")
            assert error.retry_after_s is not None
            assert 0 < error.retry_after_s <= 86_400
            told = receipt(error)
            assert (told.outcome, told.error, told.attempts) == ("denied", "budget_exceeded", ())
            assert told.dropped[0][0] == "eu/m"
            assert held(here) == 0
            await here.chat(max_tokens=TWO_USD)  # they cost far less than they might have

    run_in_virtual_time(main)


def test_a_budget_of_0_admits_nothing_not_even_what_is_free() -> None:
    """0 means 0."""

    async def main() -> None:
        free = of("{scope: all, usd: 0, per: month}").replace(
            "price: {input_per_1m: 1, output_per_1m: 2}",
            "price: {input_per_1m: 0, output_per_1m: 0}",
        )
        for text in (of("{scope: all, usd: 0, per: month}"), free):
            async with scripted(text, eu=ANSWER) as here:
                with pytest.raises(BudgetExceeded, match=r"of 0\.00 USD 0\.00 are spent"):
                    await here.chat(max_tokens=1)
                assert here.sent("eu") == 0

    run_in_virtual_time(main)


def test_two_routers_keep_their_own() -> None:
    """Without a file that they share, each router has the whole budget."""

    async def main() -> None:
        text = of("{scope: all, usd: 5, per: day}")
        async with scripted(text, eu=ANSWER) as one, scripted(text, eu=ANSWER) as other:
            async with asyncio.TaskGroup() as group:
                for router in (one, other):
                    group.create_task(outcomes(router, 10))
            assert (one.sent("eu"), other.sent("eu")) == (2, 2)

    run_in_virtual_time(main)


def test_the_status_tells_what_is_spent_and_reserved_and_what_was_reached() -> None:
    """Per tenant, who has used most first; in its running period."""
    budgets = '{name: each, scope: {tenant: "*"}, usd: 5, per: day, at: {40%: warn}}'

    async def main() -> None:
        async with scripted(of(budgets), eu=ANSWER) as here:
            (nobody,) = here.router.status().budgets
            assert (nobody.whose, nobody.spent_usd, nobody.limit_usd) == ("*", 0, 5)
            await here.chat(tenant="beta", max_tokens=10)
            asking = asyncio.ensure_future(here.chat(tenant="acme", max_tokens=TWO_USD))
            await asyncio.sleep(0.5)
            acme, beta = here.router.status().budgets
            assert (acme.whose, acme.reserved_usd, acme.reached) == (
                "acme",
                Decimal("2.00001"),
                ("40 % warn",),
            )
            assert (beta.whose, beta.spent_usd, beta.kept_in) == (
                "beta",
                Decimal("0.00004"),
                "memory",
            )
            assert acme.resets_at == datetime(2026, 1, 2, tzinfo=UTC)
            assert "budget each of acme: 0.0000 USD spent and 2.0000 reserved of 5.00" in str(
                here.router.status()
            )
            warned = receipt(await here.chat(tenant="acme", max_tokens=10)).observed
            assert warned == ("budget 'each' (5.00 USD per day) has reached 40 %",)
            await asking

    run_in_virtual_time(main)


def test_a_tenant_has_a_budget_of_its_own_and_those_without_a_name_have_one_together() -> None:
    """One that is used up keeps nobody else from asking."""
    budgets = '{scope: {tenant: "*"}, usd: 3, per: day}'

    async def main() -> None:
        async with scripted(of(budgets), eu=ANSWER) as here:
            for tenant in ({"tenant": "a"}, {"tenant": "b"}, {}):
                found = await outcomes(here, 4, **tenant)
                assert sum(isinstance(one, BudgetExceeded) for one in found) == 3
            assert here.sent("eu") == 3

    run_in_virtual_time(main)


def test_a_budget_binds_only_what_its_scope_fits() -> None:
    """All of a scope's keys must fit."""
    budgets = "{scope: {tenant: acme, task: t, route: all, feature: f}, usd: 0, per: month}"

    async def main() -> None:
        async with scripted(of(budgets), eu=ANSWER) as here:
            await here.chat(tenant="acme")
            await here.chat(tenant="other", feature="f")
            with pytest.raises(BudgetExceeded, match="per month"):
                await here.chat(tenant="acme", feature="f")

    run_in_virtual_time(main)


def test_a_budget_of_a_backend_takes_that_backend_out_and_no_other() -> None:
    """Another one answers; when that has no room either, nobody does."""
    budgets = "{scope: {backend: eu}, usd: 3, per: day}, {scope: {backend: us}, usd: 1, per: day}"

    async def main() -> None:
        whole = Reply.chat("yes", usage=(20, TWO_USD))
        async with scripted(of(budgets, "eu", "us"), eu=whole, us=whole) as here:
            await here.chat(max_tokens=TWO_USD)
            told = receipt(await here.chat(max_tokens=400_000))
            assert told.served is not None
            assert told.served.backend == "eu"  # 0.8 USD still fit
            told = receipt(await here.chat(max_tokens=400_000))
            assert told.candidates == ("us/m",)
            ((dropped, why),) = told.dropped
            assert (dropped, "has no room: of 3.00 USD 4.00004 are spent" in why) == ("eu/m", True)
            with pytest.raises(BudgetExceeded):
                await here.chat(max_tokens=400_000)

    run_in_virtual_time(main)


TWO_MODELS = """
version: 1
backends:
  eu: {kind: api, base_url: "https://eu.test/v1", api_key_env: KEY}
models:
  dear: {price: {input_per_1m: 1, output_per_1m: 2}, on: {eu: dear}}
  cheap: {price: {input_per_1m: 0.1, output_per_1m: 0.2}, on: {eu: cheap}}
tasks: {t: {}}
routes:
  - {name: all, use: [dear, cheap]}
budgets:
  - {name: b, scope: all, usd: 10, per: day, at: {50%: {use: [cheap]}, 100%: deny}}
"""


def test_from_a_share_on_only_the_models_of_a_step_are_asked() -> None:
    """The plan is narrowed, never widened; a pinned model that is not among them is denied."""

    async def main() -> None:
        whole = Reply.chat("yes", usage=(20, TWO_USD))
        async with scripted(TWO_MODELS, eu=whole) as here:
            for _ in range(3):
                told = receipt(await here.chat(max_tokens=TWO_USD))
                assert told.candidates == ("eu/dear", "eu/cheap")
            told = receipt(await here.chat(max_tokens=TWO_USD))
            assert told.candidates == ("eu/cheap",)
            assert "has reached 50 %: use cheap only" in told.dropped[0][1]
            with pytest.raises(BudgetExceeded, match="use cheap only"):
                await here.chat(model="dear", max_tokens=10)

    run_in_virtual_time(main)


def test_what_does_not_fit_at_the_dearest_goes_to_a_cheaper_one() -> None:
    """With 1 USD left, 2 USD are too much and 0.20 are not."""

    async def main() -> None:
        text = TWO_MODELS.replace("usd: 10", "usd: 1").replace("50%: {use: [cheap]}, ", "")
        async with scripted(text, eu=ANSWER) as here:
            assert receipt(await here.chat(max_tokens=TWO_USD)).candidates == ("eu/cheap",)

    run_in_virtual_time(main)
