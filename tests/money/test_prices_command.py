"""`hybridllm prices`: from catalogues, beside catalogues, and out to tracing backends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from hybridllm import load_price_sheet
from hybridllm.cli.app import app_with
from money.price_policies import plain, text_of, utc

LITELLM = Path(__file__).with_name("litellm_prices.json")
Command = Callable[..., Result]


@pytest.fixture
def prices() -> Command:
    """Run `hybridllm prices` with these arguments."""
    app, runner = app_with(["prices"]), CliRunner()

    def run(*arguments: object) -> Result:
        return runner.invoke(app, ["prices", *map(str, arguments)])

    return run


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    """A policy whose hosted models are in the catalogue."""
    path = tmp_path / "team.yaml"
    listed = "{input_per_1m: 0.15, output_per_1m: 0.60, cached_input_per_1m: 0.075}"
    path.write_text(text_of(listed=listed, wire="small"))
    return path


def imported(prices: Command, *names: str, **options: str) -> list[dict[str, Any]]:
    """Return the entries that are printed for review."""
    more = [word for key, value in options.items() for word in (f"--{key}", value)]
    result = prices(
        "import", "--from", "litellm", "--file", LITELLM, "--model", ",".join(names), *more
    )
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = yaml.load(result.stdout, Loader=yaml.BaseLoader)["prices"]
    return [{key: value for key, value in one.items() if key != "checked"} for one in found]


def test_a_sheet_is_printed_that_loads(prices: Command, tmp_path: Path) -> None:
    """Rates per token become rates per million, exactly; what cannot be said is told beside it."""
    result = prices(
        "import", "--from", "litellm", "--file", LITELLM, "--model", "long", "--since", "2026-11-28"
    )
    assert result.exit_code == 0
    path = tmp_path / "sheet.yaml"
    path.write_text(result.stdout)
    (entry,) = load_price_sheet(path).entries
    assert entry.entry.since == utc("2026-11-28T00:00")
    short, long = (entry.entry.usual.standard[place].price for place in (1, 0))
    assert (plain(short), plain(long)) == ("1.25 10", "2.5 15")
    assert (str(short.usd_per_mtok_cache_write), str(long.usd_per_mtok_cache_write)) == (
        "1.5625",
        "3.125",
    )
    assert "# not taken over: cache_creation_input_token_cost_above_1hr" in result.stdout
    assert "# not taken over: input_cost_per_audio_token" in result.stdout


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        (
            "small",
            {"model": "small", "input_per_1m": "0.15", "output_per_1m": "0.6",
             "cached_input_per_1m": "0.075", "source": "LiteLLM litellm_prices.json small"},
        ),
        (
            "azure/small",
            {"model": "small", "input_per_1m": "0.16", "output_per_1m": "0.6",
             "source": "LiteLLM litellm_prices.json azure/small"},
        ),
        (
            "maker/tiny",
            {"model": "maker/tiny", "input_per_1m": "0.0011", "output_per_1m": "0.003",
             "per_request": "0.002", "source": "LiteLLM litellm_prices.json openrouter/maker/tiny"},
        ),
        (
            "tiered",
            {"model": "tiered", "input_per_1m": "1", "output_per_1m": "4",
             "context_tiers": [{"above": "272000", "input_per_1m": "2"}],
             "service_tiers": {
                 "flex": {"input_per_1m": "0.5", "output_per_1m": "2",
                          "context_tiers": [{"above": "272000", "input_per_1m": "0.5"}]},
                 "priority": {"input_per_1m": "2",
                              "context_tiers": [{"above": "272000", "input_per_1m": "4"}]}},
             "source": "LiteLLM litellm_prices.json tiered"},
        ),
    ],
)  # fmt: skip
def test_each_kind_of_row_is_read(prices: Command, name: str, entry: dict[str, Any]) -> None:
    """By its whole key first, else by what follows the provider."""
    assert imported(prices, name) == [entry]


def test_a_pattern_takes_several(prices: Command) -> None:
    """In the order of the file."""
    found = imported(prices, "*", provider="openai,vertex")
    assert [one["model"] for one in found] == ["small", "long", "tiered"]


@pytest.mark.parametrize(
    "name", ["odd", "negative", "dear", "image", "broken", "sample_spec", "nobody"]
)
def test_a_row_without_a_price_is_not_guessed(prices: Command, name: str) -> None:
    """It is not in the catalogue, and the command says so with its exit code."""
    result = prices("import", "--from", "litellm", "--file", LITELLM, "--model", name)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{name}: not in litellm" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--from", "litellm"), 2, "LiteLLM's prices are read from its file; name it"),
        (("--from", "litellm", "--file", "none.json"), 2, "none.json cannot be read: No such file"),
        (("--from", "litellm", "--file", __file__), 2, "is no file of prices"),
        (("--file", str(LITELLM)), 2, "genai-prices is an installed package"),
        (("--from", "litellm", "--file", str(LITELLM), "--since", "soon"), 2, "'soon' is no date"),
    ],
)
def test_a_catalogue_that_is_none_is_told(
    prices: Command, arguments: tuple[str, ...], code: int, told: str
) -> None:
    """In a line, as every error of a command."""
    result = prices("import", "--model", "small", *arguments)
    assert result.exit_code == code
    assert told in " ".join(result.stderr.replace("│", " ").split())


def test_a_model_that_several_sell_wants_a_provider(prices: Command) -> None:
    """Unless they sell it at one price."""
    file = ("--from", "litellm", "--file", LITELLM)
    for asked in ((*file, "--model", "smal?"), ("--model", "claude-opus-4-6")):
        result = prices("import", *asked, "--json")
        assert result.exit_code == 2
        assert "say which one with --provider" in json.loads(result.stdout)["error"]["message"]


def test_the_packages_catalogue_is_taken_with_dates_hours_tiers_and_steps(
    prices: Command, tmp_path: Path
) -> None:
    """As its own resolution has them; no network."""
    text = ""
    for provider, model in (
        ("deepseek", "deepseek-chat"),
        ("anthropic", "claude-opus-4-6"),
        ("openai", "gpt-5"),
    ):
        result = prices("import", "--provider", provider, "--model", model)
        assert result.exit_code == 0, result.output
        text += result.stdout.split("prices:\n")[1]
    path = tmp_path / "sheet.yaml"
    path.write_text(f"version: 1\nprices:\n{text}")
    entries = load_price_sheet(path).entries
    by_model = {one.model: one.entry for one in entries}
    assert len(by_model["deepseek-chat"].windows) == 2
    assert len(entries[1].entry.usual.standard) == 2  # its first price had a step above 200,000
    assert by_model["claude-opus-4-6"].since is not None
    assert {"flex", "priority"} <= by_model["gpt-5"].usual.tiers.keys()


def test_equal_prices_are_no_drift(prices: Command, policy_file: Path) -> None:
    """Exit 0; own machines are not asked about."""
    result = prices(
        "diff", policy_file, "--with", "litellm", "--file", LITELLM, "--provider", "openai"
    )
    assert result.exit_code == 0, result.output
    assert "the same: cloud/m, other/m" in result.stdout


def test_a_drift_ends_with_5(prices: Command, policy_file: Path) -> None:
    """Each rate that differs, ours, theirs, and by how much; for CI."""
    policy_file.write_text(
        policy_file.read_text().replace("output_per_1m: 0.60", "output_per_1m: 0.66")
    )
    file = ("--with", "litellm", "--file", LITELLM, "--provider", "openai")
    result = prices("diff", policy_file, *file)
    assert result.exit_code == 5
    assert "+10.0%" in result.stdout
    told = json.loads(prices("diff", policy_file, *file, "--json").stdout)
    assert told["same"] is False
    assert told["drifts"][0] == {
        "candidate": "cloud/m", "rate": "output", "price_id": "policy:m", "ours": "0.66",
        "theirs": "0.6", "share": pytest.approx(0.1),
    }  # fmt: skip


def test_a_step_that_we_do_not_have_is_a_drift(prices: Command, tmp_path: Path) -> None:
    """Compared above each bound that either has."""
    path = tmp_path / "team.yaml"
    listed = "{input_per_1m: 1.25, output_per_1m: 10, cache_write_per_1m: 1.5625}"
    path.write_text(text_of(listed=listed, wire="long"))
    result = prices("diff", path, "--with", "litellm", "--file", LITELLM, "--json")
    assert [one["rate"] for one in json.loads(result.stdout)["drifts"][:3]] == [
        "input above 200000", "output above 200000", "cache write above 200000",
    ]  # fmt: skip


def test_what_the_catalogue_does_not_know_is_named(prices: Command, tmp_path: Path) -> None:
    """It is no drift."""
    path = tmp_path / "team.yaml"
    path.write_text(text_of(listed="{input_per_1m: 1, output_per_1m: 2}", wire="ours"))
    result = prices("diff", path, "--with", "litellm", "--file", LITELLM, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["unknown"] == ["cloud/m", "other/m"]


RICH = """{input_per_1m: 1, output_per_1m: 10, cached_input_per_1m: 0.1, per_request: 0.5,
  context_tiers: [{above: 200K, input_per_1m: 2}], service_tiers: {flex: {factor: 0.5}}}"""


def exported(prices: Command, tmp_path: Path, to: str, **places: str) -> dict[str, Any]:
    path = tmp_path / "team.yaml"
    path.write_text(text_of(**places))
    result = prices("export", path, "--to", to, "--json")
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def test_phoenix_gets_bodies_for_its_graphql(prices: Command, tmp_path: Path) -> None:
    """Each model once, by a pattern that fits its name alone; what it cannot know is told."""
    told = exported(prices, tmp_path, "phoenix", pair=RICH, own="free", wire="a.b(c)")
    first = told["payload"][0]["variables"]["input"]
    assert first == {
        "name": "a.b(c)",
        "namePattern": r"^a\.b\(c\)$",
        "costs": [
            {"tokenType": "input", "kind": "PROMPT", "costPerMillionTokens": 1.0},
            {"tokenType": "output", "kind": "COMPLETION", "costPerMillionTokens": 10.0},
            {"tokenType": "cache_read", "kind": "PROMPT", "costPerMillionTokens": 0.1},
        ],
    }
    assert told["left_out"] == [
        "openai/a.b(c): 0.5 USD per request",
        "openai/a.b(c): other prices for long prompts",
        "openai/a.b(c): service tiers flex",
        "other/m: no price is known",
        "a.b(c): another price of the same name (policy:free)",
    ]


def test_langfuse_gets_models_with_pricing_tiers(prices: Command, tmp_path: Path) -> None:
    """USD per token; one default tier, the longest prompts first."""
    told = exported(prices, tmp_path, "langfuse", pair=RICH)
    (model,) = told["payload"]
    assert (model["modelName"], model["unit"]) == ("wire-m", "TOKENS")
    long, standard = model["pricingTiers"]
    assert long["conditions"] == [
        {"usageDetailPattern": "^input", "operator": "gt", "value": 200_000}
    ]
    assert long["prices"]["input"] == 2e-06
    assert standard["isDefault"] is True
    assert standard["prices"]["cache_read_input_tokens"] == 1e-07


def test_mlflow_gets_a_folder_of_files(prices: Command, tmp_path: Path) -> None:
    """One per provider as spans name it."""
    path, folder = tmp_path / "team.yaml", tmp_path / "catalog"
    path.write_text(text_of(pair=RICH, own="free"))
    result = prices("export", path, "--to", "mlflow", "--out", folder)
    assert result.exit_code == 0, result.output
    hosted, own = (json.loads((folder / f"{name}.json").read_text()) for name in ("openai", "vllm"))
    assert hosted["models"]["wire-m"]["pricing"] == {
        "input_per_million_tokens": 1.0,
        "output_per_million_tokens": 10.0,
        "cache_read_per_million_tokens": 0.1,
        "service_tiers": {
            "flex": {
                "input_per_million_tokens": 0.5,
                "output_per_million_tokens": 5.0,
                "cache_read_per_million_tokens": 0.05,
            }
        },
        "long_context": [
            {
                "threshold_tokens": 200_000,
                "input_per_million_tokens": 2.0,
                "output_per_million_tokens": 10.0,
                "cache_read_per_million_tokens": 0.1,
            }
        ],
    }
    assert own["models"]["wire-m"]["pricing"]["input_per_million_tokens"] == 0.0


def test_the_price_in_force_on_a_day_is_exported(prices: Command, tmp_path: Path) -> None:
    """`--at` chooses it."""
    path = tmp_path / "team.yaml"
    pair = "[{input_per_1m: 1, output_per_1m: 2}, {from: 2030-01-01, input_per_1m: 3, output_per_1m: 4}]"
    path.write_text(text_of(pair=pair))
    found = [
        json.loads(prices("export", path, "--to", "phoenix", "--at", at, "--json").stdout)
        for at in ("2029-12-31", "2030-01-01")
    ]
    costs = [
        one["payload"][0]["variables"]["input"]["costs"][0]["costPerMillionTokens"] for one in found
    ]
    assert costs == [1.0, 3.0]
