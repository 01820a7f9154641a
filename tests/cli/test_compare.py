"""`hybridllm compare`: a row per model, answers that differ, a page, and shadow traffic of a ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import Result

from hybridllm.testing import SimulatedBackend

POLICY = """\
version: 1
backends:
  near: {{kind: api, base_url: "{url}", region: eu}}
models:
  big: {{price: {{input_per_1m: 1000, output_per_1m: 2000}}, on: {{near: big}}}}
  small: {{price: {{input_per_1m: 10, output_per_1m: 20}}, on: {{near: small}}}}
residency: {{eu: {{regions: [eu]}}}}
default_residency: eu
routes:
  - {{name: default, use: [big]}}
"""


@pytest.fixture
async def backend() -> AsyncIterator[SimulatedBackend]:
    async with SimulatedBackend(answer="<b>The</b> answer", models=["big", "small"]) as backend:
        yield backend


@pytest.fixture
def compare(hybridllm, tmp_path: Path, backend: SimulatedBackend):
    """Run `compare` in another thread, for the backend lives in this one's loop."""
    (tmp_path / "policy.yaml").write_text(POLICY.format(url=backend.base_url))
    (tmp_path / "in.jsonl").write_text('{"prompt": "one", "id": "a"}\n{"prompt": "two"}\n')

    async def run(*args: object) -> Result:
        given = (tmp_path / "in.jsonl", "--policy", tmp_path / "policy.yaml", *args)
        return await asyncio.to_thread(hybridllm, "compare", *given)

    return run


async def test_a_row_for_each_model_and_answers_below(compare) -> None:
    """Nothing is drawn over itself where there is no terminal."""
    result = await compare("--models", "big,small")
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert "2/2" in rows["big"]
    assert "100 %" in rows["small"]
    assert "a: one" in result.stdout


async def test_json_holds_everything(compare) -> None:
    """Money as text."""
    told = json.loads((await compare("--models", "big,small", "--json")).stdout)
    big, small = told["models"]
    assert float(big["cost_usd"]) == pytest.approx(100 * float(small["cost_usd"]))
    assert [one["key"] for one in told["answers"]] == ["a", "2"]


async def test_the_page_escapes_what_models_say(compare, tmp_path: Path) -> None:
    """It loads nothing and runs nothing."""
    page = tmp_path / "page.html"
    assert (await compare("--models", "big,small", "--html", page)).exit_code == 0
    text = page.read_text()
    assert "&lt;b&gt;The&lt;/b&gt; answer" in text
    assert "<b>The" not in text
    assert "default-src 'none'" in text


async def test_a_judge_and_a_schema_score(compare, tmp_path: Path, monkeypatch) -> None:
    """A dotted name is imported as Python would."""
    (tmp_path / "my_judge.py").write_text("def good(request, answer, expected):\n    return 0.25\n")
    (tmp_path / "schema.json").write_text('{"type": "string"}')
    monkeypatch.syspath_prepend(tmp_path)
    judged = await compare("--models", "big,small", "--judge", "my_judge.good", "--json")
    assert json.loads(judged.stdout)["models"][0]["score"] == 0.25
    fitting = await compare("--models", "big,small", "--schema", tmp_path / "schema.json", "--json")
    assert json.loads(fitting.stdout)["models"][0]["score"] == 0.0


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        pytest.param(("--models", "big"), 2, "two or more", id="one-model"),
        pytest.param(("--models", "big,bog"), 2, "known: big, small", id="unknown"),
        pytest.param(
            ("--models", "big,small", "--judge", "nowhere"),
            2,
            "package.module.function",
            id="judge",
        ),
        pytest.param(("--models", "big,small", "--judge", "no_such.f"), 2, "no_such", id="import"),
        pytest.param(("--ledger", "x.db"), 2, "give one of them", id="both"),
    ],
)
async def test_what_is_wrong_is_said(compare, args: tuple[str, ...], code: int, words: str) -> None:
    """With what would be right."""
    result = await compare(*args)
    assert words in result.output
    assert result.exit_code == code


def test_a_ledger_that_is_not_there_is_said(hybridllm, tmp_path: Path) -> None:
    """With how one comes about."""
    result = hybridllm("compare", "--ledger", tmp_path / "none.db")
    assert result.exit_code == 1
    assert "there is no ledger" in result.output
