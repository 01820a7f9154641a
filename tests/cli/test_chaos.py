"""`hybridllm chaos`: what users would have seen, in figures and in words."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hybridllm.cli import chaos as package
from hybridllm.cli.chaos.catalogue import CATALOGUE, chosen_troubles
from hybridllm.cli.chaos.command import FaultNames

LITTLE = ("--rate", "6", "--seconds", "18")


def facts(hybridllm: Any, policy_file: Path, *more: str) -> dict[str, Any]:
    result = hybridllm("chaos", policy_file, *LITTLE, "--json", *more)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    "trouble", [name for name in CATALOGUE if name not in ("cut", "dead", "crowded", "errors")]
)
def test_with_one_region_struck_nobody_who_may_go_elsewhere_notices(
    trouble: str, hybridllm: Any, policy_file: Path
) -> None:
    """Every fault of the catalogue that does not break streams already begun."""
    told = facts(hybridllm, policy_file, "--fault", trouble, "--struck", "us", "--task", "classify")
    (seen,) = told["faults"]
    assert (seen["fault"], seen["struck"]) == (trouble, "us")
    assert seen["success_of_possible"] == 1.0
    assert seen["requests"] > 20
    assert seen["attempts_per_request"] < 2


def test_every_backend_every_region_every_operator_and_all_are_struck(
    hybridllm: Any, policy_file: Path
) -> None:
    """Each set once; and where nobody is left, nobody answers."""
    told = facts(hybridllm, policy_file, "--fault", "503")
    assert [each["struck"] for each in told["faults"]] == [
        "us",
        "eu",
        "own",
        "region eu",
        "operator third_party",
        "all",
    ]
    assert told["calm"]["success"] == 1.0
    assert told["faults"][-1]["success"] < 0.3  # some were under way before, or waited for its end
    assert told["faults"][-1]["success_of_possible"] == 1.0


def test_what_residency_leaves_to_a_dead_backend_alone_fails_and_that_is_said_to_be_right(
    hybridllm: Any, policy_file: Path
) -> None:
    """In words and in figures; such requests are not held against the policy."""
    asked = ("--fault", "503", "--struck", "own", "--residency", "phi", "--task", "review")
    (seen,) = facts(hybridllm, policy_file, *asked)["faults"]
    (alone,) = seen["nobody_else_may_answer"]
    assert (alone["residency"], alone["backends"]) == ("phi", ["own"])
    assert alone["failed"] == seen["failed"] > 0
    result = hybridllm("chaos", policy_file, *LITTLE, *asked, "--fail-under", "99.9")
    assert result.exit_code == 0
    assert "with residency 'phi' may go to own only, and failed rather than travel" in result.output
    assert "That is right, not wrong" in result.output


def test_a_struck_pair_without_a_fallback_is_said_to_be_the_policys_to_mend(
    hybridllm: Any, policy_file: Path
) -> None:
    """No tag keeps these requests from others: only nobody else serves the model."""
    asked = ("--fault", "503", "--struck", "all", "--residency", "public", "--task", "review")
    result = hybridllm("chaos", policy_file, *LITTLE, *asked)
    assert "everybody was struck, so no failure is held against the policy" in result.output


def test_a_broken_stream_is_not_said_to_be_what_residency_wants(
    hybridllm: Any, policy_file: Path
) -> None:
    """It would have broken without a tag, too; names may be given as the table has them."""
    asked = ("--fault", " cut, cut", "--struck", "region eu", "--residency", "eu")
    result = hybridllm("chaos", policy_file, "--rate", "20", "--seconds", "18", *asked)
    words = " ".join(result.output.split())
    assert result.exit_code == 0
    assert "that nobody else may answer broke after the first token" in words
    assert "failed rather than travel" not in words
    assert words.count("cut: 20 %") == 1


def test_the_same_seed_prints_the_same(hybridllm: Any, policy_file: Path) -> None:
    """To the last digit."""
    asked = ("--fault", "dead", "--struck", "eu")
    first, second = (facts(hybridllm, policy_file, *asked) for _ in range(2))
    assert first == second
    assert first != facts(hybridllm, policy_file, *asked, "--seed", "2")


def test_too_few_answers_end_with_code_1_only_if_a_limit_is_given(
    hybridllm: Any, policy_file: Path
) -> None:
    """So that a pipeline can hold a policy to it."""
    asked = ("--fault", "errors", "--struck", "us,eu", "--task", "review", "--rate", "6")
    result = hybridllm("chaos", policy_file, *LITTLE, *asked)
    assert result.exit_code == 0
    asked = ("--fault", "cut", "--struck", "us", "--task", "review", "--residency", "public")
    few = hybridllm("chaos", policy_file, "--rate", "20", "--seconds", "18", *asked)
    assert few.exit_code == 0
    few = hybridllm(
        "chaos", policy_file, "--rate", "20", "--seconds", "18", *asked, "--fail-under", "99.99"
    )
    assert few.exit_code == 1


def test_what_the_policy_always_denies_is_left_out(hybridllm: Any, policy_file: Path) -> None:
    """And said: `cheap` has no model for `phi`."""
    text = policy_file.read_text().replace("    fallbacks: [large]\n", "")
    policy_file.write_text(text)
    result = hybridllm("chaos", policy_file, *LITTLE, "--fault", "503", "--struck", "us")
    assert "Left out, because the policy denies them even when all is well: classify, phi" in (
        " ".join(result.output.split())
    )


WRONG = [
    (("--fault", "hangg"), "'hangg' is not one of dead, hang"),
    (("--struck", "use"), "'use' is not one of us, eu, own, region:eu, operator:third_party, all"),
    (("--task", "reviw"), "'reviw' is not one of classify, review"),
    (("--residency", "ph"), "'ph' is not one of eu, phi, public"),
]


@pytest.mark.parametrize(("args", "words"), WRONG)
def test_a_wrong_name_is_told_with_those_that_would_have_been_right(
    args: tuple[str, str], words: str, hybridllm: Any, policy_file: Path
) -> None:
    """Before anything is simulated."""
    result = hybridllm("chaos", policy_file, *args)
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())


def test_a_picture_is_drawn_for_each_fault(
    hybridllm: Any, policy_file: Path, tmp_path: Path
) -> None:
    """Into a folder that need not exist."""
    pytest.importorskip("matplotlib")
    folder = tmp_path / "pictures" / "here"
    asked = ("--fault", "dead,slow", "--struck", "us,all", "--plot", folder)
    result = hybridllm("chaos", policy_file, *LITTLE, *asked)
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in folder.iterdir()) == ["dead.png", "slow.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in folder.iterdir())


def test_without_matplotlib_the_extra_is_named(
    hybridllm: Any, policy_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At once, not after the simulations."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delattr(package, "plots", raising=False)
    monkeypatch.delitem(sys.modules, "hybridllm.cli.chaos.plots", raising=False)
    result = hybridllm("chaos", policy_file, "--plot", tmp_path)
    assert result.exit_code == 2
    assert "pip install 'hybridllm[plots]'" in " ".join(result.output.replace("│", " ").split())


def test_all_of_the_catalogue_can_be_asked_for() -> None:
    """And the help names every one of them."""
    assert [one.name for one in chosen_troubles(["all"])] == list(CATALOGUE)
    for name in CATALOGUE:
        assert name in FaultNames.__metadata__[0].help
