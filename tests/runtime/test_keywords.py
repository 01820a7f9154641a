"""A call's keywords, through the router: what is refused is sent to nobody."""

from __future__ import annotations

import asyncio
import enum
import json
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from hybridllm import DeadlineExceeded, InvalidRequest, PolicyDenied, context
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import MESSAGES, MODEL, policy, script, scripted

GOOD = Reply.chat("fine")


class Label(BaseModel):
    label: str


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("params", "said"),
    [
        pytest.param({"residencey": "phi"}, "'residency'", id="residencey"),
        pytest.param({"api_key": "sk-canary"}, "unknown keyword 'api_key'", id="api_key"),
        pytest.param({"api_base": "http://canary"}, "unknown keyword 'api_base'", id="api_base"),
        pytest.param({"top_k": 5}, "extra_body", id="top_k"),
        pytest.param({"extra_body": {"residency": "phi"}}, "'residency'", id="residency-as-extra"),
        pytest.param({"extra_body": {"api_key": "sk-canary"}}, "'api_key'", id="key-as-extra"),
        pytest.param({"extra_body": {"messages": []}}, "'messages'", id="messages-as-extra"),
        pytest.param({"extra_body": {"stream": True}}, "'stream'", id="stream-as-extra"),
        pytest.param({"extra_query": {"a": "b"}}, "extra_query", id="extra-query"),
    ],
)
def test_a_keyword_that_nobody_knows_sends_nothing(
    params: dict[str, Any], said: str, stream: bool
) -> None:
    """A misspelt residency must not become a field of an unrestricted request."""

    async def main() -> None:
        async with script("eu", eu=GOOD) as here:
            with pytest.raises(InvalidRequest, match=said) as caught:
                await here.chat(stream=stream, **params)
            assert "canary" not in str(caught.value)
            assert here.wire.requests == []

    run_in_virtual_time(main)


def test_an_unknown_keyword_is_refused_wherever_a_call_is_read() -> None:
    """By `parse`, by embeddings and by `explain`, as by `create`."""

    async def main() -> None:
        async with script("eu", eu=GOOD) as here:
            router: Any = here.router
            with pytest.raises(InvalidRequest, match="'residency'"):
                await router.embeddings.create(input="x", model="m", residencey="phi")
            with pytest.raises(InvalidRequest, match="'residency'"):
                await router.chat.completions.parse(
                    messages=MESSAGES, response_format=Label, residencey="phi"
                )
            with pytest.raises(InvalidRequest, match="'residency'"):
                router.explain(residencey="phi")
            assert here.wire.requests == []

    run_in_virtual_time(main)


def test_extra_body_goes_out_as_it_is() -> None:
    """What a backend has and OpenAI has not."""

    async def main() -> None:
        async with script("eu", eu=GOOD) as here:
            await here.chat(extra_body={"top_k": 5, "min_p": 0.1})
            assert here.wire.requests[0].json == {
                "model": MODEL, "messages": MESSAGES, "top_k": 5, "min_p": 0.1,
            }  # fmt: skip

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("block", "params", "ends_s"),
    [
        pytest.param({}, {"timeout": 2}, 2.0, id="timeout"),
        pytest.param({"deadline_s": 5}, {"timeout": 2}, 2.0, id="shorter-than-the-block"),
        pytest.param({"deadline_s": 1}, {"timeout": 2}, 2.0, id="longer-than-the-block"),
        pytest.param({"deadline_s": 1}, {}, 1.0, id="the-block"),
    ],
)
def test_a_calls_timeout_goes_before_the_deadline_of_its_block(
    block: dict[str, float], params: dict[str, Any], ends_s: float
) -> None:
    """openai's word for it is as good as ours."""

    async def main() -> None:
        async with script("eu", eu=Reply.hang()) as here:
            with context(**block), pytest.raises(DeadlineExceeded):
                await here.chat(**params)
            assert asyncio.get_running_loop().time() == ends_s
            assert "timeout" not in here.wire.requests[0].json

    run_in_virtual_time(main)


class Greeting(enum.StrEnum):
    HELLO = "hello"


def test_an_enumerations_text_is_sent_as_text() -> None:
    """As content, as a part's text and as a role."""

    class Role(enum.StrEnum):
        USER = "user"

    async def main() -> None:
        async with script("eu", eu=GOOD) as here:
            part = {"type": "text", "text": Greeting.HELLO}
            await here.chat(
                messages=[
                    {"role": Role.USER, "content": Greeting.HELLO},
                    {"role": Role.USER, "content": [part]},
                ]
            )
            assert here.wire.requests[0].json["messages"] == [
                {"role": "user", "content": "hello"},
                {"role": "user", "content": [{"type": "text", "text": "hello"}]},
            ]

    run_in_virtual_time(main)


def test_a_value_that_holds_itself_sends_nothing() -> None:
    """In the tools, which are counted, or anywhere else, which is only said in JSON."""
    loop: dict[str, Any] = {}
    loop["self"] = loop

    async def main() -> None:
        async with script("eu", eu=GOOD) as here:
            for params in ({"tools": [loop]}, {"logit_bias": loop}, {"extra_body": {"x": loop}}):
                with pytest.raises(InvalidRequest):
                    await here.chat(**params)
            assert here.wire.requests == []

    run_in_virtual_time(main)


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=["nan", "inf"])
def test_a_nested_number_that_is_none_never_goes_out_as_bad_json(value: float) -> None:
    """JSON knows neither; at the top it is refused, deep inside it is null."""

    async def main() -> None:
        async with script("eu", eu=GOOD) as here:
            with pytest.raises(InvalidRequest, match="temperature"):
                await here.chat(temperature=value)
            assert here.wire.requests == []
            await here.chat(extra_body={"penalties": {"deep": [value]}})
            body = here.wire.requests[0].body or b""
            assert b"NaN" not in body
            assert b"Infinity" not in body
            assert here.wire.requests[0].json["penalties"] == {"deep": [None]}

    run_in_virtual_time(main)


PRICED = policy("eu")  # 1 USD a million tokens in, 2 out


@pytest.mark.parametrize(
    ("params", "ceiling", "allowed"),
    [
        pytest.param({"max_tokens": 1_000}, "0.0021", True, id="one"),
        pytest.param({"max_tokens": 1_000}, "0.0019", False, id="one-too-dear"),
        pytest.param({"max_tokens": 1_000, "n": 4}, "0.0081", True, id="four"),
        pytest.param({"max_tokens": 1_000, "n": 4}, "0.0079", False, id="four-too-dear"),
        pytest.param({"max_tokens": 100.0}, "0.0003", True, id="float"),
        pytest.param({"max_tokens": 1_000_000.0}, "0.01", False, id="float-too-dear"),
        pytest.param({}, "0.0019", False, id="no-limit-is-assumed-to-be-1024"),
    ],
)
def test_a_ceiling_counts_every_choice_that_is_asked_for(
    params: dict[str, Any], ceiling: str, allowed: bool
) -> None:
    """`n` answers may each be as long as `max_tokens`."""

    async def main() -> None:
        async with scripted(PRICED, eu=GOOD) as here:
            plan = here.router.explain(messages=MESSAGES, max_cost_usd=Decimal(ceiling), **params)
            assert plan.allowed is allowed
            if not allowed:
                with pytest.raises(PolicyDenied, match="max_cost_usd"):
                    await here.chat(max_cost_usd=ceiling, **params)
                assert here.wire.requests == []

    run_in_virtual_time(main)


def test_a_json_body_never_holds_what_json_does_not_know() -> None:
    """A nested NaN among the messages' own values goes out as null, not as a word no parser takes."""

    async def main() -> None:
        async with script("eu", eu=GOOD) as here:
            await here.chat(
                tools=[{"type": "function", "function": {"name": "f", "x": float("nan")}}]
            )
            raw = here.wire.requests[0].body or b""

            def refuse(word: str) -> None:
                raise AssertionError(f"{word} was sent")

            sent = json.loads(raw, parse_constant=refuse)
            assert sent["tools"][0]["function"]["x"] is None

    run_in_virtual_time(main)
