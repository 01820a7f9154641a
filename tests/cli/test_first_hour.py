"""The page `docs/first-hour.md`, followed to the letter: from the server to the first answer from Python.

What a reader types is typed into a real shell, and what the page shows is what is printed. The server is
the page's own stand-in; `init` is pointed at it, for the usual ports of this machine are not a test's.

`python tests/cli/test_first_hour.py` brings the page up to date.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "first-hour.md"
MINUTES_MAX = 10
INSTALLS = "pip install"
USUAL = "http://127.0.0.1:8000/v1"  # where the reader's server listens

sys.path.append(str(ROOT / "docs"))
blocks: Any = import_module("docgen.blocks")
BLOCKS = blocks.blocks(PAGE.read_text(encoding="utf-8"))
TYPED = [block for block in BLOCKS if block.language == "sh" and INSTALLS not in block.text]
SHOWN = {
    above.line: below.text
    for above, below in pairwise(BLOCKS)
    if above.language == "sh" and below.language == "text" and below.below
}


def environment() -> dict[str, str]:
    """The variables of a reader who has no key yet."""
    kept = blocks._environment()
    installed = Path(sys.executable).parent  # where `pip install` put the command
    return kept | {"PATH": f"{installed}:{kept['PATH']}"}


def saved(folder: Path) -> None:
    """Save the files that the page shows, as its reader does."""
    for block in BLOCKS:
        if block.language == "py":
            name = block.text.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(block.text, encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first-hour")
    saved(folder)
    return folder


@contextmanager
def stand_in(folder: Path) -> Iterator[str]:
    """The server of step 2, in its own terminal."""
    with subprocess.Popen(
        [sys.executable, "serve.py"], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def typed(folder: Path, address: str) -> dict[int, str]:
    """Type everything in its order; return what each step printed."""
    printed = {}
    for block in TYPED:
        command = block.text.replace("init --yes", f"init --yes --no-look --endpoint {address}")
        done = subprocess.run(
            ["bash", "-e", "-c", command],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{block.text}\n{done.stdout}"
        printed[block.line] = done.stdout
    return printed


@pytest.fixture(scope="module")
def walk(folder: Path) -> tuple[dict[int, str], float]:
    """What each step printed, and the minutes that all took."""
    started_s = time.perf_counter()
    with stand_in(folder) as address:
        printed = typed(folder, address)
    return printed, (time.perf_counter() - started_s) / 60


def test_every_step_of_the_page_is_here() -> None:
    """init, check, test, explain, ask, Python: each with what it prints."""
    first = [block.text.split()[:2] for block in TYPED]
    assert first == [
        *(["hybridllm", command] for command in ("init", "check", "test", "explain", "ask")),
        ["python", "first.py"],
    ]
    assert [block.line for block in TYPED] == list(SHOWN)


@pytest.mark.parametrize("block", TYPED, ids=lambda block: " ".join(block.text.split()[:2]))
def test_a_step_prints_what_the_page_shows(block: Any, walk: tuple[dict[int, str], float]) -> None:
    """Times, ports and digests may differ; nothing else may."""
    printed, _ = walk
    where = f"{PAGE.name}:{block.line}"
    assert blocks.normalised(printed[block.line]) == blocks.normalised(SHOWN[block.line]), where


def test_the_policy_that_the_page_quotes_is_the_one_that_was_written(
    folder: Path, walk: tuple[dict[int, str], float]
) -> None:
    """Word for word."""
    written = (folder / "policy.yaml").read_text(encoding="utf-8")
    for block in BLOCKS:
        if block.language == "yaml":
            assert block.text in written


def test_the_walk_is_short(walk: tuple[dict[int, str], float]) -> None:
    """What the machine needs of the ten minutes is next to nothing: the rest is for reading."""
    assert walk[1] < MINUTES_MAX / 10


def renew() -> None:
    """Write into the page what its steps print now: `python tests/cli/test_first_hour.py`."""
    with tempfile.TemporaryDirectory() as name:
        saved(Path(name))
        with stand_in(Path(name)) as address:
            printed = typed(Path(name), address)
            shown = {line: text.replace(address, USUAL) for line, text in printed.items()}
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for above, below in reversed(list(pairwise(BLOCKS))):
        if above.line in shown:
            lines[below.line : below.end - 1] = shown[above.line].strip("\n").splitlines()
    PAGE.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    renew()
