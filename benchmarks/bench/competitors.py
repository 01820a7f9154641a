"""The competitors' virtual environment: made on first use, kept until `competitors.txt` changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.progress import say

LISTED = Path(__file__).parents[1] / "competitors.txt"
# In the new environment: what a package installed there asks for, as pip would be told.
REQUIRES = """
import json, sys
from importlib import metadata
from pip._vendor.packaging.requirements import Requirement
wanted = [Requirement(line) for line in metadata.requires(sys.argv[1]) or ()]
here = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
extras = {one.name: f"[{','.join(sorted(one.extras))}]" if one.extras else "" for one in here}
print(json.dumps({one.name + extras[one.name]: str(one.specifier) for one in here}))
"""


def python_of(folder: Path) -> Path:
    if os.name == "nt":
        return folder / "Scripts" / "python.exe"
    return folder / "bin" / "python"


def _listed() -> list[str]:
    lines = (line.split("#")[0].strip() for line in LISTED.read_text().splitlines())
    return [line for line in lines if line]


def _pip(python: Path, *arguments: str) -> bool:
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    done = subprocess.run([*command, *arguments], check=False, capture_output=True, text=True)
    return done.returncode == 0


def _install_piecewise(python: Path, requirement: str) -> bool:
    """Install a package whose own pins this index cannot satisfy, with the nearest that it has."""
    if not _pip(python, "--no-deps", requirement):
        return False
    name = requirement.partition("==")[0]
    asked = subprocess.run(
        [str(python), "-c", REQUIRES, name], check=True, capture_output=True, text=True
    )
    for dependency, specifier in json.loads(asked.stdout).items():
        if _pip(python, dependency + specifier):
            continue
        say(f"  {name} asks for {dependency}{specifier}, which is not to be had: taking another")
        _pip(python, dependency)
    return True


def prepare(folder: Path) -> Path | None:
    """Return the environment's interpreter, or None if it could not be made."""
    python, stamp = python_of(folder), folder / "competitors.txt"
    if python.exists() and stamp.exists() and stamp.read_text() == LISTED.read_text():
        return python
    say(f"Making the competitors' environment in {folder} (once; some minutes) ...")
    made = subprocess.run([sys.executable, "-m", "venv", str(folder)], check=False)
    if made.returncode != 0:
        return None
    if not _pip(python, "-r", str(LISTED)):
        done = [_pip(python, one) or _install_piecewise(python, one) for one in _listed()]
        if not any(done):
            return None
    stamp.write_text(LISTED.read_text())
    return python
