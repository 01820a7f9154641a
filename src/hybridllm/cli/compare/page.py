"""A comparison as one page: figures, and all answers side by side. Nothing is loaded, nothing runs."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from hybridllm.cli.output import seconds, usd

if TYPE_CHECKING:
    from hybridllm import Comparison

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1d21; --paper: #fff; --soft: #5b616b; --line: #d5d9e0;
  --shade: #f4f6f8; --bar: #4e79d6; --no: #a3231c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --paper: #16181c; --soft: #9aa2ae;
  --line: #363b44; --shade: #1f2228; --bar: #7ea2ee; --no: #ff8f86; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 90rem;
  margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } .soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
th, td { border: 1px solid var(--line); padding: .4rem .6rem; text-align: left; vertical-align: top;
  overflow-wrap: anywhere; white-space: pre-wrap; }
thead th { background: var(--shade); } .figures td, .figures th { white-space: nowrap; text-align: right; }
.figures td:first-child, .figures th:first-child { text-align: left; } .differs { background: var(--shade); }
.error { color: var(--no); }
.bar { display: inline-block; height: .6em; background: var(--bar); margin-right: .4em; }
"""
_ALLOWED = "default-src 'none'; style-src 'unsafe-inline'"


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
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_ALLOWED}">\n'
        f"<title>{escape(names)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


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
            *(_share(share) for share in (one.agreement, one.expected, one.score)),
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


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
