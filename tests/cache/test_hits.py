"""What is answered from the response cache, and what never is. Through a router, in virtual time."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from cache.worlds import ASKED, cache
from hybridllm import RequestRejected, RouteExhausted, receipt
from hybridllm._core.receipt import RequestOutcome
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import MESSAGES

COST_USD = Decimal("0.00002")  # 10 + 5 tokens


def numbered(count: int = 50) -> list[Reply]:
    """Answers that can be told apart."""
    return [Reply.chat(f"answer {number}") for number in range(1, count)]


def text(answer: Any) -> str:
    said: str = answer.choices[0].message.content
    return said


def test_an_equal_request_gets_the_same_answer_for_nothing() -> None:
    """An object of its own, with a receipt of its own: no attempt, no cost, and what that saved."""

    async def main() -> None:
        async with cache(a=numbered()) as here:
            first = await here.chat(**ASKED)
            second = await here.chat(**ASKED)
            assert (text(first), text(second)) == ("answer 1", "answer 1")
            assert here.sent("a") == 1
            assert first.model_dump() == second.model_dump()
            assert first is not second
            second.choices[0].message.content = "changed"
            third = await here.chat(**ASKED)
            assert text(third) == "answer 1"
            asked, hit = receipt(first), receipt(third)
            assert (asked.cache, asked.saved_usd, asked.cost_usd) == (None, None, COST_USD)
            assert (hit.cache, hit.saved_usd, hit.cost_usd) == ("hit", COST_USD, 0)
            assert (hit.attempts, hit.cost_complete) == ((), True)
            assert hit.outcome is RequestOutcome.OK
            assert hit.request_id != asked.request_id
            row = here.router.status().caches[1]
            assert (row.route, row.entries, row.hits, row.shared, row.misses) == ("all", 1, 2, 0, 1)
            assert row.saved_usd == 2 * COST_USD
            assert "cache of all: 2 hits and 0 shared of 3" in str(here.router.status())

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("rule", "params", "kept"),
    [
        pytest.param("{}", {"temperature": 0}, True, id="zero"),
        pytest.param("{}", {"temperature": 0.0}, True, id="zero-as-a-fraction"),
        pytest.param("{}", {}, False, id="default"),
        pytest.param("{}", {"temperature": 0.7}, False, id="warm"),
        pytest.param("{}", {"temperature": False}, False, id="no-number"),
        pytest.param("{when: always}", {"temperature": 0.7}, True, id="always"),
        pytest.param("{when: always}", {}, True, id="always-default"),
        pytest.param("{when: always}", {"model": "m"}, False, id="pinned"),
    ],
)
def test_only_what_may_be_repeated_is_kept(
    rule: str, params: dict[str, Any], *, kept: bool
) -> None:
    """Temperature 0, unless the policy says that chance does not matter; a pin passes routes by."""

    async def main() -> None:
        async with cache(rule, a=numbered()) as here:
            await here.chat(**params)
            await here.chat(**params)
            assert here.sent("a") == (1 if kept else 2)

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"messages": [{"role": "user", "content": "Another."}]}, id="prompt"),
        pytest.param({"max_tokens": 5}, id="a-field"),
        pytest.param({"seed": 1}, id="seed"),
        pytest.param({"tenant": "acme"}, id="tenant"),
        pytest.param({"residency": "free"}, id="tag"),
        pytest.param({"extra_body": {"top_k": 3}}, id="a-field-of-the-backends"),
        pytest.param({"extra_headers": {"openai-beta": "x"}}, id="header"),
        pytest.param({"tools": [{"type": "function", "function": {"name": "f"}}]}, id="tools"),
    ],
)
def test_what_differs_at_all_is_another_request(other: dict[str, Any]) -> None:
    """The whole request, whose it is and where it may go; not what only accounts for it."""

    async def main() -> None:
        async with cache(a=numbered()) as here:
            await here.chat(**ASKED)
            await here.chat(**ASKED | other)
            assert here.sent("a") == 2
            await here.chat(**ASKED, feature="f", metadata={"k": 1}, user_id="u", deadline_s=9)
            assert here.sent("a") == 2

    run_in_virtual_time(main)


def test_the_order_of_keys_is_no_difference() -> None:
    """A request is known by what it says."""

    async def main() -> None:
        async with cache(a=numbered()) as here:
            await here.chat(**ASKED, messages=[{"role": "user", "content": "x"}])
            await here.chat(messages=[{"content": "x", "role": "user"}], **ASKED)
            assert here.sent("a") == 1

    run_in_virtual_time(main)


def test_an_answer_is_kept_for_its_time() -> None:
    """Then it is asked for again."""

    async def main() -> None:
        async with cache("{ttl: 10s}", a=numbered()) as here:
            await here.chat(**ASKED)
            await asyncio.sleep(9.9)
            assert text(await here.chat(**ASKED)) == "answer 1"
            await asyncio.sleep(0.2)
            assert text(await here.chat(**ASKED)) == "answer 2"
            assert here.router.status().caches[1].entries == 1

    run_in_virtual_time(main)


def test_no_more_are_kept_than_the_policy_says() -> None:
    """In number and in size; the least used goes, and what is too large is not kept at all."""

    async def main() -> None:
        def ask(word: str) -> dict[str, Any]:
            return {"messages": [{"role": "user", "content": word}], **ASKED}

        async with cache("{entries: 2}", a=numbered()) as here:
            for word in ("one", "two", "one", "three"):
                await here.chat(**ask(word))
            assert here.router.status().caches[1].entries == 2
            await here.chat(**ask("one"))
            assert here.sent("a") == 3
            await here.chat(**ask("two"))
            assert here.sent("a") == 4
        large = [Reply.chat("x" * 30_000)]
        async with cache("{bytes: 64K}", a=large) as here:
            for word in ("one", "two", "three"):
                await here.chat(**ask(word))
            row = here.router.status().caches[1]
            assert row.entries == 2
            assert row.size_bytes <= 65_536
        async with cache("{bytes: 64K}", a=[Reply.chat("x" * 70_000)]) as here:
            await here.chat(**ASKED)
            await here.chat(**ASKED)
            assert here.sent("a") == 2

    run_in_virtual_time(main)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_answer_that_was_cut_off_or_withheld_is_not_kept(reason: Any) -> None:
    """It is an answer, and no whole one."""

    async def main() -> None:
        async with cache(a=Reply.chat("half", finish_reason=reason)) as here:
            await here.chat(**ASKED)
            await here.chat(**ASKED)
            assert here.sent("a") == 2

    run_in_virtual_time(main)


def test_errors_are_not_kept() -> None:
    """The next one tries again."""

    async def main() -> None:
        async with cache(a=[Reply.status(400), Reply.chat("good")]) as here:
            with pytest.raises(RequestRejected):
                await here.chat(**ASKED)
            assert here.router.status().caches[1].entries == 0
            assert text(await here.chat(**ASKED)) == "good"

    run_in_virtual_time(main)


def test_vectors_are_kept_too() -> None:
    """Equal texts have equal vectors; no temperature is asked for."""

    async def main() -> None:
        async with cache(a=Reply.embeddings([[0.5, 0.25]])) as here:
            first = await here.router.embeddings.create(input="x")
            second = await here.router.embeddings.create(input="x")
            assert here.sent("a") == 1
            assert first.data[0].embedding == second.data[0].embedding
            assert receipt(second).cache == "hit"
            await here.router.embeddings.create(input="y")
            assert here.sent("a") == 2

    run_in_virtual_time(main)


def test_parsed_answers_come_from_the_cache() -> None:
    """Each caller parses its own copy."""
    from pydantic import BaseModel

    class Number(BaseModel):
        n: int

    async def main() -> None:
        async with cache(a=Reply.chat('{"n": 3}')) as here:
            for _ in range(2):
                answer = await here.router.chat.completions.parse(
                    messages=MESSAGES, response_format=Number, **ASKED
                )
                parsed = answer.choices[0].message.parsed
                assert parsed is not None
                assert parsed.n == 3
            assert here.sent("a") == 1

    run_in_virtual_time(main)


def test_an_answer_that_did_not_pass_its_cascade_is_not_kept() -> None:
    """One that replaced it is, with what both attempts cost."""

    async def main() -> None:
        policy = {"route": ", cascade: {first: m, then: n}"}
        lost = Reply.chat("I don't know")
        async with cache(policy=policy, a=lost, b=[Reply.status(400), Reply.chat("yes")]) as here:
            assert text(await here.chat(**ASKED)) == "I don't know"
            assert text(await here.chat(**ASKED)) == "yes"
            third = await here.chat(**ASKED)
            assert (text(third), receipt(third).saved_usd) == ("yes", 2 * COST_USD)
            assert (here.sent("a"), here.sent("b")) == (2, 2)

    run_in_virtual_time(main)


def test_without_a_cache_nothing_is_kept() -> None:
    """It is off unless the route says so."""

    async def main() -> None:
        from runtime.world import script

        async with script("eu", eu=numbered()) as here:
            await here.chat(**ASKED)
            await here.chat(**ASKED)
            assert here.sent("eu") == 2
            assert here.router.status().caches == ()

    run_in_virtual_time(main)


def test_with_everybody_down_a_kept_answer_still_comes() -> None:
    """It needs nobody."""

    async def main() -> None:
        bad = Reply.status(503)
        async with cache(a=[Reply.chat("kept"), bad], b=bad) as here:
            await here.chat(**ASKED)
            assert text(await here.chat(**ASKED)) == "kept"
            with pytest.raises(RouteExhausted):
                await here.chat(**ASKED, seed=1)

    run_in_virtual_time(main)


def test_a_request_that_no_key_can_be_made_of_is_sent() -> None:
    """A number of 5,000 digits is good JSON, though Python reads none of that length; nothing is left."""

    async def main() -> None:
        async with cache(a=Reply.chat("yes")) as here:
            for _ in range(2):
                answer = await here.chat(**ASKED, extra_body={"number": 10**5_000})
                assert receipt(answer).cache is None
            assert here.sent("a") == 2

    run_in_virtual_time(main)
