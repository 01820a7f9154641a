"""An explanation as a flowchart in Mermaid's language.

Every identifier is ours, and every text stands in quotes with all that Mermaid could read as its own
written as a character code: whatever a tenant or a model is called, it stays a word in a box.
Source: https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridllm._core.decide.considered import constraint_terms, residency_terms, terms_text
from hybridllm._core.decide.explain_facts import candidate_facts
from hybridllm._core.decide.explain_tree import (
    SOURCES,
    answer_text,
    candidate_notes,
    cascade_text,
    request_text,
    world_text,
)

if TYPE_CHECKING:
    from hybridllm._core.decide.explain import Explanation

LABEL_CHARS_MAX = 160
_PLAIN = frozenset(" .,-/'?()=+…")
_STYLES = (
    "classDef answers stroke:green,stroke-width:3px",
    "classDef out stroke-dasharray:4 3",
    "classDef denied stroke:red,stroke-width:3px",
)
_BREAK = "<br/>"


def flowchart(explanation: Explanation) -> str:
    """Return the flowchart: request, tags, routes, constraints, candidates in order, and the end."""
    plan = explanation.plan
    world = "" if explanation.world is None else f"in a world with {world_text(explanation.world)}"
    flow = _Flow()
    flow.step("request", f"([{label(request_text(plan.facts, plan.policy), world)}])")
    _tags(flow, explanation)
    _routes(flow, explanation)
    _constraints(flow, explanation)
    _dropped(flow, explanation)
    if explanation.allowed:
        _candidates(flow, explanation)
    else:
        told = label(f"denied by {explanation.rule}", "nothing would be sent")
        flow.step("denied", f"([{told}]):::denied")
    lines = ("flowchart TD", *(f"  {line}" for line in (*flow.lines, *_STYLES)))
    return "\n".join(lines) + "\n"


def label(*texts: str) -> str:
    """Return texts as a quoted label, each in a line of its own."""
    return '"' + _BREAK.join(_escaped(_cut(text)) for text in texts if text) + '"'


class _Flow:
    """The lines so far, and how the next box is joined to the last."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.last = ""
        self.edge = "-->"

    def step(self, name: str, box: str) -> None:
        """Add a box below the last one."""
        self.lines.append(f"{name}{box}")
        if self.last:
            self.lines.append(f"{self.last} {self.edge} {name}")
        self.last, self.edge = name, "-->"


def _tags(flow: _Flow, explanation: Explanation) -> None:
    for number, held in enumerate(explanation.residency, start=1):
        told = (f"residency {held.tag.tag}", terms_text(residency_terms(held.tag)))
        sources = " and ".join(SOURCES[source] for source in held.sources)
        flow.edge = f"-->|{label(sources)}|"
        flow.step(f"tag{number}", f"[/{label(*told)}/]")


def _routes(flow: _Flow, explanation: Explanation) -> None:
    for number, one in enumerate(explanation.routes, start=1):
        observes = "only observes" if one.route.observe else ""
        told = label(f"route {one.route.name}", str(one.route.when), observes)
        flow.step(f"route{number}", f"{{{told}}}")
        answer = "yes" if one.failing is None else "no"
        flow.edge = f"-->|{label(answer)}|"


def _constraints(flow: _Flow, explanation: Explanation) -> None:
    applying = [one for one in explanation.constraints if one.failing is None]
    for number, one in enumerate(applying, start=1):
        terms = terms_text(constraint_terms(one.constraint))
        observes = f"only observes, would {'; '.join(one.would) or 'drop nobody'}"
        if not one.constraint.observe:
            observes = ""
        told = label(f"constraint {one.constraint.name}", terms, observes)
        flow.step(f"rule{number}", f"[/{told}/]")


def _dropped(flow: _Flow, explanation: Explanation) -> None:
    """One box for all whom the same rule takes out for the same reason, beside the way."""
    together: dict[str, list[str]] = {}
    for name, why in explanation.dropped:
        together.setdefault(why, []).append(name)
    for number, (why, names) in enumerate(together.items(), start=1):
        flow.lines.append(f"out{number}[{label(*dict.fromkeys(names))}]:::out")
        flow.lines.append(f"{flow.last} -.->|{label(why)}| out{number}")


def _candidates(flow: _Flow, explanation: Explanation) -> None:
    found = explanation.answering
    for place, row in enumerate(candidate_facts(explanation)):
        mark = ":::answers" if found is not None and place == found.index else ""
        # "1. x" would be read as a list, which Mermaid refuses to draw.
        told = label(f"({place + 1}) {row['candidate']}", candidate_notes(row))
        flow.step(f"candidate{place + 1}", f"[{told}]{mark}")
        passed = row["passed_over"]
        flow.edge = f"-->|{label(passed)}|" if passed else f"-.->|{label('if it fails')}|"
    if found is None:
        flow.step("answer", f"([{label(answer_text(explanation))}])")
    else:
        flow.lines.append(f"answer([{label(answer_text(explanation))}])")
        flow.lines.append(f"candidate{found.index + 1} ==> answer")
    if (cascade := cascade_text(explanation.plan)) is not None:
        flow.lines.append(f"answer --- cascade[/{label(cascade)}/]")


def _cut(text: str) -> str:
    return text if len(text) <= LABEL_CHARS_MAX else text[: LABEL_CHARS_MAX - 1] + "…"


def _escaped(text: str) -> str:
    # Icons (`fa:fa-car`) are looked for after codes have been read, so no code keeps them out.
    return "".join(_sign(sign) for sign in text.replace(":fa-", ": fa-"))


def _sign(sign: str) -> str:
    if sign.isalnum() or sign in _PLAIN:
        return sign
    return f"#{ord(sign)};" if sign.isprintable() else " "
