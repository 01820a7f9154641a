"""The same prompts to several models: cost, latency, agreement, and answers side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from compare.models import POLICY, answer
from hybridllm import Comparison, InvalidRequest, Router, compare
from hybridllm.testing import LoopClock, ScriptedWire, run_in_virtual_time

EASY, HARD = {"prompt": "easy one"}, {"prompt": "a hard one"}


def asked(prompts: Any, models: tuple[str, ...] = ("big", "small"), **options: Any) -> Comparison:
    wire = ScriptedWire({"us.test": answer, "own.test": answer})

    async def main() -> Comparison:
        async with Router.from_text(POLICY, wire=wire, clock=LoopClock()) as router:
            return await compare(router, prompts, models=models, **options)

    return run_in_virtual_time(main)


def test_each_model_is_asked_every_prompt() -> None:
    """Cost, latency and agreement with the first model are those of its own attempts."""
    found = asked([EASY, HARD, EASY, EASY])
    big, small = found.models
    assert (big.answered, small.answered, big.asked) == (4, 4, 4)
    assert big.cost_usd == 4 * (10 * Decimal(10) + 5 * Decimal(40)) / 1_000_000
    assert small.cost_usd == big.cost_usd / 10
    assert small.usd_per_answer == small.cost_usd / 4
    assert (big.agreement, small.agreement) == (1.0, 0.75)
    assert big.latency_s is not None
    assert small.latency_s is not None
    assert big.latency_s[0] == pytest.approx(0.2)
    assert small.latency_s[1] == pytest.approx(0.05)


def test_answers_stand_side_by_side_under_their_key() -> None:
    """Also in JSON; a prompt without an id is known by its place."""
    found = asked([{**EASY, "id": "a"}, HARD])
    assert [[one.text for one in row] for row in found.rows] == [
        ["EASY ONE", "EASY ONE"],
        ["A HARD ONE", "I don't know"],
    ]
    told = json.loads(json.dumps(found.to_dict()))
    assert [row["key"] for row in told["answers"]] == ["a", "2"]
    assert told["answers"][1]["by_model"][1]["text"] == "I don't know"
    assert found.prompts == {"a": "easy one", "2": "a hard one"}


def test_a_model_that_fails_is_part_of_the_result() -> None:
    """It has no agreement, no latency, and its failures say why."""
    found = asked([EASY, HARD], models=("big", "silly"))
    silly = found.models[1]
    assert (silly.answered, silly.agreement, silly.latency_s, silly.usd_per_answer) == (
        0,
        None,
        None,
        None,
    )
    assert "RequestRejected" in str(found.rows[0][1].error)


def test_an_expected_answer_is_held_against_each() -> None:
    """Only prompts that have one count."""
    prompts = [{**EASY, "expected": "easy one!"}, {**HARD, "expected": "A HARD ONE"}, EASY]
    big, small = asked(prompts).models
    assert (big.expected, small.expected) == (1.0, 0.5)


def test_a_judge_scores_every_answer() -> None:
    """It sees request, answer and expectation, and may be a coroutine function."""
    seen: list[tuple[str, str | None]] = []

    async def judge(request: Mapping[str, Any], text: str, expected: str | None) -> float:
        seen.append((request["messages"][0]["content"], expected))
        return 0.5 if "know" in text else 1.0

    big, small = asked([{**EASY, "expected": "x"}, HARD], judge=judge).models
    assert (big.score, small.score) == (1.0, 0.75)
    assert seen[0] == ("easy one", "x")


def test_a_schema_is_a_judge() -> None:
    """An answer is good if it is JSON that fits."""
    schema = {"type": "object", "required": ["A"]}
    big, _ = asked([{"prompt": '{"a": 1}'}, {"prompt": "[]"}, EASY], schema=schema).models
    assert big.score == pytest.approx(1 / 3)


def test_the_hard_filters_hold_for_every_model() -> None:
    """What may not leave is asked of nobody outside, and the comparison says so."""
    found = asked([EASY], hints={"residency": "phi"})
    big, small = found.models
    assert (big.answered, small.answered) == (1, 0)
    assert "PolicyDenied" in str(found.rows[0][1].error)
    assert found.rows[0][0].to_dict()["backend"] == "own"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"models": ("big",)}, "two or more", id="one"),
        pytest.param({"models": ("big", "big")}, "each once", id="twice"),
        pytest.param({"models": ("big", "bigg")}, "known: big, small, silly", id="unknown"),
        pytest.param({"judge": print, "schema": {}}, "give one of them", id="both"),
        pytest.param({"schema": {"type": 7}}, "no JSON schema", id="no-schema"),
        pytest.param({"judge": lambda *_: 7}, "from 0 to 1", id="score"),
        pytest.param({"prompts": []}, "there are none", id="no-prompts"),
        pytest.param({"prompts": [{"promt": "x"}]}, "number 1 has neither", id="no-prompt"),
    ],
)
def test_what_cannot_be_compared_is_refused(options: dict[str, Any], words: str) -> None:
    """With what is wrong and what would be right; nothing was sent where that could be seen before."""
    prompts = options.pop("prompts", [EASY])
    with pytest.raises(InvalidRequest, match=words):
        asked(prompts, **options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param('{"prompt": "x"}\n{bad', "in.jsonl:2: the line is no JSON", id="json"),
        pytest.param("[1]", ":1: the line is no JSON object", id="list"),
        pytest.param(
            '{"id": 1, "prompt": "x"}\n\n{"id": 1, "prompt": "y"}', ":3: the key '1'", id="key"
        ),
        pytest.param("\n", "holds no prompts", id="empty"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    """Before anything is sent."""
    path = tmp_path / "in.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match=words):
        asked(path)


def test_a_line_ends_with_a_newline_and_nothing_else(tmp_path: Path) -> None:
    """JSON may hold the signs that other programs end a line with."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"prompt": "one\u2028two\x85three"}\r\n', encoding="utf-8")
    assert [one.text for one in asked(path).rows[0]] == ["ONE\u2028TWO\x85THREE"] * 2


def test_lines_of_openai_batch_files_are_prompts(tmp_path: Path) -> None:
    """The model that a line names is passed by: each is asked."""
    path = tmp_path / "in.jsonl"
    body = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    path.write_text(json.dumps({"custom_id": "b-1", "url": "/v1/chat/completions", "body": body}))
    found = asked(path)
    assert [one.text for one in found.rows[0]] == ["HI", "HI"]
    assert found.rows[0][0].key == "b-1"


def test_progress_counts_prompts_and_money() -> None:
    """Over all models together."""
    told: list[Any] = []
    asked([EASY, HARD], on_progress=told.append)
    assert [(one.model, one.done, one.total) for one in told] == [
        ("big", 1, 4), ("big", 2, 4), ("small", 3, 4), ("small", 4, 4),
    ]  # fmt: skip
    assert told[-1].cost_usd == Decimal("0.00066")
