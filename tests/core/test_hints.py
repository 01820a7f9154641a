"""Our keywords of a call, apart from OpenAI's; whatever is neither is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import openai
import pytest

from hybridllm._core.request.facts import Hints
from hybridllm._core.request.fields import CHAT_FIELDS, EMBEDDING_FIELDS
from hybridllm._core.request.hints import split_hints
from hybridllm._core.request.read import Call, read_chat
from hybridllm.errors import InvalidRequest

MESSAGES = [{"role": "user", "content": "hello there"}]
CANARY = "canary-4711"


def read(
    params: dict[str, Any] | None = None, /, *, context: Hints | None = None, **more: Any
) -> Call:
    """Read a chat as a caller makes it."""
    body, hints = split_hints(
        {"messages": MESSAGES} | (params or {}) | more, context, operation="chat"
    )
    return read_chat(body, hints)


def test_hints_are_taken_out_and_the_rest_goes_on_the_wire() -> None:
    """Nothing of ours is in the body, nothing of OpenAI's is lost."""
    call = read(
        task="classify", residency="eu", tenant="acme", feature="triage", session="s1",
        priority="batch", deadline_s=3, max_cost_usd="0.5", metadata={"ticket": 7, "vip": True},
        tags=["beta", "eu"], vector_space="bge",
        temperature=0.2, max_tokens=9, seed=1, model="m", stream=True,
    )  # fmt: skip
    assert call.body == {"messages": MESSAGES, "temperature": 0.2, "max_tokens": 9, "seed": 1}
    assert call.hints == Hints(
        "classify", "eu", "acme", "triage", "s1", "batch", 3.0, "0.5",
        frozenset({"beta", "eu"}), "bge", {"ticket": "7", "vip": "true"},
    )  # fmt: skip
    assert (call.model, call.stream, call.output_tokens_max) == ("m", True, 9)
    assert call.max_cost_usd == Decimal("0.5")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (1, "1"), (1.0, "1"), (Decimal("1.00"), "1"), (1e3, "1000"), (0.10, "0.1"), (-0.0, "0"),
        (Decimal("0.10"), "0.1"), (True, "true"), ("1.0", "1.0"),
    ],
)  # fmt: skip
def test_a_number_in_metadata_has_one_spelling(given: Any, text: str) -> None:
    """A condition on 1 must not be passed by as 1.0, which is what JSON and data frames hand over."""
    assert read(metadata={"k": given}).hints.metadata == {"k": text}


def test_a_call_goes_before_its_context() -> None:
    """And what a call does not say, the context says."""
    call = read(context=Hints(task="extract", tenant="acme", deadline_s=9.0), task="classify")
    assert (call.hints.task, call.hints.tenant, call.hints.deadline_s) == ("classify", "acme", 9.0)
    assert read(context=Hints(task="extract"), task=None).hints.task == "extract"


@pytest.mark.parametrize("absent", [openai.NOT_GIVEN, openai.omit], ids=["NOT_GIVEN", "omit"])
def test_what_was_not_given_is_as_if_it_were_not_there(absent: Any) -> None:
    """openai's two ways to say nothing; None says something."""
    call = read(task=absent, temperature=absent, stop=None, timeout=absent, extra_headers=absent)
    assert call.hints.task is None
    assert call.body == {"messages": MESSAGES, "stop": None}


def test_timeout_is_openais_word_for_the_deadline() -> None:
    """Our own goes before it."""
    assert read(timeout=3).hints.deadline_s == 3.0
    assert read(timeout=3, deadline_s=5).hints.deadline_s == 5.0
    assert read(deadline_s=5, timeout=3).hints.deadline_s == 5.0
    assert read(timeout=None).hints.deadline_s is None


@pytest.mark.parametrize(
    ("hint", "value", "said"),
    [
        ("task", 7, r"task: must be a text of 1 to 256 characters, got int 7"),
        ("task", "", r"task: must be a text"),
        ("tenant", "x" * 257, r"tenant: must be a text"),
        ("residency", ["eu"], r"residency: must be a text .* got list"),
        ("residency", b"eu", r"residency: must be a text .* got bytes"),
        ("priority", "urgent", r"priority: 'urgent' is not one of interactive, batch, background"),
        ("deadline_s", 0, r"deadline_s: must be seconds above 0 and up to 86400, got 0"),
        ("deadline_s", -1, r"deadline_s: must be seconds above 0"),
        ("deadline_s", float("nan"), r"deadline_s: must be seconds above 0 .* got nan"),
        ("deadline_s", float("inf"), r"deadline_s: .* got inf"),
        ("deadline_s", 86_401, r"deadline_s: "),
        ("deadline_s", True, r"deadline_s: .* got True"),
        ("deadline_s", "3", r"deadline_s: .* got '3'"),
        ("timeout", "3", r"timeout: .* got '3'"),
        ("timeout", object(), r"timeout: "),
        ("max_cost_usd", -1, r"max_cost_usd: must be an amount in USD of 0 or more, got -1"),
        ("max_cost_usd", "much", r"max_cost_usd: .* got 'much'"),
        ("max_cost_usd", float("nan"), r"max_cost_usd: "),
        ("max_cost_usd", True, r"max_cost_usd: "),
        ("metadata", "x", r"metadata: must be a mapping, got str"),
        (
            "metadata",
            {"a": ["b"]},
            r"metadata: 'a' must be a text, a number or a boolean .* got list",
        ),
        ("metadata", {"a": 10**5000}, r"metadata: 'a' must be a text, a number"),
        ("metadata", {"a": float("nan")}, r"metadata: 'a' must be a text, a number"),
        ("metadata", {1: "b"}, r"under a key that is a text"),
        ("metadata", {"a": "b" * 513}, r"at most 512 characters"),
        ("metadata", {str(n): "" for n in range(65)}, r"metadata: has 65 keys; at most 64"),
        ("tags", 1, r"tags: must be a list of at most 32 texts"),
        ("tags", ["a", ""], r"tags: must be a list"),
        ("tags", ["a"] * 33, r"tags: must be a list"),
        ("tags", {"a": 1}, r"tags: must be a list"),
        ("vector_space", "", r"vector_space: must be a text"),
    ],
)
def test_a_hint_of_the_wrong_kind_is_refused(hint: str, value: Any, said: str) -> None:
    """Its name, its value, and what is allowed."""
    with pytest.raises(InvalidRequest, match=said):
        read({hint: value})


@pytest.mark.parametrize("amount", ["0.001", Decimal("0.001"), 0.001])
def test_money_is_exact_however_it_is_written(amount: Any) -> None:
    """A float is taken for what it was written as."""
    assert read(max_cost_usd=amount).max_cost_usd == Decimal("0.001")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("residenci", "residency"),
        ("tenat", "tenant"),
        ("max_token", "max_tokens"),
        ("temprature", "temperature"),
    ],
)
def test_a_misspelt_keyword_is_refused(name: str, nearest: str) -> None:
    """A residency tag that is misspelt must not become a field of the body, and the request go out."""
    with pytest.raises(InvalidRequest, match=f"unknown keyword '{name}'.*'{nearest}'"):
        read({name: CANARY})


def test_the_fields_that_openai_has_are_known() -> None:
    """Those of the installed version; whoever adds one there learns of it here."""
    from openai.types import embedding_create_params
    from openai.types.chat import completion_create_params

    chat = completion_create_params.CompletionCreateParamsBase.__annotations__.keys()
    assert set(chat) - {"metadata"} <= CHAT_FIELDS  # `metadata` is a hint of ours
    assert embedding_create_params.EmbeddingCreateParams.__annotations__.keys() <= EMBEDDING_FIELDS
