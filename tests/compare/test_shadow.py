"""Copies of requests to another model: who gets them, what they may cost, what parity they prove."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from compare.models import POLICY, answer
from hybridllm import Router, receipt
from hybridllm.errors import PolicyError
from hybridllm.testing import LoopClock, Reply, ScriptedWire, no_leaks, run_in_virtual_time
from hybridllm.testing._wire import SentRequest

SHADOW = "shadow: {model: small, share: 100%, max_usd_per_day: 1"
BIG_USD, SMALL_USD = Decimal("0.0003"), Decimal("0.00003")
_USE = "    use: [big]\n"


def policy(more: str = "}", *, fallbacks: str = "", model: str = "small") -> str:
    """The policy of three models, with copies of all requests."""
    shadow = SHADOW.replace("small", model) + more
    return POLICY.replace(_USE, f"{_USE}{fallbacks}    {shadow}\n")


def played(
    text: str,
    work: Callable[[Router, ScriptedWire], Awaitable[None]],
    *,
    reply: Callable[[SentRequest], Reply] = answer,
    chance: Callable[[], float] = lambda: 0.0,
) -> None:
    wire = ScriptedWire({"us.test": reply, "own.test": reply})

    async def main() -> None:
        async with (
            no_leaks(),
            Router.from_text(text, wire=wire, clock=LoopClock(), chance=chance) as router,
        ):
            await work(router, wire)

    run_in_virtual_time(main)


async def ask(router: Router, words: str = "easy", **more: Any) -> Any:
    reply = await router.chat.completions.create(
        messages=[{"role": "user", "content": words}], max_tokens=50, **more
    )
    await asyncio.sleep(1)  # for the copy
    return reply


def models(wire: ScriptedWire) -> list[str]:
    return [sent.json["model"] for sent in wire.requests]


def test_a_copy_is_sent_after_the_answer_and_compared() -> None:
    """The caller waits for nothing of it; its words go to the other model as they were."""

    async def work(router: Router, wire: ScriptedWire) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        reply = await router.chat.completions.create(
            messages=[{"role": "user", "content": "easy"}], max_tokens=50
        )
        assert loop.time() - began_s == pytest.approx(0.2)  # of the dear one alone
        assert models(wire) == ["big"]
        await asyncio.sleep(1)
        assert models(wire) == ["big", "small"]
        assert wire.requests[1].json["messages"] == wire.requests[0].json["messages"]
        assert receipt(reply).cost_usd == BIG_USD
        (row,) = router.status().shadows
        assert (row.copies, row.answered, row.spent_usd) == (1, 1, SMALL_USD)
        assert row.saving == pytest.approx(0.9)

    played(policy(", parity: {at_least: 80%, samples: 20}}"), work)


def test_a_stream_is_copied_whole() -> None:
    """As one answer, which is held against the stream's text."""

    async def work(router: Router, wire: ScriptedWire) -> None:
        async with await router.chat.completions.create(
            messages=[{"role": "user", "content": "easy"}], stream=True, max_tokens=50
        ) as stream:
            async for _ in stream:
                pass
        await asyncio.sleep(1)
        assert [bool(sent.json.get("stream")) for sent in wire.requests] == [True, False]
        (row,) = router.status().shadows
        assert (row.samples, row.agreement) == (1, 1.0)

    def reply(sent: SentRequest) -> Reply:
        return Reply.chat_stream(["EA", "SY"]) if sent.json.get("stream") else answer(sent)

    played(policy(", parity: {at_least: 80%, samples: 20}}"), work, reply=reply)


def test_several_answers_are_not_copied() -> None:
    """There is no one text to compare."""
    choices = [
        {"index": place, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}
        for place in range(2)
    ]
    both = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "big",
        "choices": choices,
    }

    async def work(router: Router, wire: ScriptedWire) -> None:
        await ask(router, n=2)
        assert models(wire) == ["big"]

    played(policy(), work, reply=lambda _: Reply.json(both))


def test_calls_of_tools_are_not_copied() -> None:
    """They would have to be carried out twice."""
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    reply = Reply.chat(None, tool_calls=[call], finish_reason="tool_calls")

    async def work(router: Router, wire: ScriptedWire) -> None:
        await ask(router)
        assert models(wire) == ["big"]

    played(policy(), work, reply=lambda _: reply)


def test_what_may_not_leave_is_not_copied() -> None:
    """The copy's model is served outside; nothing of a tagged request goes there."""

    async def work(router: Router, wire: ScriptedWire) -> None:
        await ask(router, residency="phi")
        assert models(wire) == ["big"]
        assert wire.sent_to("us.test") == []

    played(policy(), work)


def test_every_tag_of_the_original_holds_for_its_copy() -> None:
    """Also one that only the default or the session brought."""
    text = policy(model="silly").replace(
        "on: {us: silly}", "on: {us: silly}, price: {input_per_1m: 1, output_per_1m: 1}"
    )
    text = text.replace("default_residency: public", "default_residency: phi")

    async def work(router: Router, wire: ScriptedWire) -> None:
        await ask(router)
        assert wire.sent_to("us.test") == []
        assert len(wire.sent_to("own.test")) == 1

    played(text, work)


def test_no_copy_is_begun_by_a_policy_that_has_gone() -> None:
    """The one in force by then might forbid it; the request itself ends as it began."""

    async def work(router: Router, wire: ScriptedWire) -> None:
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(ask(router))
            await asyncio.sleep(0.1)
            other = policy("}", model="big").replace("[big]", "[small]")
            router._swap(Router.from_text(other).policy)
        assert receipt(asked.result()).attempts[0].model == "big"
        assert models(wire) == ["big"]
        assert not any(one.spent_usd for one in router.status().shadows)

    played(policy(), work)


def test_a_copy_goes_to_no_backend_that_its_route_leaves_out() -> None:
    """A route that asks a model on some backends alone has its copies asked of the same."""
    parity = ", parity: {at_least: 80%, samples: 20, then: shift}}"
    text = policy(parity, fallbacks="    fallbacks: [small]\n")
    text = text.replace("use: [big]", "use: [{model: big, on: [own]}]")

    async def work(router: Router, wire: ScriptedWire) -> None:
        for _ in range(30):
            await ask(router)
        assert models(wire)[-2:] == ["small", "big"]
        urls = {sent.url for sent in wire.requests if sent.json["model"] == "big"}
        assert urls == {"http://own.test/v1/chat/completions"}

    played(text, work)


def test_a_share_is_copied() -> None:
    """By a number that is drawn for each request."""

    async def work(router: Router, wire: ScriptedWire) -> None:
        for _ in range(400):
            await ask(router)
        assert router.status().shadows[0].copies == pytest.approx(100, abs=25)

    text = policy().replace("share: 100%", "share: 25%")
    played(text, work, chance=Random(7).random)


def test_the_days_money_is_never_passed() -> None:
    """What a copy may cost at most is set aside before it is sent; the next day begins anew."""
    text = policy().replace("max_usd_per_day: 1", "max_usd_per_day: 0.0005")

    async def work(router: Router, wire: ScriptedWire) -> None:
        for _ in range(20):
            await ask(router)
        (row,) = router.status().shadows
        assert row.spent_usd <= Decimal("0.0005")
        assert 10 <= row.copies < 20
        assert row.skipped == 20 - row.copies
        await asyncio.sleep(86_400)
        await ask(router)
        assert router.status().shadows[0].copies == row.copies + 1

    played(text, work)


def test_no_money_means_no_copy() -> None:
    """0 is 0."""

    async def work(router: Router, wire: ScriptedWire) -> None:
        await ask(router)
        assert models(wire) == ["big"]
        assert router.status().shadows[0].skipped == 1

    played(policy().replace("max_usd_per_day: 1", "max_usd_per_day: 0"), work)


def test_a_copy_that_fails_costs_nobody_an_answer() -> None:
    """It has its receipt; the caller has long had the answer."""

    async def work(router: Router, wire: ScriptedWire) -> None:
        reply = await ask(router)
        assert reply.choices[0].message.content == "EASY"
        (row,) = router.status().shadows
        assert (row.copies, row.answered, row.samples) == (1, 0, 0)

    def reply(sent: SentRequest) -> Reply:
        return Reply.status(400) if sent.json["model"] == "small" else answer(sent)

    played(policy(", parity: {at_least: 80%, samples: 20}}"), work, reply=reply)


def test_a_router_that_closes_waits_for_no_copy() -> None:
    """It is broken off, and nothing of it is left."""

    async def work(router: Router, wire: ScriptedWire) -> None:
        await router.chat.completions.create(messages=[{"role": "user", "content": "easy"}])
        await asyncio.sleep(0.01)
        assert models(wire) == ["big", "small"]
        began_s = asyncio.get_running_loop().time()
        await router.aclose()
        assert asyncio.get_running_loop().time() - began_s < 0.01

    def reply(sent: SentRequest) -> Reply:
        return answer(sent).after(3_600) if sent.json["model"] == "small" else answer(sent)

    played(policy(), work, reply=reply)


def test_a_cheaper_model_is_proposed_when_parity_holds(caplog: pytest.LogCaptureFixture) -> None:
    """Not before a whole window agrees well enough; who is asked does not change."""

    async def work(router: Router, wire: ScriptedWire) -> None:
        for _ in range(19):
            await ask(router)
        assert router.status().shadows[0].standing == "watched"
        await ask(router)
        assert router.status().shadows[0].standing == "proposed"
        assert receipt(await ask(router)).attempts[0].model == "big"

    with caplog.at_level(logging.WARNING, "hybridllm"):
        played(policy(", parity: {at_least: 80%, samples: 20}}"), work)
    assert "shadow small: proposed; 20 of the latest 20 answers agree, saving 90 %" in caplog.text


def test_a_dearer_model_is_not_proposed() -> None:
    """However well its answers agree."""
    text = policy(", parity: {at_least: 80%, samples: 20}}")
    text = text.replace("input_per_1m: 1, output_per_1m: 4", "input_per_1m: 11, output_per_1m: 41")

    async def work(router: Router, wire: ScriptedWire) -> None:
        for _ in range(25):
            await ask(router)
        assert router.status().shadows[0].standing == "not cheaper"

    played(text, work)


def test_a_route_shifts_while_parity_holds_and_is_rolled_back_when_it_stops() -> None:
    """While it is shifted the dearer model gets the copies, so that what is lost is seen."""
    text = policy(
        ", parity: {at_least: 80%, samples: 20, then: shift}}", fallbacks="    fallbacks: [small]\n"
    )

    async def work(router: Router, wire: ScriptedWire) -> None:
        for _ in range(20):
            await ask(router)
        assert router.status().shadows[0].standing == "shifted"
        told = receipt(await ask(router))
        assert [one.model for one in told.attempts] == ["small"]
        assert told.attempts[0].reason.value == "primary"
        assert "parity holds" in told.reasons[0]
        assert models(wire)[-2:] == ["small", "big"]
        for _ in range(5):
            await ask(router, "a hard one")
        assert router.status().shadows[0].standing == "rolled back"
        assert receipt(await ask(router)).attempts[0].model == "big"

    played(text, work)


def test_another_policy_proves_parity_anew() -> None:
    """What was learnt under other words may not hold under these."""
    text = policy(
        ", parity: {at_least: 80%, samples: 20, then: shift}}", fallbacks="    fallbacks: [small]\n"
    )

    async def work(router: Router, wire: ScriptedWire) -> None:
        for _ in range(20):
            await ask(router)
        router._swap(Router.from_text(text.replace("80%", "75%")).policy)
        assert router.status().shadows[0].standing == "watched"
        assert receipt(await ask(router)).attempts[0].model == "big"

    played(text, work)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param("share: 0", "not a share above 0", id="share"),
        pytest.param("share: 101%", "not a share above 0", id="too-much"),
        pytest.param("model: smal", "unknown model 'smal'", id="unknown"),
        pytest.param("model: big", "asks 'big' itself", id="itself"),
        pytest.param("model: silly", "has a known price", id="no-price"),
        pytest.param("parity: {at_least: 99%, samples: 300}", "at least 381 samples", id="samples"),
        pytest.param("parity: {at_least: 100%}", "no sample proves", id="all"),
        pytest.param("parity: {at_least: 80%, then: shift}", "name it in `fallbacks`", id="shift"),
    ],
)
def test_a_shadow_that_cannot_be_meant_is_refused(more: str, words: str) -> None:
    """With what is wrong and what would be right."""
    said = {"model": "small", "share": "5%", "max_usd_per_day": "1"}
    key, _, value = more.partition(": ")
    said[key] = value
    shadow = ", ".join(f"{name}: {text}" for name, text in said.items())
    with pytest.raises(PolicyError, match=words):
        Router.from_text(POLICY.replace(_USE, f"{_USE}    shadow: {{{shadow}}}\n"))
