"""`hybridllm check --html`: what a policy says and what was proved, as one page to file or to print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from hybridllm.cli.html_page import html_page
from hybridllm.cli.output import plural
from hybridllm.cli.picture import PINNED, denied_lines, mode, use_text
from hybridllm.cli.picture_hybrid import COLUMNS, hybrid_lines, load_rows, overflow_lines

if TYPE_CHECKING:
    from hybridllm import PolicyReport

_STYLE = """
body { max-width: 72rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { max-width: 48rem; }
table { margin: .5rem 0; font-size: .9rem; }
caption { text-align: left; color: var(--soft); padding: 0 0 .3rem; }
th, td { border: 1px solid var(--line); padding: .35rem .55rem; text-align: left; vertical-align: top;
  overflow-wrap: break-word; }
thead th { background: var(--shade); } .yes { color: var(--yes); } .no { color: var(--no); }
.yes::before { content: "\\2713  "; } .no::before { content: "\\2717  "; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .8rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media print { body { font-size: 11px; }
  h2 { break-after: avoid; } tr { break-inside: avoid; } thead { display: table-header-group; } }
"""


class Html(str):
    """Text that is escaped already, or that we wrote ourselves."""

    __slots__ = ()


class Shown(NamedTuple):
    """A cell with a class of the style sheet."""

    text: str
    kind: str


Row = Sequence[str | Shown]


def page(report: PolicyReport, *, file: str, day: str) -> str:
    """Return the page.

    Args:
        report: Of the policy.
        file: Where it was read.
        day: Date that the page bears.
    """
    policy, matrix = report.policy, report.matrix
    parts = [
        _head(report, file=file, day=day),
        _section("What was proved", *_proof(report)),
        _section("Residency tags, and the terms of each", _tags(report), *_denials(report)),
        _section("Which tag reaches which backend", _matrix(report)),
        _section("How each backend is reached", *(_ways(row) for row in matrix.rows)),
        _section("Constraints", *_constraints(report)),
        _section("Backends, as they are declared", _backends(report)),
        _section("Own machines, and when a backend has enough to do", _loads(report)),
        _section("Routes, the first that matches decides", _routes(report)),
        _section("Warnings", _list(str(problem) for problem in report.problems)),
    ]
    body = "\n".join(part for part in parts if part)
    return html_page(f"Policy {policy.name} {policy.version}", body, style=_STYLE)


def _head(report: PolicyReport, *, file: str, day: str) -> Html:
    from hybridllm import __version__

    policy = report.policy
    tests = plural(len(report.results), "test") + " passed" if report.results else "none"
    facts = {
        "Environment": policy.environment or "not declared",
        "Version": f"{policy.version} (digest of the file; receipts and traces carry it)",
        "File": file,
        "Date": day,
        "Its own tests": tests,
        "Warnings": str(len(report.problems)),
        "Checked by": f"hybridllm {__version__}",
    }
    rows = "".join(
        f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts.items()
    )
    return Html(f"<h1>Policy {_text(policy.name)}</h1>\n<dl>{rows}</dl>")


def _proof(report: PolicyReport) -> Iterable[Html]:
    matrix = report.matrix
    yield _paragraph(
        "For every residency tag, with every task, every capability and every other fact that the policy's "
        "conditions tell apart, one request was made up and decided by the very function that decides in "
        f"production: {matrix.decisions:,} requests in environment {matrix.environment!r}. Where requests of "
        "one kind are allowed no more than those of another, the other stood for both. By every route, "
        "fallback, split and pinned model together they reach the backends below, and no others."
    )
    yield _paragraph(
        "Each backend that is reached was then held against the terms of the tags by a second reading, "
        "written independently of the first. There was no disagreement; this page would not exist otherwise."
    )
    for line in hybrid_lines(report):
        yield _paragraph(line)
    for note in matrix.notes:
        yield _paragraph(f"What is shown is not exact: {note}.")
    yield _paragraph(
        "Region, operator and retention are what the policy declares of each backend. Whether what it "
        "declares is true is a matter of contracts, not of this proof.",
        kind="soft",
    )


def _tags(report: PolicyReport) -> Html:
    columns = ("tag", "regions", "operators", "retention", "kept by sessions")
    rows = [
        (tag, _any(one.regions), _any(one.operators), _any(one.retention), _kept(one.taint_s))
        for tag, one in report.policy.residency.items()
    ]
    return _table(columns, rows)


def _kept(taint_s: float | None) -> str:
    if taint_s is None:
        return "no"
    return "for ever" if taint_s == float("inf") else f"for {taint_s / 86_400:g} days"


def _denials(report: PolicyReport) -> Iterable[Html]:
    yield _paragraph(denied_lines(report)[0])
    rows = [
        (
            ", ".join(tag or "no tag" for tag in one.tags),
            ", ".join(task or "no task" for task in one.tasks) or "any",
            one.capability or "nothing special",
            ", ".join(one.rules),
        )
        for one in report.matrix.unserved
    ]
    if rows:
        columns = ("tag", "task", "the request needs", "denied by")
        yield _table(
            columns, rows, caption="Requests that are denied, whatever else is true of them"
        )


def _matrix(report: PolicyReport) -> Html:
    rows = report.matrix.rows
    columns = ("tag", *(cell.backend for cell in rows[0].cells)) if rows else ("tag",)
    told: list[Row] = [(row.tag or "no tag", *map(_cell, row.cells)) for row in rows]
    caption = "A row holds every request that carries the tag, whatever other tags it carries too"
    return _table(columns, told, caption=caption)


def _cell(cell: Any) -> Shown:
    if not cell.allowed:
        return Shown(f"never: {cell.detail}", "no")
    if not cell.ways:
        return Shown("allowed, and no route leads there", "soft")
    named = [name for name in cell.routes if name != PINNED]
    parts = [f"by {'route' if len(named) == 1 else 'routes'} {', '.join(named)}"] if named else []
    parts += ["if the caller pins a model"] if PINNED in cell.routes else []
    return Shown("; ".join(parts), "yes")


def _ways(row: Any) -> Html:
    """Ways that differ only in what requests need are told together."""
    found: dict[tuple[str, ...], list[str]] = {}
    for cell in row.cells:
        for way in cell.ways:
            tasks = ", ".join(task or "no task" for task in way.tasks)
            by = "a model that the caller pins" if way.route == PINNED else f"route {way.route}"
            needs = found.setdefault((cell.backend, by, tasks, ", ".join(way.models)), [])
            needs.append(way.capability or "nothing special")
    rows = [(*key[:3], ", ".join(needs), key[3]) for key, needs in found.items()]
    columns = ("backend", "by", "for tasks", "that need", "as model")
    caption = f"Requests with tag {row.tag}" if row.tag else "Requests without a tag"
    return _table(columns, rows, caption=caption)


def _constraints(report: PolicyReport) -> Iterable[Html]:
    limited = report.matrix.constraints
    if limited:
        columns = ("constraint", "holds for", *(cell.backend for cell in limited[0].cells))
        rows: list[Row] = [(one.constraint, one.when, *map(_cell, one.cells)) for one in limited]
        yield _table(columns, rows, caption="What is reached while a constraint holds")
    observed = [one.name for one in report.policy.constraints if one.observe]
    if observed:
        yield _paragraph(f"Only observed, not enforced: {', '.join(observed)}.")


def _backends(report: PolicyReport) -> Html:
    columns = ("backend", "kind", "region", "operator", "retention", "only in", "base URL")
    rows = [
        (
            one.name,
            one.kind.value,
            one.region or "undeclared",
            one.operator or "undeclared",
            one.retention or "undeclared",
            _any(one.environments),
            one.base_url,
        )
        for one in report.policy.backends.values()
    ]
    return _table(columns, rows)


def _loads(report: PolicyReport) -> Html:
    return _table(COLUMNS, load_rows(report))


def _routes(report: PolicyReport) -> Html:
    rows = []
    for number, route in enumerate(report.policy.routes, start=1):
        uses = "; then ".join(use_text(use) for use in route.use)
        uses = "; ".join([uses, *overflow_lines(route)])
        rows.append((str(number), route.name, mode(route), str(route.when), uses))
    return _table(("", "route", "mode", "when", "use, in order"), rows)


def _any(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "any"


def _section(title: str, *content: Html) -> Html:
    inside = "\n".join(part for part in content if part)
    return Html(f"<section>\n<h2>{_text(title)}</h2>\n{inside}\n</section>" if inside else "")


def _paragraph(text: str, *, kind: str = "") -> Html:
    return Html(f'<p class="{kind}">{_text(text)}</p>' if kind else f"<p>{_text(text)}</p>")


def _list(items: Iterable[str]) -> Html:
    inside = "".join(f"<li>{_text(item)}</li>" for item in items)
    return Html(f"<ul>{inside}</ul>" if inside else "")


def _table(columns: Sequence[str], rows: Iterable[Row], *, caption: str = "") -> Html:
    body = "".join(f"<tr>{''.join(map(_data, row))}</tr>\n" for row in rows)
    if not body:
        return Html("")
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in columns)
    titled = f"<caption>{_text(caption)}</caption>" if caption else ""
    return Html(f"<table>{titled}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>")


def _data(cell: str | Shown) -> str:
    if isinstance(cell, Shown):
        return f'<td class="{cell.kind}">{_text(cell.text)}</td>'
    return f"<td>{_text(cell)}</td>"


def _text(text: str) -> str:
    """Escape a text; the one way by which text gets into the page."""
    return escape(text, quote=True)
