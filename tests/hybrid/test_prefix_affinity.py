"""Conversations keep to the replica that has their beginning cached, and no replica is overrun."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hybrid.conversations import Figures, Order, Scene, figures, play, policy_text
from hybridllm import Router
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time

SCENE = Scene(seed=2)


def found(order: Order) -> Figures:
    return figures(SCENE, play(SCENE, order))


def test_most_of_what_is_said_again_is_cached_and_no_replica_is_overrun() -> None:
    """Of all prompt tokens three in four are cached, and nobody has over 1.25 times the mean of the load.

    By chance it is under seven in ten, though the instructions are cached everywhere; four in five would be
    possible, as what was answered is not cached here.
    """
    by_prefix, by_chance = found("prefix"), found("random")
    assert by_prefix.requests > 500
    assert by_prefix.under_way > 5  # requests at once on each: not a fleet with nothing to do
    assert by_prefix.hit_share >= 0.75
    assert by_prefix.under_way_max <= 1.25
    assert by_prefix.requests_max <= 1.25
    assert by_chance.hit_share <= 0.7
    assert by_prefix.possible <= 0.83
    assert by_prefix.first_token_s[1] < 0.7 * by_chance.first_token_s[1]


def cached(tokens: int | None) -> Reply:
    """An answer to a prompt of 1,000 tokens."""
    usage: dict[str, Any] = {"prompt_tokens": 1_000, "completion_tokens": 5, "total_tokens": 1_005}
    if tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": tokens}
    message = {"role": "assistant", "content": "yes"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
    return Reply.json({**head, "choices": [choice], "usage": usage})


def chat_router(answer: Reply | list[Reply]) -> Router:
    scene = Scene(replicas=4)
    wire = ScriptedWire({f"{name}.test": answer for name in scene.names})
    return Router.from_text(
        policy_text(scene, "prefix"), wire=wire, environ={}, clock=LoopClock(), chance=lambda: 0.5
    )


def asked(text: str, *more: str) -> Any:
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    for turn, one in enumerate(more):
        said.append({"role": "user" if turn % 2 else "assistant", "content": one})
    return said


def test_the_turns_of_a_conversation_go_to_one_replica_and_conversations_to_all() -> None:
    """By the first message without a session, by the session with one; alike in every router."""

    async def main() -> None:
        async with chat_router(cached(None)) as one, chat_router(cached(None)) as other:
            homes = set()
            for number in range(20):
                first = asked(f"question {number}")
                later = asked(f"question {number}", "yes", "and then?")
                home = one.explain(messages=first).candidates[0]
                assert other.explain(messages=later).candidates[0] == home
                homes.add(home)
            assert len(homes) == 4
            named = {one.explain(messages=asked(f"{n}"), session="s").candidates for n in range(9)}
            assert len(named) == 1

    run_in_virtual_time(main)


def test_an_explanation_says_why_a_replica_stands_where_it_stands() -> None:
    """In words, and without the prefix."""
    router = chat_router(cached(None))
    told = router.explain(messages=asked("hello"), session="s").to_dict()
    reasons = [one["reason"] for one in told["candidates"]]
    assert "its session goes there, so that the session's beginning is cached" in reasons[0]
    assert "next for requests that begin like it" in reasons[1]
    assert "prefix" not in told["request"]
    plain = router.explain(messages=asked("hello")).to_dict()["candidates"][0]["reason"]
    assert "requests that begin like it go there" in plain
    nothing = router.explain(input_tokens=9).to_dict()["candidates"][0]["reason"]
    assert "where its prefix goes first, else the least loaded backend" in nothing


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_status_tells_what_share_of_prompts_was_cached(stream: bool) -> None:
    """Of the answers that said so; who never did is unknown, not 0."""

    async def main() -> None:
        told = [cached(750), cached(850), cached(None)]
        answers = [_streamed(one) if stream else one for one in told]
        async with chat_router(answers) as router:
            assert {row.cached_share for row in router.status().candidates} == {None}
            for _ in range(3):
                reply: Any = await router.chat.completions.create(
                    messages=asked("hello"), session="s", stream=stream
                )
                if stream:
                    async for _chunk in reply:
                        pass
                await asyncio.sleep(1)
            rows = {row.cached_share: row for row in router.status().candidates}
            assert set(rows) == {0.8, None}
            assert (rows[0.8].prompt_tokens, rows[0.8].cached_tokens) == (2_000, 1_600)
            assert "  80%" in str(router.status())

    run_in_virtual_time(main)


def _streamed(reply: Reply) -> Reply:
    whole = json.loads(reply.chunks[0])
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    delta = {"index": 0, "delta": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    return Reply.stream(
        {**head, "choices": [delta]},
        {**head, "choices": [], "usage": whole["usage"]},
        b"data: [DONE]\n\n",
    )
