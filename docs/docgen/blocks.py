"""The code blocks of a page: found, run, and their shown output compared or renewed.

A page is plain Markdown, read alike on the site and in a checkout. What is run:

- every ```python block, each by itself, in one process for the page (`run_page.py`);
- every ```console block: its lines that begin with `$ ` are typed, the others are what they print;
- a ```text block right below a ```python block is what that one prints.

A ```yaml block whose first line is `# name.yaml` is a file that the blocks of its page find beside them.
`<!-- not run: reason -->` above a block leaves it alone.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RUNNER = Path(__file__).parent / "run_page.py"

_FENCE = re.compile(r"^```(\w*)\s*$")
_MARK = re.compile(r"^<!-- not run: (.+) -->$")
_FILE = re.compile(r"^# ([\w-]+\.yaml)$")

# What differs from run to run: times, ports, the digest of a policy, ids.
_VARIES = (
    (re.compile(r"\b\d+(?:\.\d+)? ms\b"), "N ms"),
    (re.compile(r"\b\d+\.\d+ s\b"), "N s"),
    (re.compile(r"sha256:[0-9a-f]{12}"), "sha256:X"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+\+00:00"), "TIME"),
)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        line: Of its opening fence, from 1.
        end: Of its closing fence.
        not_run: The reason why it is left alone; None: it is run.
        below: True if nothing but empty lines stands between it and the block above.
    """

    line: int
    end: int
    language: str
    text: str
    not_run: str | None
    below: bool


@dataclass(frozen=True)
class Shown:
    """A block of the page that shows what another one, or itself, prints."""

    block: Block
    printed: str


class PageFailed(Exception):
    """A block of a page raised; the message is its traceback, with the page's own lines."""


def pages() -> list[Path]:
    """Return the README and every page, generated ones too."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(text: str) -> list[Block]:
    """Return every fenced block of a page, in order."""
    found: list[Block] = []
    lines = text.splitlines()
    index, last_end = 0, -1
    while index < len(lines):
        opening = _FENCE.match(lines[index])
        if opening is None:
            index += 1
            continue
        end = next(i for i in range(index + 1, len(lines)) if lines[i].rstrip() == "```")
        above = [line.strip() for line in lines[last_end + 1 : index] if line.strip()]
        mark = _MARK.match(above[-1]) if above else None
        inside = "".join(f"{line}\n" for line in lines[index + 1 : end])
        below = not above and last_end >= 0
        reason = mark[1] if mark else None
        found.append(Block(index + 1, end + 1, opening[1], inside, reason, below))
        last_end, index = end, end + 1
    return found


def run(page: Path) -> list[Shown]:
    """Run a page, and return each shown output with what was really printed.

    Raises:
        PageFailed: If a block raised.
    """
    found = blocks(page.read_text(encoding="utf-8"))
    steps = [
        {"line": block.line, "kind": block.language, "text": block.text}
        for block in found
        if block.not_run is None and block.language in ("python", "console")
    ]
    if not steps:
        return []
    if page.parent == ROOT:  # the README's reader stands in the checkout
        outputs = printed(page, steps, ROOT)
    else:
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder)
            (here / "policies").symlink_to(ROOT / "policies")
            for name, text in files(found).items():
                (here / name).write_text(text, encoding="utf-8")
            outputs = printed(page, steps, here)
    return list(_shown(found, outputs))


def files(found: Sequence[Block]) -> dict[str, str]:
    """Return the YAML files that a page's blocks are, by name."""
    named = ((_FILE.match(block.text.partition("\n")[0]), block) for block in found)
    return {name[1]: block.text for name, block in named if name and block.language == "yaml"}


def normalised(text: str) -> str:
    """Return an output without what differs from run to run."""
    text = "\n".join(line.rstrip() for line in text.strip().splitlines())
    for pattern, word in _VARIES:
        text = pattern.sub(word, text)
    return text


def renewed(text: str, shown: Sequence[Shown]) -> str:
    """Return a page with every output that is out of date replaced."""
    lines = text.splitlines()
    for one in sorted(shown, key=lambda one: -one.block.line):
        if normalised(one.block.text) != normalised(one.printed):
            printed = [line.rstrip() for line in one.printed.strip("\n").splitlines()]
            lines[one.block.line : one.block.end - 1] = printed
    return "\n".join(lines) + "\n"


def _shown(found: Sequence[Block], outputs: Mapping[int, str]) -> list[Shown]:
    shown = [
        Shown(block, outputs[block.line])
        for block in found
        if block.language == "console" and block.line in outputs
    ]
    shown += [
        Shown(below, outputs[above.line])
        for above, below in pairwise(found)
        if below.below and below.language == "text" and above.language == "python"
        if above.line in outputs and below.not_run is None
    ]
    return shown


def printed(page: Path, steps: list[dict[str, object]], here: Path) -> dict[int, str]:
    """Run the blocks in a process of their own; a page may change what it likes there.

    Raises:
        PageFailed: If a block raised, or took too long.
    """
    job = {"page": str(page.relative_to(ROOT)), "steps": steps, "folder": str(here)}
    jobs, answers = _runner()
    jobs.write(json.dumps(job) + "\n")
    jobs.flush()
    done = json.loads(answers.readline() or "{}")
    if done.get("outputs") is None:
        raise PageFailed(done.get("errors", "")[-4_000:])
    return {int(line): text for line, text in done["outputs"].items()}


@cache
def _runner() -> tuple[IO[str], IO[str]]:
    """Begin what runs pages, and return where its jobs go and its answers come; it ends with this process."""
    ours, jobs = os.pipe()
    answers, theirs = os.pipe()
    runner = subprocess.Popen(  # noqa: S603 - what it runs are our own pages
        [sys.executable, "-W", "error", str(RUNNER)], stdin=ours, stdout=theirs, env=_environment()
    )
    os.close(ours)
    os.close(theirs)
    pipes = os.fdopen(jobs, "w"), os.fdopen(answers)

    def end() -> None:
        for pipe in pipes:
            pipe.close()
        runner.wait()

    atexit.register(end)
    return pipes


def _environment() -> dict[str, str]:
    """The variables of this process without keys, proxies or settings of a terminal."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")
    here = os.environ  # noqa: TID251 - of this process, for one that it starts
    return {name: here[name] for name in kept if name in here} | {"NO_COLOR": "1"}
