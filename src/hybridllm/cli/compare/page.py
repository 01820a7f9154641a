"""A comparison as one page: figures, and all answers side by side."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from hybridllm.cli.html_page import html_page
from hybridllm.cli.output import percent, seconds, usd

if TYPE_CHECKING:
    from hybridllm import Comparison

_STYLE = """
body { max-width: 90rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { table-layout: fixed; }
th, td { border: 1px solid var(--line); padding: .4rem .6rem; text-align: left; vertical-align: top;
  overflow-wrap: anywhere; white-space: pre-wrap; }
thead th { background: var(--shade); } .figures td, .figures th { white-space: nowrap; text-align: right; }
.figures td:first-child, .figures th:first-child { text-align: left; } .differs { background: var(--shade); }
.error { color: var(--no); }
.bar { display: inline-block; height: .6em; background: var(--bar); margin-right: .4em; }
"""


def page(found: Comparison) -> str:
    """Return the page."""
    names = ", ".join(one.model for one in found.models)
    body = (
        f"<h1>{escape(names)}</h1>\n<p class='soft'>{len(found.rows)} prompts, each asked of each model. "
        f"Agreement is with {escape(found.models[0].model)}: equal JSON, or the same words.</p>\n"
        + _figures(found)
        + "<h2>Answers</h2>\n"
        + _answers(found)
    )
    return html_page(names, body, style=_STYLE)


def _figures(found: Comparison) -> str:
    heads = (
        "model",
        "answered",
        "cost",
        "per answer",
        "p50",
        "p99",
        "agrees",
        "as expected",
        "judged",
    )
    dearest = max((one.cost_usd for one in found.models), default=None)
    rows = []
    for one in found.models:
        width = 8 * float(one.cost_usd / dearest) if dearest else 0.0
        low, high = one.latency_s or (None, None)
        bar = f"<span class='bar' style='width:{width:.2f}em'></span>"
        cells = (
            escape(one.model),
            f"{one.answered} of {one.asked}",
            f"{bar}{usd(one.cost_usd)}" + (f" + {one.unknown} not known" if one.unknown else ""),
            usd(one.usd_per_answer),
            seconds(low),
            seconds(high),
            *(percent(share) for share in (one.agreement, one.expected, one.score)),
        )
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table class='figures'><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>\n"


def _answers(found: Comparison) -> str:
    head = "".join(f"<th>{escape(one.model)}</th>" for one in found.models)
    rows = []
    for row in found.rows:
        asked = escape(found.prompts.get(row[0].key, ""))
        cells = "".join(
            f"<td>{escape(one.text)}</td>"
            if one.text is not None
            else f"<td class='error'>{escape(one.error or 'no answer')}</td>"
            for one in row
        )
        kind = " class='differs'" if len({one.text for one in row}) > 1 else ""
        rows.append(f"<tr{kind}><td><b>{escape(row[0].key)}</b>\n{asked}</td>{cells}</tr>")
    return f"<table><thead><tr><th>prompt</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
