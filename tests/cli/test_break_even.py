"""`hybridllm break-even`: the verdict first, every sum below it, and what is wrong with an option."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.conftest import run_process
from hybridllm import Router
from hybridllm.cli.app import app_with
from hybridllm.testing import Reply, ScriptedWire

POLICY = """
version: 1
backends:
  cloud: {kind: api, base_url: "https://cloud.test/v1"}
  own: {kind: vllm, base_url: "https://own.test/v1", operator: self, price: free,
        capacity: {usd_per_month: 1500, hidden_usd_per_month: 300, tokens_per_day: 50M}}
models: {m: {price: {input_per_1m: 1, output_per_1m: 4}, on: {cloud: m, own: m}}}
routes: [{name: default, use: [{model: m, on: [cloud]}]}]
"""
APP = app_with(["break-even"])
OWN = ("--model", "gpt-4o", "--input-share", "0.7", "--tokens-per-day", "250M", "--gpu", "8xA100-80GB",
       "--gpu-tokens-per-day", "200M", "--utilisation", "0.4..0.6")  # fmt: skip


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(APP, ["break-even", *arguments])


@pytest.mark.parametrize(
    ("scenario", "told"),
    [
        ("early", ("$7.50", "the source prints 12.50 USD a month")),
        ("growth", ("$375.00",)),
        ("enterprise", ("$3,750.00", "$4,200.00")),
        ("gpt-4o", ("$1,425.00", "$47.50 a day")),
    ],
)
def test_a_scenario_of_the_sources_is_told_right(scenario: str, told: tuple[str, ...]) -> None:
    """The right sum in the first line; a printed one that is wrong is named as such."""
    done = typed("--scenario", scenario)
    assert done.exit_code == 0, done.output
    assert told[0] in done.output.splitlines()[0]
    for words in told:
        assert words in done.output


def test_the_facts_show_every_wrong_sum_beside_the_right_one() -> None:
    """Six of them."""
    done = typed("--facts")
    lines = [line for line in done.output.splitlines() if line.strip()]
    for wrong, right in (
        ("$12.50", "$7.50"),
        ("$3,000.00 to $10,000.00", "$27.00 to $110.00"),
        ("$3,000.00 to $10,000.00", "$15.00 to $60.00"),
        ("$500.00 to $1,500.00", "$0 to $237.50"),
        ("50M to 80M tokens a month", "2,737M to 3,158M tokens a month"),
        ("$900.00 to $4,900.00", "$700.00 to $3,900.00"),
    ):
        assert [line for line in lines if wrong in line and right in line], wrong
    assert len(json.loads(typed("--facts", "--json").stdout)["wrong_sums"]) == 6


def test_the_scenarios_are_listed_with_their_right_sums() -> None:
    """And the wrong one marked."""
    told = typed("--list-scenarios").output
    assert "$12.50 (wrong)" in told
    assert told.count("(wrong)") == 1
    listed = json.loads(typed("--list-scenarios", "--json").stdout)["scenarios"]
    assert [one["api_usd"] for one in listed] == ["7.50", "375.00", "3750.00", "1425.000"]


def test_an_answer_begins_with_the_verdict_and_shows_its_sums() -> None:
    """Bills, crossing, tornado, months and branch, in that order."""
    told = typed(*OWN, "--growth", "5%/month").output
    assert told.startswith("Self-host. The API costs $36,144.53")
    places = [
        told.index(words)
        for words in (
            "At the API",
            "On own machines: 8x A100 80GB, cloud",
            "Where they cross",
            "What moves the crossing",
            "24 months",
            "What follows",
        )
    ]
    assert places == sorted(places)
    assert "█" in told


def test_json_is_one_object() -> None:
    """With every figure as text."""
    told = json.loads(typed(*OWN, "--json").stdout)
    assert told["ok"] is True
    assert told["decision"]["choice"] == "own"
    assert told["scenario"]["machines"]["utilisation"] == {
        "low": "0.4",
        "likely": "0.5",
        "high": "0.6",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--model", "gpt-4o", "--tokens-per-day", "many"),
            "--tokens-per-day: 'many' is not a count",
        ),
        (("--tokens-per-day", "5M"), "takes exactly one of model and models"),
        (("--model", "gpt-4", "--tokens-per-day", "5M"), "did you mean 'gpt-4o'?"),
        (("--scenario", "grow"), "they have early, growth"),
        (
            ("--model", "a=x", "--model", "b=0.5", "--tokens-per-day", "5M"),
            "--model: 'x' is not a share",
        ),
        (
            ("--model", "gpt-4o", "--tokens-per-day", "5M", "--price", "1"),
            "--price: 1 is not a price; write IN/OUT",
        ),
        (("--policy", "api-first"), "--policy goes with --ledger"),
        (("--scenario", "early", "--ledger", "x.db"), "take one of them"),
        (("--ledger", "x.db", "--since", "month"), "'month' is no time; one is written 30d, 12h"),
        (("--scenario", "early", "--plot", "a.txt"), "ends in none of .png"),
        (("--scenario", "early", "--gpu", "9x Z"), "--gpu: of '9x Z' the sources know no price"),
    ],
)
def test_a_wrong_option_is_told_by_its_name(arguments: tuple[str, ...], words: str) -> None:
    """With the value, what is allowed, and code 2."""
    done = typed(*arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())


def test_what_is_wrong_with_a_file_is_told_at_its_place(tmp_path: Path) -> None:
    """As `check` tells it of a policy."""
    file = tmp_path / "s.yaml"
    file.write_text("model: gpt-4o\ntokens_per_day: 5M\ncached: 2\n", encoding="utf-8")
    done = typed(str(file))
    assert done.exit_code == 1
    assert f"{file}:3:9: cached: 2 is out of range" in done.output
    told = json.loads(typed(str(file), "--json").stdout)
    assert told["error"]["problems"][0]["line"] == 3


def test_real_traffic_comes_from_a_ledger(tmp_path: Path) -> None:
    """A router writes it; its policy has the prices and the machines."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    ledger = tmp_path / "ledger.db"

    async def work() -> None:
        wire = ScriptedWire({"cloud.test": Reply.chat("hi", usage=(700_000, 300_000))})
        async with Router.from_file(policy, environ={}, wire=wire, ledger=ledger) as router:
            for _ in range(3):
                await router.chat.completions.create(messages=[{"role": "user", "content": "?"}])

    asyncio.run(work())
    done = typed("--ledger", str(ledger), "--policy", str(policy), "--since", "7d", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["api_usd_per_mtok"] == "1.9"
    assert told["scenario"]["machines"]["usd_per_month"]["likely"] == "1800"
    assert "days of traffic are in the ledger" in told["scenario"]["notes"][0]


def test_several_models_share_the_options_of_their_mix() -> None:
    """Each `--model` has its share; `--input-share` holds for each."""
    shares = ("--model", "gpt-4o=0.25", "--model", "qwen3-8b=0.75", "--tokens-per-day", "5M")
    told = json.loads(typed(*shares, "--input-share", "0.5", "--json").stdout)
    assert [part["share"] for part in told["scenario"]["traffic"]] == ["0.25", "0.75"]
    assert {part["input_share"]["likely"] for part in told["scenario"]["traffic"]} == {"0.5"}


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_picture_is_drawn(suffix: str, tmp_path: Path) -> None:
    """Cost over volume and the months ahead."""
    file = tmp_path / f"picture{suffix}"
    done = typed(*OWN, "--growth", "5%", "--plot", str(file))
    assert done.exit_code == 0, done.output
    assert file.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")
    assert str(file) in done.output


def test_neither_network_nor_key_is_needed() -> None:
    """Nor an HTTP client, nor a database."""
    code = (
        "import sys\n"
        "def guard(event, args):\n    assert not event.startswith('socket.'), event\n"
        "sys.addaudithook(guard)\n"
        "from hybridllm.__main__ import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    heavy = {'openai', 'aiohttp', 'sqlalchemy', 'matplotlib'}\n"
        "    print(heavy & set(sys.modules), file=sys.stderr)\n"
    )
    done = run_process("break-even", "--scenario", "growth", code=code)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().endswith("set()")
