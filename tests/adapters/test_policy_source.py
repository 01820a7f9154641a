"""A policy file read again and again: what counts as changed, and what is taken as whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hybridllm._adapters.policy_source import REMEMBERED_MAX, PolicyFile
from hybridllm._core.policy.compiled import Policy
from hybridllm._runtime.source import Glimpse, Taken
from hybridllm.errors import PolicyError
from policy.policy_text import GOOD

KEY = "sk-test-0123456789abcdef"
ROTATED = "sk-test-fedcba9876543210"
OTHER = GOOD.replace("name: cheap", "name: inexpensive")
WRONG = GOOD.replace("routes:", "rotes:")
KEYED = GOOD.replace("region: us, operator", "api_key_env: US_KEY, region: us, operator")
BESIDE = "tests: [{given: {task: classify}, expect: {route: cheap}}]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "team.yaml"
    path.write_text(GOOD)
    return path


def source_of(file: Path, **environ: str) -> PolicyFile:
    return PolicyFile(file, environ=environ)


def taken(source: PolicyFile) -> Taken:
    """What the file comes to, looked at twice if need be."""
    found = source.take(None)
    if isinstance(found, Glimpse):
        found = source.take(found)
    assert isinstance(found, Taken), "the file is not the same twice"
    return found


def policy(source: PolicyFile) -> Policy:
    found = taken(source)
    assert found.policy is not None, found.error
    return found.policy


def test_a_content_that_was_loaded_before_gives_the_same_policy_at_once(file: Path) -> None:
    """The very object, on the first look: going back and forth costs a read."""
    source = source_of(file)
    first, known = source.first()
    assert (first.name, source.file) == ("team", str(file))
    file.write_text(OTHER)
    other = policy(source)
    for text, expected in [(GOOD, first), (OTHER, other)] * 3:
        file.write_text(text)
        again = source.take(None)
        assert isinstance(again, Taken)
        assert again.policy is expected
    assert (taken(source).content == known.content) == (file.read_text() == GOOD)


def test_a_content_that_is_new_is_taken_on_the_second_look(file: Path) -> None:
    """Until it is the same twice, its writer may be at work."""
    source = source_of(file)
    source.first()
    file.write_text(OTHER[:300])
    first = source.take(None)
    file.write_text(OTHER)
    second = source.take(first)
    assert isinstance(first, Glimpse)
    assert isinstance(second, Glimpse)
    found = source.take(second)
    assert isinstance(found, Taken)
    assert found.policy is not None
    assert [route.name for route in found.policy.routes] == ["inexpensive", "default"]


def test_few_contents_are_remembered(file: Path) -> None:
    """The latest: memory does not grow with the number of reloads."""
    source = source_of(file)
    first, _ = source.first()
    kept = []
    for number in range(REMEMBERED_MAX):
        file.write_text(f"{GOOD}# {number}\n")
        kept.append(policy(source))
    assert len(source._memory) == REMEMBERED_MAX
    file.write_text(f"{GOOD}# 0\n")
    assert policy(source) is kept[0]
    file.write_text(GOOD)
    assert policy(source) is not first


@pytest.mark.parametrize(
    ("text", "before", "after", "same"),
    [
        pytest.param("environment: ${ENV}", {"ENV": "a"}, {"ENV": "b"}, False, id="value"),
        pytest.param("environment: ${ENV}", {"ENV": "a", "X": "1"}, {"ENV": "a"}, True, id="other"),
        pytest.param("environment: ${ENV:-a}", {}, {"ENV": "a"}, False, id="default-then-set"),
        pytest.param("environment: ${ENV:-a}", {}, {"X": "a"}, True, id="default"),
        pytest.param("environment: x # ${ENV}", {"ENV": "a"}, {"ENV": "b"}, True, id="comment"),
        pytest.param(
            'environment: "\\x24{ENV}"', {"ENV": "a"}, {"ENV": "b"}, False, id="escaped-dollar"
        ),
    ],
)
def test_the_variables_a_policy_refers_to_are_a_part_of_its_content(
    file: Path, text: str, before: dict[str, str], after: dict[str, str], same: bool
) -> None:
    """Those that the loader really asked for, and no others."""
    environ = dict(before)
    file.write_text(GOOD.replace("environment: production", text))
    source = PolicyFile(file, environ=environ)
    first, known = source.first()
    environ.clear()
    environ.update(after)
    found = taken(source)
    assert (found.policy is first, found.content == known.content) == (same, same)


def test_a_key_that_was_exchanged_is_another_content(file: Path) -> None:
    """Whoever asks for a reload wants the new one; and no key can be read off what is kept."""
    file.write_text(KEYED)
    environ = {"US_KEY": KEY}
    source = PolicyFile(file, environ=environ)
    first, known = source.first()
    assert taken(source).policy is first
    environ["US_KEY"] = ROTATED
    found = taken(source)
    assert found.policy is not first
    assert found.content != known.content
    kept = repr([source._memory, found, known])
    assert KEY not in kept
    assert ROTATED not in kept


def test_the_file_of_tests_beside_it_belongs_to_the_content(file: Path) -> None:
    """It appears, changes, goes: each time the policy is tested again."""
    source = source_of(file)
    first, _ = source.first()
    looks = [source.look()]
    beside = file.with_name("team.test.yaml")
    beside.write_text(BESIDE)
    looks.append(source.look())
    assert policy(source) is not first
    beside.write_text(BESIDE.replace("cheap", "dear"))
    looks.append(source.look())
    wrong = taken(source)
    assert wrong.error is not None
    assert str(beside) in str(wrong.error)
    beside.unlink()
    looks.append(source.look())
    assert policy(source) is first
    assert len(set(looks)) == 3  # as it was before, now that it is gone again


def test_a_wrong_file_is_an_error_with_its_problems_and_remembered_too(file: Path) -> None:
    """The error holds no frame: those hold the text of the file."""
    source = source_of(file)
    file.write_text(WRONG)
    found = taken(source)
    assert found.policy is None
    assert found.error is not None
    assert found.error.__traceback__ is None
    assert "rotes" in str(found.error)
    again = source.take(None)
    assert isinstance(again, Taken)
    assert (again.content, again.error) == (found.content, found.error)


def test_a_wrong_file_is_right_once_its_variable_is_set(file: Path) -> None:
    """What failed for a variable is tried again when that has another value."""
    environ: dict[str, str] = {}
    file.write_text(GOOD.replace("production", "${ENV}"))
    source = PolicyFile(file, environ=environ)
    assert "'ENV' is not set" in str(taken(source).error)
    environ["ENV"] = "staging"
    assert policy(source).environment == "staging"


def test_a_file_that_is_not_there_is_told_and_not_remembered(file: Path) -> None:
    """It may come back at any time."""
    source = source_of(file)
    first, _ = source.first()
    file.unlink()
    assert source.look() is None
    found = taken(source)
    assert found.error is not None
    assert "cannot be read: No such file or directory" in str(found.error)
    file.write_text(GOOD)
    assert policy(source) is first


UNREADABLE: list[Any] = [
    pytest.param("nobody.yaml", "No such file or directory", id="missing"),
    pytest.param(".", "Is a directory", id="directory"),
    pytest.param("/", "Is a directory", id="root"),
    pytest.param("a\0b.yaml", "embedded null byte", id="nul"),
]


@pytest.mark.parametrize(("path", "reason"), UNREADABLE)
def test_a_path_that_leads_to_no_file_is_a_policy_error(
    tmp_path: Path, path: str, reason: str
) -> None:
    """Named as it was given."""
    given = tmp_path / path
    with pytest.raises(PolicyError, match=f"cannot be read: {reason}") as caught:
        PolicyFile(given).first()
    assert caught.value.source == str(given)


@pytest.mark.parametrize("name", ["team.yaml", "team.test.yaml"])
@pytest.mark.parametrize("linked", [False, True], ids=["pipe", "link"])
def test_a_pipe_is_no_policy_file(tmp_path: Path, name: str, linked: bool) -> None:
    """It is not opened: that would wait for its writer; and it looks the same until it is replaced."""
    file = tmp_path / "team.yaml"
    file.write_text(GOOD)
    source = source_of(file)
    source.first()
    (tmp_path / name).unlink(missing_ok=True)
    pipe = tmp_path / ("pipe" if linked else name)
    os.mkfifo(pipe)
    if linked:
        (tmp_path / name).symlink_to(pipe)
    found = taken(source)
    assert "not a regular file" in str(found.error)
    assert found.look == source.look()
    with pytest.raises(PolicyError, match=r"cannot be read: .*not a regular file"):
        source_of(file).first()


def test_a_link_is_followed_anew_at_each_look(tmp_path: Path) -> None:
    """A ConfigMap: the file is a link through `..data`, and that one is what is exchanged."""
    for version, text in (("..1", GOOD), ("..2", OTHER)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "team.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "team.yaml").symlink_to("..data/team.yaml")
    source = source_of(tmp_path / "team.yaml")
    source.first()
    before = source.look()
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    assert source.look() != before
    assert [route.name for route in policy(source).routes] == ["inexpensive", "default"]


def test_a_rewrite_with_the_same_size_and_time_looks_different(file: Path) -> None:
    """The time of the last change of the inode cannot be set back."""
    source = source_of(file)
    source.first()
    before, times = source.look(), file.stat()
    file.write_text(GOOD.replace("cheap", "chick"))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert source.look() != before


def test_a_relative_path_stays_where_the_process_stood(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that changes its directory reloads the same file."""
    monkeypatch.chdir(file.parent)
    source = PolicyFile("team.yaml")
    source.first()
    monkeypatch.chdir(tmp_path.parent)
    file.write_text(OTHER)
    assert [route.name for route in policy(source).routes] == ["inexpensive", "default"]
    assert source.file == "team.yaml"


def test_the_environment_that_was_given_goes_before_the_file(file: Path) -> None:
    """At each load."""
    source = PolicyFile(file, environ={}, environment="staging")
    assert source.first()[0].environment == "staging"
    file.write_text(OTHER)
    assert policy(source).environment == "staging"


def test_what_was_glimpsed_shows_nothing_of_the_file(file: Path) -> None:
    """Somebody may have written a key into it."""
    source = source_of(file)
    file.write_text(f"key: {KEY}\n")
    assert KEY not in repr(source.take(None))
