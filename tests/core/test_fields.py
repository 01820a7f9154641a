"""Which keywords a call may have: OpenAI's own, ours, and nothing in between."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from openai import NOT_GIVEN, omit
from openai.types.chat import completion_create_params
from openai.types.embedding_create_params import EmbeddingCreateParams

from hybridllm import InvalidRequest
from hybridllm._core.request.facts import Hints
from hybridllm._core.request.fields import CHAT_FIELDS, EMBEDDING_FIELDS, NOT_EXTRA
from hybridllm._core.request.hints import DEADLINE_S_MAX, HINTS, split_hints
from hybridllm._core.request.read import N_MAX, Call, read_chat, read_embeddings

MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**params: Any) -> Call:
    return read_chat({"messages": MESSAGES} | params, Hints())


def split(context: Any = None, **params: Any) -> tuple[dict[str, Any], Hints]:
    return split_hints(params, context, operation="chat")


def test_the_fields_are_those_of_the_installed_openai() -> None:
    """All that its types know; `metadata` is a hint of ours, `stream` it keeps in types of its own."""
    theirs = set(completion_create_params.CompletionCreateParamsBase.__annotations__)
    assert theirs - {"metadata"} | {"stream"} == CHAT_FIELDS
    assert set(EmbeddingCreateParams.__annotations__) | {"stream"} == EMBEDDING_FIELDS


def test_no_hint_is_a_field() -> None:
    """A keyword means one thing, so that no hint ever goes out as part of a body."""
    assert not HINTS & (CHAT_FIELDS | EMBEDDING_FIELDS)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        pytest.param("residencey", "'residency'", id="residencey"),
        pytest.param("tennant", "'tenant'", id="tennant"),
        pytest.param("max_cost", "'max_cost_usd'", id="max_cost"),
        pytest.param("temprature", "'temperature'", id="temprature"),
        pytest.param("extra_boddy", "'extra_body'", id="extra_boddy"),
        pytest.param("api_key", None, id="api_key"),
        pytest.param("api_base", None, id="api_base"),
        pytest.param("top_k", "extra_body", id="top_k"),
    ],
)
def test_an_unknown_keyword_is_refused_by_its_name(name: str, nearest: str | None) -> None:
    """With the name that was meant, and never with its value."""
    with pytest.raises(InvalidRequest, match=f"unknown keyword '{name}'") as caught:
        split(messages=MESSAGES, **{name: "canary"})
    assert nearest is None or nearest in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", ["messages", "temperature", "stream_options"])
def test_an_embedding_has_fewer_fields_than_a_chat(name: str) -> None:
    """Each operation has its own."""
    with pytest.raises(InvalidRequest, match=name):
        split_hints({"input": "x", name: 1}, None, operation="embeddings")


def test_every_field_and_every_hint_passes() -> None:
    """A field goes into the body, whatever its value; a hint never does."""
    body, hints = split(**dict.fromkeys(CHAT_FIELDS, 1), tenant="acme", deadline_s=3)
    assert set(body) == CHAT_FIELDS
    assert (hints.tenant, hints.deadline_s) == ("acme", 3.0)


@pytest.mark.parametrize("absent", [NOT_GIVEN, omit], ids=["NOT_GIVEN", "omit"])
def test_what_was_not_given_is_not_there(absent: Any) -> None:
    """openai's two ways to say so; under an unknown name too, for it says nothing."""
    body, hints = split(messages=MESSAGES, temperature=absent, tenant=absent, extra_body=absent)
    assert body == {"messages": MESSAGES}
    assert hints == Hints()


@pytest.mark.parametrize("name", ["extra_body", "extra_headers", "extra_query", "timeout"])
def test_openais_extras_may_be_none(name: str) -> None:
    """As in openai's own signature."""
    assert split(messages=MESSAGES, **{name: None}) == ({"messages": MESSAGES}, Hints())


@pytest.mark.parametrize(
    ("context", "params", "deadline_s"),
    [
        pytest.param(None, {"timeout": 2}, 2.0, id="timeout"),
        pytest.param(Hints(deadline_s=9.0), {"timeout": 2}, 2.0, id="timeout-in-a-block"),
        pytest.param(Hints(deadline_s=9.0), {}, 9.0, id="the-block"),
        pytest.param(Hints(deadline_s=9.0), {"timeout": None}, 9.0, id="no-timeout"),
        pytest.param(None, {"timeout": 2, "deadline_s": 3}, 3.0, id="both"),
        pytest.param(None, {"deadline_s": 3, "timeout": 2}, 3.0, id="both-in-the-other-order"),
        pytest.param(None, {"timeout": DEADLINE_S_MAX}, DEADLINE_S_MAX, id="a-day"),
    ],
)
def test_timeout_is_the_deadline(
    context: Hints | None, params: dict[str, Any], deadline_s: float
) -> None:
    """What a call says goes before its block, and our own word before openai's."""
    body, hints = split(context, messages=MESSAGES, **params)
    assert hints.deadline_s == deadline_s
    assert set(body) == {"messages"}


@pytest.mark.parametrize("value", [0, -1, True, "2", float("nan"), float("inf"), 86_401, (1, 2)])
@pytest.mark.parametrize("name", ["timeout", "deadline_s"])
def test_a_deadline_is_a_number_of_seconds(name: str, value: Any) -> None:
    """Above 0, and up to a day."""
    with pytest.raises(InvalidRequest, match=name):
        split(messages=MESSAGES, **{name: value})


@pytest.mark.parametrize("name", sorted(NOT_EXTRA))
def test_extra_body_takes_nothing_that_the_router_must_see(name: str) -> None:
    """Hints would be lost there and go out with the prompt, as would another router's credentials."""
    with pytest.raises(InvalidRequest, match=f"extra_body: '{name}'") as caught:
        chat(extra_body={name: "canary"})
    assert "canary" not in str(caught.value)


def test_extra_body_takes_what_a_backend_has_and_openai_has_not() -> None:
    """As it is, and the caller's own mapping is not changed."""
    extra = {"top_k": 5, "guided_json": {"a": 1}, "repetition_penalty": 1.1}
    call = chat(extra_body=extra)
    assert call.body == {"messages": MESSAGES} | extra
    assert set(extra) == {"top_k", "guided_json", "repetition_penalty"}


@pytest.mark.parametrize(
    ("params", "tokens"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"max_tokens": 100}, 100, id="int"),
        pytest.param({"max_tokens": 100.0}, 100, id="float"),
        pytest.param({"max_tokens": 0}, 0, id="nothing"),
        pytest.param({"max_completion_tokens": 7, "max_tokens": 100}, 100, id="the-larger-of-both"),
        pytest.param(
            {"max_completion_tokens": 0, "max_tokens": 100}, 100, id="a-backend-knows-one"
        ),
        pytest.param({"extra_body": {"max_tokens": 9}}, 9, id="in-extra-body"),
    ],
)
def test_how_long_an_answer_may_be(params: dict[str, Any], tokens: int | None) -> None:
    """100.0 is 100 to every backend, so it counts."""
    assert chat(**params).output_tokens_max == tokens


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
@pytest.mark.parametrize("value", [-1, -5.0, 100.5, "100", True, [1]])
def test_a_count_that_a_backend_may_read_otherwise_is_refused(name: str, value: Any) -> None:
    """Some read -1 as no limit, some "100" as a number; a ceiling judged otherwise would be passed by."""
    with pytest.raises(InvalidRequest, match=rf"{name}: "):
        chat(**{name: value})


@pytest.mark.parametrize(
    ("n", "answers"),
    [(None, 1), (1, 1), (3, 3), (3.0, 3), (0, 1), (N_MAX + 1, N_MAX)],
)
def test_how_many_answers_are_wanted(n: Any, answers: int) -> None:
    """What makes no sense is the backend's to refuse."""
    assert chat(n=n).answers == answers


@pytest.mark.parametrize("dimensions", [0, -1, 1.0, True, "8", [8]])
def test_dimensions_are_a_whole_number(dimensions: Any) -> None:
    """Answers are checked against them, so they must be one."""
    with pytest.raises(InvalidRequest, match="dimensions"):
        read_embeddings({"input": "x", "dimensions": dimensions}, Hints())


@pytest.mark.parametrize("dimensions", [None, 1, 8])
def test_good_dimensions_pass(dimensions: Any) -> None:
    """The witness for the test above."""
    call = read_embeddings({"input": "x", "dimensions": dimensions}, Hints())
    assert call.body["dimensions"] == dimensions


class Tenant(enum.StrEnum):
    ACME = "acme"


def test_a_hint_may_be_an_enumerations_text() -> None:
    """It is a text like any other."""
    assert split(messages=MESSAGES, tenant=Tenant.ACME)[1].tenant == "acme"
