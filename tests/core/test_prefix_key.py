"""By what requests that begin alike are known."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.affinity.key import CHARS_MAX, MESSAGES_MAX, prefix_of
from hybridllm._core.request.facts import Hints
from hybridllm._core.request.read import facts_of, read_chat, read_embeddings

SYSTEM = {"role": "system", "content": "Be brief."}
POLICY = """
version: 1
backends:
  a: {kind: vllm, base_url: "https://a.test/v1", operator: self, price: free}
  b: {kind: vllm, base_url: "https://b.test/v1", operator: self, price: free}
models: {m: {on: {a: m, b: m}}}
routes: [{name: all, use: [{model: m, order_by: ORDER}]}]
"""


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def picture(url: str) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]


def test_later_turns_are_known_by_the_same_beginning() -> None:
    """What comes behind the first user message is no part of it; other first messages are others."""
    first = prefix_of(None, [SYSTEM, user("hello")])
    later = [SYSTEM, user("hello"), {"role": "assistant", "content": "hi"}, user("and then?")]
    assert prefix_of(None, later) == first
    assert prefix_of(None, [SYSTEM, user("good day")]) != first
    assert prefix_of(None, [{"role": "system", "content": "Be kind."}, user("hello")]) != first
    assert prefix_of(None, [user("hello")]) != first


def test_a_session_goes_before_what_is_said() -> None:
    """Whatever is said in it; and it is not known by what somebody says."""
    named = prefix_of("s-1", [user("hello")])
    assert named == prefix_of("s-1", [SYSTEM, user("something else")])
    assert named != prefix_of("s-2", [user("hello")])
    assert named != prefix_of(None, [user("s-1")])


def test_questions_on_one_long_text_are_alike() -> None:
    """Of each message a beginning counts; a text as long as that tells the questions behind it apart."""
    text = "x" * CHARS_MAX
    assert prefix_of(None, [user(text + "Who wrote it?")]) == prefix_of(
        None, [user(text + "When?")]
    )
    assert prefix_of(None, [user(text[1:] + "a")]) != prefix_of(None, [user(text[1:] + "b")])


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="no-messages"),
        pytest.param([user("")], id="empty"),
        pytest.param([user(None)], id="null"),
        pytest.param([user([])], id="no-parts"),
        pytest.param([user([7, "text"])], id="not-parts"),
        pytest.param([{"role": "user"}], id="no-content"),
    ],
)
def test_where_nothing_is_said_there_is_nothing_to_know_it_by(messages: list[Any]) -> None:
    """None, so that load decides; all of them on one replica would be no good."""
    assert prefix_of(None, messages) is None


def test_pictures_are_told_apart_by_their_ends() -> None:
    """The heads of pictures of one format are alike."""
    one, other = "data:image/png;base64," + "A" * 900, "data:image/png;base64," + "A" * 899 + "B"
    assert prefix_of(None, [user(picture(one))]) == prefix_of(None, [user(picture(one))])
    assert prefix_of(None, [user(picture(one))]) != prefix_of(None, [user(picture(other))])


def test_a_prompt_without_end_is_not_read_to_its_end() -> None:
    """The first messages are enough."""
    said = [{"role": "assistant", "content": "x"}] * MESSAGES_MAX
    assert prefix_of(None, [*said, user("a")]) == prefix_of(None, [*said, user("b")])


def test_every_process_makes_the_same_number() -> None:
    """Fixed: routers that do not talk must agree on a replica, also after an update."""
    assert prefix_of("s-1", []) == 5258959738663622482
    said = hashlib.blake2b(b"hello", digest_size=8, person=b"hybridllm prefix").digest()
    assert prefix_of(None, [user("hello")]) == int.from_bytes(said, "big")


@pytest.mark.parametrize("text", ["a", " ", "\0", "née", "日本", "\ud800", "x" * 100_000])
def test_any_text_has_a_number(text: str) -> None:
    """Lone surrogates too."""
    found = prefix_of(None, [user(text)])
    assert found is not None
    assert 0 <= found < 2**64


def test_nobody_makes_it_where_nobody_asks_for_it_and_nothing_shows_it() -> None:
    """Only a policy that orders by prefix; not for embeddings; never in a repr."""
    call = read_chat({"messages": [user("hello")]}, Hints())
    asks, other = (
        load_policy_text(POLICY.replace("ORDER", order))[0] for order in ("prefix", "load")
    )
    assert facts_of(call, other).prefix is None
    facts = facts_of(call, asks)
    assert facts.prefix == prefix_of(None, [user("hello")])
    assert str(facts.prefix) not in repr(facts)
    assert facts_of(read_embeddings({"input": "hello"}, Hints(session="s")), asks).prefix is None
