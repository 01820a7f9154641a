"""Whether a broken answer can be gone on with, by whom, and with which request."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.decide.plan import Kept
from hybridllm._core.policy.compiled import Backend, BackendKind, Candidate, Model
from hybridllm._core.request.facts import Hints
from hybridllm._core.request.read import Call, read_chat
from hybridllm._core.resilience.next_step import GiveUp, Queue, next_step
from hybridllm._core.resilience.outcome import BreakerEffect, Failure, FailureKind, Next
from hybridllm._core.resilience.seams import (
    Said,
    continued,
    fresh_text,
    not_continuable_because,
    others_than_continuers,
)
from hybridllm._core.resilience.standing import Standing

MESSAGES = [{"role": "user", "content": "hello"}]
SPACE = st.text(" \n\t", max_size=6)


def asked(**params: Any) -> Call:
    return read_chat({"messages": MESSAGES, "stream": True} | params, Hints())


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Said("one", 1), None),
        (Said("one ", 1), None),
        (Said("one", 1, ended=True), "it had ended"),
        (Said("one", 2, plain=False), "it is not only text"),
        (Said("", 0), "there is no text yet"),
        (Said(" \n", 1), "there is no text yet"),
    ],
)
def test_what_was_said_decides(said: Said, reason: str | None) -> None:
    """Plain text of one choice that has not ended."""
    assert not_continuable_because(asked(), said) == reason


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"n": 2}, "more than one answer was asked for"),
        ({"max_tokens": 3}, "it had all the tokens that were asked for"),
        ({"max_tokens": 4}, None),
        ({"max_completion_tokens": 2}, "it had all the tokens that were asked for"),
        ({"tools": [{}]}, "tools was asked for"),
        ({"tools": []}, None),
        ({"response_format": {"type": "json_object"}}, "response_format was asked for"),
        ({"response_format": {"type": "text"}}, None),
        ({"logprobs": True}, "logprobs was asked for"),
        ({"logprobs": False, "audio": None}, None),
        ({"extra_body": {"structured_outputs": {"regex": "a*"}}}, "structured_outputs was asked for"),
        ({"extra_body": {"top_k": 1, "seed": 7, "stop_token_ids": [1]}}, None),
        ({"extra_body": {"max_tokens": "many"}}, None),
    ],
)  # fmt: skip
def test_what_was_asked_decides(params: dict[str, Any], reason: str | None) -> None:
    """A field that is not known to leave the text alone is in the way."""
    assert not_continuable_because(asked(**params), Said("one two three", 3)) == reason


def test_the_request_for_the_rest_is_the_request_and_the_text() -> None:
    """Limits in tokens are what is left of them; the caller's own call stays as it was."""
    call = asked(max_tokens=10, temperature=0.5, extra_body={"min_tokens": 2, "top_k": 5})
    before = dict(call.body)
    rest = continued(call, Said("one two \n", 3))
    assert rest.body == {
        "messages": [*MESSAGES, {"role": "assistant", "content": "one two"}],
        "max_tokens": 7,
        "temperature": 0.5,
        "min_tokens": 0,
        "top_k": 5,
        "continue_final_message": True,
        "add_generation_prompt": False,
    }
    assert (rest.stream, rest.output_tokens_max) == (True, 7)
    assert rest.input_tokens_estimate > call.input_tokens_estimate
    assert call.body == before


@given(before=SPACE, again=SPACE, cuts=st.lists(st.integers(0, 10), max_size=4))
def test_white_space_is_left_out_alike_however_it_is_cut(
    before: str, again: str, cuts: list[int]
) -> None:
    """What the two have in common comes once; the new text comes whole."""
    text = again + "new text \n"
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    space, fresh = before, ""
    for begin, end in pairwise(places):
        space, piece = fresh_text(space, text[begin:end])
        fresh += piece
    assert fresh.endswith("new text \n")
    common = len(text) - len(fresh)
    assert text[:common] == before[:common]
    assert common == len(before) or before[common] != text[common]


@given(st.text(" \nab", max_size=12))
def test_prefix_and_space_are_the_text(text: str) -> None:
    """Nothing of it is lost, and the prefix ends in no white space."""
    said = Said(text)
    assert said.prefix + said.space == text
    assert said.prefix == text.rstrip()


def test_only_who_takes_a_prefill_of_the_same_model_goes_on() -> None:
    """The others are told by their places."""
    places = [("m", True), ("m", False), ("other", True), ("m", True)]
    kept = [
        Kept(
            Candidate(
                Backend(f"b{n}", BackendKind.VLLM, "https://b.test/v1", prefill=takes),
                Model(model),
                "wire",
                None,
            ),
            fallback=False,
            reason="",
        )
        for n, (model, takes) in enumerate(places)
    ]
    assert others_than_continuers(kept, "m") == {1, 2}
    assert others_than_continuers(kept, "nobody") == {0, 1, 2, 3}


def test_what_several_attempts_said_adds_up() -> None:
    """Its end is the last one's; it is plain if all of it is."""
    both = Said("a ", 2).then(Said("b", 1, plain=False, ended=True))
    assert both == Said("a b", 3, plain=False, ended=True)


@given(
    failures=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([Next.ELSEWHERE, Next.RETRY])), min_size=1
    ),
    gated=st.frozensets(st.integers(0, 3)),
    cooling=st.frozensets(st.integers(0, 3)),
    full=st.frozensets(st.integers(0, 3)),
    slow=st.frozensets(st.integers(0, 3)),
    barred=st.frozensets(st.integers(0, 3)),
)
def test_who_cannot_go_on_is_never_asked(
    failures: list[tuple[int, Next]],
    gated: frozenset[int],
    cooling: frozenset[int],
    full: frozenset[int],
    slow: frozenset[int],
    barred: frozenset[int],
) -> None:
    """Not elsewhere, not again, not in panic."""
    model = Model("m")
    kept = [
        Kept(Candidate(Backend(f"b{n}", BackendKind.VLLM, "https://b.test/v1"), model, "m", None),
             fallback=False, reason="")
        for n in range(4)
    ]  # fmt: skip
    found = next_step(
        kept=kept,
        failures=[
            (place, Failure(FailureKind.RESET, then, BreakerEffect.FAILURE, "reset"))
            for place, then in failures
        ],
        standing=Standing(
            dict.fromkeys(gated, "breaker open"), dict.fromkeys(gated & cooling, 9.0), full, slow
        ),
        barred=barred,
        retries_max=10,
        attempts_max=100,
        remaining_s=60.0,
        jitter=0.5,
    )
    if isinstance(found, Queue):
        assert not barred.intersection(found.places)
    else:
        assert isinstance(found, GiveUp) or found.index not in barred
    if len(barred) == 4:
        assert isinstance(found, GiveUp)
