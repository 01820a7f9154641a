"""What `init` finds where it writes: nothing is lost, no link is followed, and it is all or nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.resources import files
from pathlib import Path
from tempfile import gettempdir

import pytest
from typer.testing import Result

from hybridllm import PolicyError, check
from hybridllm.cli.init.hosted import APIS
from hybridllm.testing import SimulatedBackend

SCHEMA = (files("hybridllm") / "data" / "policy.schema.json").read_text(encoding="utf-8")
OLDER = json.dumps(json.loads(SCHEMA) | {"$defs": {}})
FAILING = (
    "tests:\n  - name: it is mine\n    given: {task: chat}\n    expect: {error: policy_denied}\n"
)
UNKNOWN = FAILING.replace("error: policy_denied", "route: mine")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder, and none of the variables that `init` looks for."""
    monkeypatch.chdir(tmp_path)
    for name in (*(api.variable for api in APIS), "OPENAI_BASE_URL", "APP_ENV"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def init(hybridllm):
    """Run `init` in another thread; nobody looks at real ports."""

    async def run(*args: object) -> Result:
        return await asyncio.to_thread(hybridllm, "init", "--no-look", *args)

    return run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def said(result: Result) -> str:
    return " ".join(result.stderr.replace("│", " ").split())


async def test_nothing_is_overwritten_unasked(init) -> None:
    """It ends before anybody is asked anything; --force is the way."""
    Path("policy.yaml").write_text("mine")
    Path("policy.yaml").chmod(0o640)
    async with SimulatedBackend(models=["m"], kind="vllm") as vllm:
        refused = await init("--endpoint", vllm.base_url)

        assert refused.exit_code == 2
        assert "--force" in refused.stderr
        assert Path("policy.yaml").read_text() == "mine"
        assert vllm.requests == []
        assert (await init("--endpoint", vllm.base_url, "--force")).exit_code == 0
    assert Path("policy.yaml").read_text().startswith("# yaml-language-server")
    assert Path("policy.yaml").stat().st_mode & 0o777 == 0o640


async def test_without_a_schema_only_the_policy_is_written(init, tmp_path: Path) -> None:
    """And no line names one."""
    await init("--no-schema")

    assert names(tmp_path) == ["policy.yaml"]
    assert "$schema" not in Path("policy.yaml").read_text()


# The schema


async def test_the_schema_lies_beside_it_for_editors(init, tmp_path: Path) -> None:
    """The first line names it."""
    await init("--yes")

    assert Path("policy.yaml").read_text().splitlines()[0] == (
        "# yaml-language-server: $schema=policy.schema.json"
    )
    assert Path("policy.schema.json").read_text() == SCHEMA
    assert names(tmp_path) == ["policy.schema.json", "policy.yaml"]


@pytest.mark.parametrize(
    ("there", "force", "kept"),
    [
        (OLDER, False, True),
        (OLDER, True, False),
        (SCHEMA, False, False),
        ("{}", True, True),
        ('{"title": "Invoice"}', True, True),
        ("[]", True, True),
        ("no JSON", True, True),
        ("", True, True),
    ],
)
async def test_a_schema_that_is_not_ours_is_kept(init, there: str, force: bool, kept: bool) -> None:
    """--force overwrites an older one of ours and nobody else's, and what is kept is told."""
    Path("policy.schema.json").write_text(there)
    result = await init("--json", *(["--force"] if force else []))

    assert json.loads(result.stdout)["schema_kept"] is kept
    assert Path("policy.schema.json").read_text() == (there if kept else SCHEMA)
    result = await init("other.yaml")
    assert ("is another one, kept" in result.stdout) is kept


@pytest.mark.parametrize("name", ["policy.schema.json", "policy.yaml"])
async def test_nothing_is_written_through_a_link(init, tmp_path: Path, name: str) -> None:
    """--force replaces the link itself; what it led to stays as it was."""
    elsewhere = tmp_path / "elsewhere.d"
    elsewhere.mkdir()
    (elsewhere / "theirs").write_text(OLDER)
    Path(name).symlink_to(elsewhere / "theirs")
    result = await init("--force")

    assert result.exit_code == 0, result.output
    assert (elsewhere / "theirs").read_text() == OLDER
    assert not Path(name).is_symlink()
    assert Path("policy.schema.json").read_text() == SCHEMA


# Places that cannot be written


@pytest.mark.parametrize(
    ("link", "args", "told"),
    [
        ("policy.yaml", (), "--force"),
        ("policy.schema.json", (), "leads nowhere"),
        ("policy.schema.json", ("--force",), "leads nowhere"),
    ],
)
async def test_a_link_that_leads_nowhere_is_told_before_anything_is_written(
    init, tmp_path: Path, link: str, args: tuple[str, ...], told: str
) -> None:
    """Neither of the two files is written then."""
    Path(link).symlink_to("nowhere")
    result = await init(*args)

    assert result.exit_code == 2, result.output
    assert told in said(result)
    assert names(tmp_path) == [link]


async def test_a_policy_is_not_called_as_its_schema(init, tmp_path: Path) -> None:
    """One of the two would be lost."""
    assert (await init("policy.schema.json")).exit_code == 2
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="no such folder there")
async def test_a_folder_that_cannot_be_written_to_is_told(init) -> None:
    """Also where only the attempt shows it."""
    result = await init("/proc/policy.yaml")

    assert result.exit_code == 2, result.output
    assert "cannot be written" in said(result)


# Tests that lie beside it


@pytest.mark.parametrize("tests", [FAILING, UNKNOWN, "tests: 7\n", "{", ""])
async def test_tests_beside_it_that_refuse_it_keep_it_from_being_written(
    init, tmp_path: Path, tests: str
) -> None:
    """Told by name, with the ways out: nothing is written that would not load."""
    Path("policy.test.yaml").write_text(tests)
    result = await init("--yes")

    assert result.exit_code == 2, result.output
    told = said(result)
    assert "policy.test.yaml lies beside it and refuses this policy: policy.test.yaml" in told
    assert "another file, or give --force" in told
    assert gettempdir() not in told
    assert names(tmp_path) == ["policy.test.yaml"]
    assert (await init("other.yaml")).exit_code == 0


@pytest.mark.parametrize(("tests", "line"), [(FAILING, 2), (UNKNOWN, 4)])
async def test_with_force_it_is_written_and_the_failing_tests_are_told(
    init, tests: str, line: int
) -> None:
    """They are whose policy was overwritten, so they may be what is to change."""
    Path("policy.test.yaml").write_text(tests)
    result = await init("--force")

    assert result.exit_code == 0, result.output
    assert f"policy.test.yaml:{line}:" in result.stderr
    assert "finds no problems" not in result.stdout
    with pytest.raises(PolicyError):
        check("policy.yaml")


async def test_tests_beside_it_that_pass_or_cannot_be_read(init, tmp_path: Path) -> None:
    """The former are no hindrance; the latter are."""
    Path("policy.test.yaml").write_text(UNKNOWN.replace("mine}", "default}"))
    assert (await init("--yes")).exit_code == 0

    (tmp_path / "other.test.yaml").mkdir()
    (tmp_path / "third.test.yml").symlink_to("nowhere")
    for policy, beside in (("other.yaml", "other.test.yaml"), ("third.yml", "third.test.yml")):
        result = await init(policy)
        assert result.exit_code == 2
        assert f"{beside} lies beside it and cannot be read" in said(result)
        assert not Path(policy).exists()
