"""One reservation pays for one attempt; more are made only if there is room, and all is given back once."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from hybridllm import BudgetExceeded, RouterClosed, receipt
from hybridllm._core.budget.admit import Balance
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import Script, policy, scripted

TWO_USD = 1_000_000
COST = 2_000_010_000_000  # of such an attempt at most, in 10^-12 USD
GOOD = Reply.chat("yes", usage=(20, 10))
LATE = Reply.hang()


def daily(usd: str, *names: str, **options: Any) -> str:
    return policy(*names, more=f"budgets: [{{scope: all, usd: {usd}, per: day}}]", **options)


def balance(here: Script) -> Balance:
    (found,) = here.router._budgets().known().values()
    return found


def test_a_failover_after_what_cost_nothing_needs_no_more() -> None:
    """A refused connection is not billed: the reservation is free for the next one."""

    async def main() -> None:
        async with scripted(daily("3", "eu", "us"), eu=Reply.fail("connect"), us=GOOD) as here:
            told = receipt(await here.chat(max_tokens=TWO_USD))
            assert [one.backend for one in told.attempts] == ["eu", "us"]
            assert balance(here) == Balance(spent=40_000_000)

    run_in_virtual_time(main)


@pytest.mark.parametrize(("usd", "answered"), [("3", False), ("5", True)])
def test_a_failover_after_what_may_be_billed_needs_room_for_both(usd: str, answered: bool) -> None:
    """A timeout may have been worked on: it counts in full, before the failover and in the end."""

    async def main() -> None:
        text = daily(usd, "eu", "us", timeouts="attempt: 2s")
        async with scripted(text, eu=LATE, us=GOOD) as here:
            if answered:
                await here.chat(max_tokens=TWO_USD)
                assert balance(here) == Balance(spent=COST + 40_000_000)
                return
            with pytest.raises(BudgetExceeded, match="no room for another attempt") as caught:
                await here.chat(max_tokens=TWO_USD)
            told = receipt(caught.value)
            assert (told.outcome, told.error) == ("error", "budget_exceeded")
            assert [(one.backend, one.error) for one in told.attempts] == [
                ("eu", "attempt_timeout")
            ]
            assert here.sent("us") == 0
            assert balance(here) == Balance(spent=COST)

    run_in_virtual_time(main)


@pytest.mark.parametrize(("usd", "asked"), [("3", 0), ("5", 1)])
def test_a_hedge_is_made_only_if_there_is_room_for_it(usd: str, asked: int) -> None:
    """Nobody needs it: without room the first attempt goes on alone."""

    async def main() -> None:
        text = daily(usd, "eu", "us", task="hedge: {after: 500ms}")
        quick = [GOOD] * 20
        async with scripted(text, eu=[*quick, GOOD.after(3.0)], us=GOOD) as here:
            for _ in quick:
                await here.chat(max_tokens=10)
            await here.chat(max_tokens=TWO_USD)
            assert here.sent("us") == asked
            assert balance(here).reserved == 0

    run_in_virtual_time(main)


@pytest.mark.parametrize(("ceiling", "answered"), [("2.5", False), ("4.5", True)])
def test_max_cost_usd_bounds_all_attempts_of_a_request_together(
    ceiling: str, answered: bool
) -> None:
    """Without any budget in the policy."""

    async def main() -> None:
        async with scripted(policy("eu", "us", timeouts="attempt: 2s"), eu=LATE, us=GOOD) as here:
            asking = here.chat(max_tokens=TWO_USD, max_cost_usd=ceiling)
            if answered:
                await asking
                return
            with pytest.raises(BudgetExceeded, match="max_cost_usd of the request") as caught:
                await asking
            assert (caught.value.limit_usd, caught.value.resets_at) == (Decimal(ceiling), None)
            assert len(receipt(caught.value).attempts) == 1

    run_in_virtual_time(main)


STREAM = Reply.chat_stream(["one ", "two ", "three"]).after(0.5)


@pytest.mark.parametrize("leaves_after_s", [0.0, 0.2, 0.6, 1.0, 2.2, 4.0])
@pytest.mark.parametrize("stream", [False, True])
def test_whenever_a_caller_leaves_nothing_stays_reserved(
    leaves_after_s: float, stream: bool
) -> None:
    """Before it is sent, under way, in a failover, in a stream: what may be billed counts."""

    async def main() -> None:
        text = daily("9", "eu", "us", timeouts="attempt: 1s, first_token: 1s")
        replies = STREAM if stream else GOOD.after(2.0)
        async with scripted(text, eu=LATE, us=replies) as here:

            async def ask() -> None:
                found = await here.chat(max_tokens=TWO_USD, stream=stream)
                if stream:
                    async with found:
                        async for _ in found:
                            await asyncio.sleep(0.5)

            asking = asyncio.ensure_future(ask())
            await asyncio.sleep(leaves_after_s)
            asking.cancel()
            await asyncio.wait([asking])
            known = list(here.router._budgets().known().values())
            assert sum(one.reserved for one in known) == 0
            if leaves_after_s:
                assert sum(one.spent for one in known) >= COST

    run_in_virtual_time(main)


def test_a_stream_that_is_closed_early_costs_what_came_of_it() -> None:
    """Its end settles what its beginning reserved."""

    async def main() -> None:
        async with scripted(daily("3", "eu"), eu=STREAM) as here:
            async with await here.chat(max_tokens=TWO_USD, stream=True) as stream:
                assert balance(here) == Balance(reserved=COST)
                async for _ in stream:
                    break
            assert balance(here).reserved == 0
            cost = stream.receipt.cost_usd
            assert cost is not None
            assert balance(here).spent == cost * 10**12

    run_in_virtual_time(main)


def test_a_router_that_is_closed_settles_what_is_under_way() -> None:
    """As in doubt: it may be billed."""

    async def main() -> None:
        async with scripted(daily("3", "eu"), eu=LATE) as here:
            asking = asyncio.ensure_future(here.chat(max_tokens=TWO_USD))
            await asyncio.sleep(0.1)
            await here.router.aclose(drain_s=0)
            with pytest.raises(RouterClosed):
                await asking
            assert balance(here) == Balance(spent=COST)

    run_in_virtual_time(main)


CASCADE = """
version: 1
backends:
  eu: {kind: api, base_url: "https://eu.test/v1", api_key_env: KEY}
models:
  small: {price: {input_per_1m: 1, output_per_1m: 2}, on: {eu: small}}
  large: {price: {input_per_1m: 1, output_per_1m: PRICE}, on: {eu: large}}
tasks: {t: {}}
routes:
  - {name: all, use: [small, large], cascade: {first: small, then: large, escalate_if: {min_chars: 9}}}
budgets: [{scope: all, usd: USD, per: day}]
"""


@pytest.mark.parametrize(
    ("usd", "price", "models"),
    [
        pytest.param("5", "2", ["small", "large"], id="room for both"),
        pytest.param("3", "2", ["small"], id="room for either"),
        pytest.param("3", "9", ["small"], id="the better one alone is too dear"),
    ],
)
def test_a_cascade_goes_on_only_if_there_is_room(usd: str, price: str, models: list[str]) -> None:
    """Without room the first answer is the answer; who was taken out is not asked after all."""
    text = CASCADE.replace("USD", usd).replace("PRICE", price)

    async def main() -> None:
        whole = Reply.chat("short", usage=(20, TWO_USD))
        async with scripted(text, eu=whole) as here:
            told = receipt(await here.chat(max_tokens=TWO_USD))
            assert [one.model for one in told.attempts] == models
            assert told.cost_usd is not None
            assert balance(here) == Balance(spent=int(told.cost_usd * 10**12))

    run_in_virtual_time(main)
