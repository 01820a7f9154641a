"""Put measured tables into docs/survival.md, between its marks."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "survival.md"
_BETWEEN = re.compile(r"(<!-- measured: nox -s survive -->\n).*?(<!-- end -->)", re.DOTALL)


def write(tables: str) -> None:
    """Replace what was measured before."""
    text = PAGE.read_text(encoding="utf-8")
    found, count = _BETWEEN.subn(lambda mark: f"{mark[1]}\n{tables.strip()}\n\n{mark[2]}", text)
    if count != 1:
        raise ValueError(f"{PAGE} has no place for the tables")
    PAGE.write_text(found, encoding="utf-8")
