"""Where API and own machines cross: the same by the command, by the API and by a spreadsheet."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from economics import sheet
from hybridllm import economics
from hybridllm._core.economics.sums import level_tokens, settled_tokens, steps_for
from hybridllm.cli.app import app_with

APP = app_with(["break-even"])
CLASSES = sheet.classes()
SHAPES = [("deepseek-v4-flash", "0"), ("gpt-4o", "0.7")]


def by_command(*arguments: str) -> Any:
    done = CliRunner().invoke(APP, ["break-even", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def near(found: Decimal | str | None, expected: Fraction | None) -> bool:
    """Alike to twelve digits: one side divides in decimals, the other keeps fractions."""
    if found is None or expected is None:
        return found is expected is None
    return abs(Fraction(found) - expected) <= expected / 10**12


@pytest.mark.parametrize(("model", "prompts"), SHAPES, ids=[model for model, _ in SHAPES])
@pytest.mark.parametrize("gpu", CLASSES, ids=lambda gpu: f"{gpu[0]}, {gpu[1]}")
def test_the_crossing_of_a_gpu_class_is_the_same_three_times(
    gpu: tuple[str, str, Fraction, Fraction | None], model: str, prompts: str
) -> None:
    """By the command, by the API, and cell by cell from the file; also where there is none."""
    expected = sheet.source_sheet(gpu, model=model, prompts=Fraction(prompts)).crossing()
    name, form, _, _ = gpu
    keys = {"model": model, "input_share": prompts, "gpu": name, "purchase": form}
    crossings = economics.break_even(economics.scenario(tokens_per_day="60M", **keys)).crossings
    assert crossings is not None
    assert near(crossings.likely.first, expected)
    options = [f"--{key.replace('_', '-')}={value}" for key, value in keys.items()]
    told = by_command("--tokens-per-day=60M", *options)
    assert near(told["crossings"]["likely"]["first"], expected)


def test_regions_and_spare_sets_are_counted_cell_by_cell() -> None:
    """Two regions, each n+1, of the one machine whose capacity the sources know."""
    gpu = next(one for one in CLASSES if one[:2] == ("2x A100 80GB", "cloud"))
    cells = sheet.source_sheet(gpu, model="gpt-4o", prompts=Fraction("0.7"), regions=2, spare=1)
    found = economics.scenario(
        model="gpt-4o",
        input_share="0.7",
        tokens_per_day="60M",
        gpu=gpu[0],
        regions=2,
        redundancy="n+1",
    )
    crossing = economics.crossing(economics.point(found))
    assert near(crossing.first, cells.crossing())
    for tokens in (1, 10**8, 10**8 + 1, 250_000_000, 2 * 10**9):
        own = economics.own_usd(economics.point(found), Decimal(tokens))
        assert Fraction(own) == cells.own(Fraction(tokens))
        assert near(economics.api_usd_at(found, Decimal(tokens)), cells.api(Fraction(tokens)))


def test_a_spelling_of_gpus_is_a_spelling() -> None:
    """`2xA100-80GB` and `2x A100 80GB` are one machine; `H100` is one of it."""
    for name in ("2xA100-80GB", "2x a100 80gb", "2X_A100_80GB"):
        found = economics.facts().gpu(name)
        assert found is not None
        assert found.name == "2x A100 80GB"
    assert economics.facts().gpu("H100") is economics.facts().gpu("1x h100")
    assert economics.facts().gpu("3x A100 80GB") is None


AMOUNT = st.decimals(min_value="0.01", max_value="100000", places=2)


@settings(max_examples=200, deadline=None)
@given(fixed=AMOUNT, step=AMOUNT, per_step=st.integers(1, 10**6), saved=AMOUNT)
def test_nothing_below_the_level_is_level_and_nothing_above_the_settled_is_dearer(
    fixed: Decimal, step: Decimal, per_step: int, saved: Decimal
) -> None:
    """Against the definition, tried at the level, just below it, and at the next steps' beginnings."""
    room = Decimal(per_step)
    sums = {
        "usd_fixed": fixed, "usd_per_step": step, "tokens_per_step": room, "usd_saved_per_token": saved,
    }  # fmt: skip

    def gain(tokens: Decimal) -> Decimal:
        return tokens * saved - fixed - steps_for(tokens, room) * step

    level, settled = level_tokens(**sums), settled_tokens(**sums)
    if level is None:
        assert all(gain(room * steps) < 0 for steps in (1, 2, 10, 10**6))
        return
    tiny = Decimal("1e-9") * max(1, level)
    assert gain(level - tiny * 2) < 0
    assert (
        gain(level + tiny) >= 0 or gain(level - tiny / 10**6) < tiny * saved
    )  # at a step's very end
    if settled is None:
        assert saved * room <= step
        return
    assert settled >= level or abs(settled - level) < tiny
    first = steps_for(settled, room)
    beginnings = [room * (first + further) + tiny for further in (0, 1, 2, 50)]
    assert all(gain(tokens) >= -tiny * (saved + step) for tokens in (settled, *beginnings))


BASE = {"model": "gpt-4o", "tokens_per_day": "200M", "input_share": "0.7", "gpu": "8x A100 80GB",
        "gpu_tokens_per_day": "200M", "utilisation": "0.5", "cached": "0.5",
        "price": "2.5/10/1.25", "engineer_share": "0.2"}  # fmt: skip
TOWARDS_OWN = [
    pytest.param({"price": "5/10/1.25"}, id="dearer-prompts"),
    pytest.param({"price": "2.5/20/1.25"}, id="dearer-answers"),
    pytest.param({"cached": "0.2"}, id="less-cached"),
    pytest.param({"input_share": "0.5"}, id="more-answers"),
    pytest.param({"utilisation": "0.9"}, id="more-use"),
    pytest.param({"gpu_tokens_per_day": "400M"}, id="faster"),
    pytest.param({"gpu_usd_per_month": "3000"}, id="cheaper-machines"),
    pytest.param({"hidden": "none"}, id="nothing-hidden"),
    pytest.param({"engineer_share": "0.1"}, id="less-work"),
    pytest.param({"engineer_usd_per_year": "100000"}, id="cheaper-work"),
]
AWAY = [
    pytest.param({"redundancy": "n+1"}, id="spare"),
    pytest.param({"regions": 3}, id="regions"),
    pytest.param({"engineers": 2}, id="people"),
    pytest.param({"utilisation": "0.45"}, id="peaks"),
]


def level(**changed: Any) -> Decimal:
    found = economics.crossing(economics.point(economics.scenario(**(BASE | changed)))).first
    assert found is not None
    return found


@pytest.mark.parametrize("changed", TOWARDS_OWN)
def test_what_favours_own_machines_lowers_the_crossing(changed: dict[str, Any]) -> None:
    """Each by itself, all else as it is; it never raises it."""
    assert level(**changed) <= level()
    if not changed.keys() & {
        "utilisation",
        "gpu_tokens_per_day",
    }:  # in one set there is room for all
        assert level(**changed, gpu_tokens_per_day="10B") < level(gpu_tokens_per_day="10B")


@pytest.mark.parametrize("changed", AWAY)
def test_what_costs_more_raises_the_crossing(changed: dict[str, Any]) -> None:
    """Spare sets, regions, people, idle hours."""
    assert level(**changed) >= level()


def test_growth_does_not_move_the_crossing() -> None:
    """It is a question of when, not of where."""
    assert level(growth="10%/month", price_decline="5%") == level()
