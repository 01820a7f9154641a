"""`hybridllm check`: every problem with its place, or the policy at a glance."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest


def test_a_sound_policy_is_shown_and_ends_with_0(hybridllm, policy_file: Path) -> None:
    """Backends, prices, what a tag allows and the routes are there to be read."""
    result = hybridllm("check", policy_file)

    assert result.exit_code == 0
    for words in (
        r"ok, no problems",
        r"us +api +us +third_party +30d",
        r"small +32K +- +us +small +0\.01 +0\.02",
        r"large +8K +tools, vision +us +large-v2 +1\.50 +4\.00",
        r"own +Org/Large +free +free",
        r"residency tag +us +eu +own",
        r"public +1-2, pin +1, pin +1-2, pin",
        r"phi +no: region +no: operator +1-2, pin",
        r"1 +cheap +task classify +us/small, eu/small \(by load\)\s+fallback us/large, own/large \(by load\)",
        r"2 +default +always",
    ):
        assert re.search(words, result.stdout), f"{words!r} is not in\n{result.stdout}"


def test_json_holds_the_same_picture(hybridllm, policy_file: Path) -> None:
    """One object on standard output, with the matrix of tags and backends."""
    result = hybridllm("check", policy_file, "--json")

    picture = json.loads(result.stdout)
    assert picture["ok"] is True
    assert picture["warnings"] == []
    assert picture["residency"]["eu"]["allowed"] == ["eu", "own"]
    assert list(picture["residency"]["phi"]["refused"]) == ["us", "eu"]
    assert picture["models"]["large"]["on"]["us"]["price"]["output_per_1m"] == "4"
    assert [route["name"] for route in picture["routes"]] == ["cheap", "default"]
    assert [(route["mode"]) for route in picture["routes"]] == ["enforce", "enforce"]


def test_json_holds_the_matrix_for_a_gate(hybridllm, policy_file: Path) -> None:
    """What a script in CI may rely on: these keys, whatever the policy."""
    told = json.loads(hybridllm("check", policy_file, "--json").stdout)

    matrix = told["matrix"]
    assert list(matrix) == [
        "environment",
        "exact",
        "notes",
        "decisions",
        "rows",
        "constraints",
        "unserved",
    ]
    assert matrix["exact"] is True
    (phi,) = [row for row in matrix["rows"] if row["tag"] == "phi"]
    reached = [cell["backend"] for cell in phi["backends"] if cell["ways"]]
    assert reached == ["own"]
    (us,) = [cell for cell in phi["backends"] if cell["backend"] == "us"]
    assert us == {
        "backend": "us",
        "allowed": False,
        "reason": "region",
        "detail": "region 'us' is not in [eu] (residency 'phi')",
        "routes": [],
        "ways": [],
    }
    (own,) = [cell for cell in phi["backends"] if cell["backend"] == "own"]
    assert own["routes"] == ["cheap", "default", "(pinned)"]
    assert own["ways"][0] == {
        "route": "cheap",
        "capability": None,
        "tasks": ["classify"],
        "models": ["large"],
    }


def test_another_environment_has_a_matrix_of_its_own(hybridllm, policy_file: Path) -> None:
    """A backend that is not for it is out of reach."""
    text = policy_file.read_text().replace(
        "    kind: vllm\n", "    kind: vllm\n    environments: [lab]\n"
    )
    policy_file.write_text(text)

    assert re.search(r"public +\S.* +no: environment", hybridllm("check", policy_file).stdout)
    there = hybridllm("check", policy_file, "--environment", "lab")
    assert re.search(r"public +1-2, pin +1, pin +1-2, pin", there.stdout)
    assert "environment lab" in there.stdout


def test_what_constraints_leave_is_shown(hybridllm, policy_file: Path) -> None:
    """With the requests that they hold for, and what is denied for them."""
    policy_file.write_text(
        policy_file.read_text()
        + "constraints:\n  - {name: lab-rats, when: {tenant: lab-*}, allow: {operators: [self]}}\n"
    )

    shown = hybridllm("check", policy_file).stdout

    assert re.search(r"lab-rats +tenant lab-\* +no: constraint +no: constraint +1-2, pin", shown)


def test_every_problem_is_a_line_with_its_place(hybridllm, policy_file: Path) -> None:
    """Two mistakes, two lines, code 1; nothing on standard output."""
    text = policy_file.read_text()
    policy_file.write_text(text.replace("kind: vllm", "kind: vlm").replace("[small]", "[smal]"))

    result = hybridllm("check", policy_file)

    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert all(re.match(rf"{re.escape(str(policy_file))}:\d+:\d+: ", line) for line in lines)
    assert "'small'" in lines[1]
    assert result.stdout == ""


def test_problems_as_json(hybridllm, policy_file: Path) -> None:
    """Each problem with file, line, column, path and message."""
    policy_file.write_text(policy_file.read_text().replace("kind: vllm", "kind: vlm"))

    result = hybridllm("check", policy_file, "--json")

    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["ok"] is False
    (problem,) = told["error"]["problems"]
    assert (problem["file"], problem["line"]) == (str(policy_file), 20)
    assert problem["path"] == "backends.own.kind"


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 4)])
def test_warnings_end_with_4_only_if_strict(
    hybridllm, policy_file: Path, options: tuple[str, ...], code: int
) -> None:
    """A model that no route uses is a doubt, not a mistake."""
    spare = "  spare:\n    context: 8K\n    on: {own: spare}\nresidency:"
    policy_file.write_text(policy_file.read_text().replace("\nresidency:", f"\n{spare}", 1))

    result = hybridllm("check", policy_file, *options)

    assert result.exit_code == code
    assert "warning:" in result.stderr
    assert "Backends" in result.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("polcy.yaml", "did you mean", id="nearly-right"),
        pytest.param("", "is a folder", id="folder"),
        pytest.param("nowhere/policy.yaml", "there is no file", id="no-folder"),
    ],
)
def test_a_file_that_is_not_there_is_wrong_usage(
    hybridllm, policy_file: Path, name: str, words: str
) -> None:
    """The message says what would have been right, and no traceback is shown."""
    result = hybridllm("check", policy_file.parent / name)

    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_the_price_in_force_now_is_shown(hybridllm, policy_file: Path) -> None:
    """Of dated ones neither the last nor the first, but that of today."""
    dated = "[{input_per_1m: 1, output_per_1m: 1}, {from: 2020-01-01, input_per_1m: 7, output_per_1m: 8},"
    later = " {from: 2999-01-01, input_per_1m: 9, output_per_1m: 9}]"
    policy_file.write_text(
        policy_file.read_text().replace(
            "{input_per_1m: 0.01, output_per_1m: 0.02}", f"{dated}{later}"
        )
    )
    told = json.loads(hybridllm("check", policy_file, "--json").stdout)
    price = told["models"]["small"]["on"]["us"]["price"]
    assert (price["price_id"], price["input_per_1m"]) == ("policy:small@2020-01-01", "7")
