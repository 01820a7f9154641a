"""`hybridllm diff`: what changes between two policy files, for people and for scripts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli.conftest import POLICY


@pytest.fixture
def new_file(policy_file: Path) -> Path:
    """A second policy beside the first, still the same."""
    path = policy_file.with_name("new.yaml")
    path.write_text(POLICY)
    return path


def test_the_same_policy_changes_nothing(hybridllm, policy_file: Path, new_file: Path) -> None:
    """Comments do not count; the versions of both are shown."""
    new_file.write_text("# reviewed\n" + POLICY)

    result = hybridllm("diff", policy_file, new_file, "--exit-code")

    assert result.exit_code == 0
    assert "Nothing changes, for any request." in result.stdout
    assert len(set(re.findall(r"sha256:[0-9a-f]{12}", result.stdout))) == 2


def test_what_changes_is_told_by_request(hybridllm, policy_file: Path, new_file: Path) -> None:
    """What each tag gains and loses, who goes another way, what was declared otherwise."""
    new_file.write_text(
        POLICY.replace("eu: {regions: [eu]}", "eu: {regions: [eu, us]}")
        .replace("when: {task: classify}", "when: {task: classify, tenant: acme-*}")
        .replace("review: {bucket: judgment}", "review: {bucket: judgment, residency: eu}")
    )

    result = hybridllm("diff", policy_file, new_file)

    assert result.exit_code == 0
    for words in (
        r"residency tag +gains +loses",
        r"eu +us +-",
        r"\d  task classify, residency public, phi or none, tenant other than acme-\*",
        r"   - cheap: us/small, eu/small \(by load\); then fallback us/large, own/large \(by load\)",
        r"   \+ default: us/large, own/large \(by load\)",
        r"residency eu: regions +eu +eu, us",
        r"task review: residency +- +eu",
        r"large +.*residency eu.* +own/large +us/large, own/large \(by load\)",
    ):
        assert re.search(words, result.stdout), f"{words!r} is not in\n{result.stdout}"


def test_a_tag_that_gains_a_backend_is_shown_in_red(policy_file: Path, new_file: Path) -> None:
    """Data may go where it could not: nobody may overlook that."""
    from typer.testing import CliRunner

    from hybridllm.cli.app import app_with

    new_file.write_text(POLICY.replace("eu: {regions: [eu]}", "eu: {regions: [eu, us]}"))
    runner = CliRunner(env={"EXAMPLE_KEY": "sk-simulated-000000"})

    result = runner.invoke(app_with(), ["diff", str(policy_file), str(new_file)], color=True)

    assert "\x1b[31mus\x1b[0m" in result.stdout


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--exit-code",), 5)])
def test_a_change_ends_with_5_only_if_asked_for(
    hybridllm, policy_file: Path, new_file: Path, options: tuple[str, ...], code: int
) -> None:
    """Apart from 1, which says that a policy has problems."""
    new_file.write_text(POLICY.replace("    fallbacks: [large]\n", ""))

    assert hybridllm("diff", policy_file, new_file, *options).exit_code == code


def test_json_holds_the_same(hybridllm, policy_file: Path, new_file: Path) -> None:
    """For a comment on a pull request."""
    new_file.write_text(POLICY.replace("operators: [self], ", ""))

    told = json.loads(hybridllm("diff", policy_file, new_file, "--json").stdout)

    assert told["ok"] is True
    assert told["same"] is False
    assert told["tags"] == [{"tag": "phi", "gained": ["eu"], "lost": []}]
    (change,) = [one for one in told["changes"] if one["model"] is None]
    assert change["requests"] == ["task classify, residency phi"]
    assert change["old"]["candidates"] == ["own/large"]
    assert change["new"]["candidates"] == ["eu/small", "own/large"]
    assert told["declared"][0]["what"] == "residency phi: operators"


def test_shipped_policies_can_be_named(hybridllm) -> None:
    """As in `check`."""
    result = hybridllm("diff", "api-first", "regulated", "--json")

    told = json.loads(result.stdout)
    assert (told["old"]["policy"], told["new"]["policy"]) == ("api-first", "regulated")
    assert told["changes"]


def test_a_policy_with_problems_is_not_compared(
    hybridllm, policy_file: Path, new_file: Path
) -> None:
    """Its problems are told, with code 1."""
    new_file.write_text(POLICY.replace("kind: vllm", "kind: vlm"))

    result = hybridllm("diff", policy_file, new_file, "--exit-code")

    assert result.exit_code == 1
    assert f"{new_file}:20:" in result.stderr


def test_a_file_that_is_not_there_is_wrong_usage(hybridllm, policy_file: Path) -> None:
    """Either of them."""
    assert hybridllm("diff", policy_file, "nowhere.yaml").exit_code == 2
