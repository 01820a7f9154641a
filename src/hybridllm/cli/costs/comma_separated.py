"""A cost report as comma-separated values, exact, for spreadsheets.

Names come from callers. One that a spreadsheet would take for a formula gets an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridllm import CostReport

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_text(report: CostReport) -> str:
    """Return a line of headings, a line for each row, and none for the total: sums are the spreadsheet's."""
    rows = report.to_dict()["rows"]
    names = list(rows[0] if rows else report.total.to_dict((), of_pico=0))
    if not rows:
        names = [*report.by, *names]
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow([_cell(name) for name in names])
    for row in rows:
        lines.writerow([_cell(row[name]) for name in names])
    return written.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA) and not _number(value):
        return f"'{value}"
    return "" if value is None else value


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text[0] in "-0123456789"
